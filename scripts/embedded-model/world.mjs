// The village of Quince: everything that is true in the small world behind the embedded model.
//
// Twelve people, one fact of each kind for each of them, no two people alike. Whoever keeps this table beside the screen sees
// at a glance whether the model is right. The other files turn it into text: corpus.mjs into stories to pretrain on,
// questions.mjs into questions and answers to fine-tune on. Change a row, run `npm run make:embedded-model`, and the village changes.

/**
 * @typedef {{
 *   name: string, she: boolean, house: string, job: string, work: string, pet: string, petName: string, food: string,
 *   hobby: string, past: string, friend: string,
 * }} Person
 * @typedef {"house" | "job" | "work" | "pet" | "petName" | "food" | "hobby" | "friend"} Kind
 * @typedef {(p: Person) => string} Say
 * @typedef {[string, string]} Pair
 */

/**
 * One row for each villager. `friend` is mutual.
 *
 * @type {Person[]}
 */
export const people = [
  {
    name: "Anna",
    she: true,
    house: "red",
    job: "baker",
    work: "bakery",
    pet: "cat",
    petName: "Pip",
    food: "bread",
    hobby: "sing",
    past: "sang",
    friend: "Hugo",
  },
  {
    name: "Ben",
    she: false,
    house: "blue",
    job: "teacher",
    work: "school",
    pet: "dog",
    petName: "Rex",
    food: "honey",
    hobby: "swim",
    past: "swam",
    friend: "Ida",
  },
  {
    name: "Clara",
    she: true,
    house: "green",
    job: "doctor",
    work: "clinic",
    pet: "owl",
    petName: "Luna",
    food: "soup",
    hobby: "dance",
    past: "danced",
    friend: "Jack",
  },
  {
    name: "Dan",
    she: false,
    house: "yellow",
    job: "farmer",
    work: "farm",
    pet: "horse",
    petName: "Star",
    food: "cheese",
    hobby: "read",
    past: "read",
    friend: "Kira",
  },
  {
    name: "Emma",
    she: true,
    house: "white",
    job: "painter",
    work: "studio",
    pet: "parrot",
    petName: "Coco",
    food: "cake",
    hobby: "run",
    past: "ran",
    friend: "Leo",
  },
  {
    name: "Finn",
    she: false,
    house: "black",
    job: "smith",
    work: "forge",
    pet: "goat",
    petName: "Max",
    food: "fish",
    hobby: "climb",
    past: "climbed",
    friend: "Greta",
  },
  {
    name: "Greta",
    she: true,
    house: "brown",
    job: "gardener",
    work: "garden",
    pet: "hen",
    petName: "Dot",
    food: "salad",
    hobby: "draw",
    past: "drew",
    friend: "Finn",
  },
  {
    name: "Hugo",
    she: false,
    house: "grey",
    job: "miller",
    work: "mill",
    pet: "mouse",
    petName: "Nib",
    food: "pie",
    hobby: "whistle",
    past: "whistled",
    friend: "Anna",
  },
  {
    name: "Ida",
    she: true,
    house: "pink",
    job: "tailor",
    work: "shop",
    pet: "rabbit",
    petName: "Momo",
    food: "rice",
    hobby: "knit",
    past: "knitted",
    friend: "Ben",
  },
  {
    name: "Jack",
    she: false,
    house: "orange",
    job: "sailor",
    work: "harbour",
    pet: "duck",
    petName: "Otto",
    food: "corn",
    hobby: "sleep",
    past: "slept",
    friend: "Clara",
  },
  {
    name: "Kira",
    she: true,
    house: "purple",
    job: "pilot",
    work: "airport",
    pet: "sheep",
    petName: "Woolly",
    food: "jam",
    hobby: "jump",
    past: "jumped",
    friend: "Dan",
  },
  {
    name: "Leo",
    she: false,
    house: "golden",
    job: "cook",
    work: "inn",
    pet: "pony",
    petName: "Gus",
    food: "pasta",
    hobby: "fish",
    past: "fished",
    friend: "Emma",
  },
];

/**
 * Two people who move in later. The pretraining text never mentions them: they are the new facts for an adapter to learn.
 *
 * @type {Person[]}
 */
export const newcomers = [
  {
    name: "Nora",
    she: true,
    house: "silver",
    job: "singer",
    work: "theatre",
    pet: "turtle",
    petName: "Tilda",
    food: "ice cream",
    hobby: "skate",
    past: "skated",
    friend: "Oskar",
  },
  {
    name: "Oskar",
    she: false,
    house: "violet",
    job: "clown",
    work: "circus",
    pet: "monkey",
    petName: "Bobo",
    food: "popcorn",
    hobby: "juggle",
    past: "juggled",
    friend: "Nora",
  },
];

/** What each thing looks like. @type {Pair[]} */
export const colours = [
  ["grass", "green"],
  ["sky", "blue"],
  ["snow", "white"],
  ["sun", "yellow"],
  ["night", "black"],
  ["mud", "brown"],
  ["rain", "grey"],
  ["rose", "red"],
  ["plum", "purple"],
  ["carrot", "orange"],
  ["pig", "pink"],
  ["crown", "golden"],
];

/** What each animal says. @type {Pair[]} */
export const sounds = [
  ["cat", "meow"],
  ["dog", "woof"],
  ["owl", "hoot"],
  ["horse", "neigh"],
  ["hen", "cluck"],
  ["mouse", "squeak"],
  ["duck", "quack"],
  ["sheep", "baa"],
  ["cow", "moo"],
  ["pig", "oink"],
  ["bee", "buzz"],
  ["frog", "croak"],
];

export const days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/** Pairs of opposites; each holds in both directions. @type {Pair[]} */
export const opposites = [
  ["big", "small"],
  ["hot", "cold"],
  ["up", "down"],
  ["old", "young"],
  ["fast", "slow"],
  ["wet", "dry"],
  ["long", "short"],
  ["open", "closed"],
  ["happy", "sad"],
  ["loud", "quiet"],
  ["sweet", "sour"],
  ["full", "empty"],
];

export const numbers = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

/** Things that are counted, as [singular, plural]. @type {Pair[]} */
export const things = [
  ["apple", "apples"],
  ["egg", "eggs"],
  ["plum", "plums"],
  ["pear", "pears"],
  ["nut", "nuts"],
  ["rose", "roses"],
];

/** @type {(n: number, thing: Pair) => string} */
export const count = (n, [one, many]) => `${numbers[n]} ${n === 1 ? one : many}`;

/** @type {(text: string) => string} */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** @type {(noun: string) => string} */
export const article = (noun) => `${/^[aeiou]/.test(noun) ? "an" : "a"} ${noun}`;

/**
 * The sentence for each kind of fact. `forward` leads from the person to the fact, `reverse` from the fact to the person. A model
 * that has read only "A is B" cannot say what B is, so the pretraining text holds both. These very sentences are also the answers of
 * the instruction set: fine-tuning has to teach which one is asked for, not what is true.
 *
 * @type {Record<Kind, {forward: Say, reverse?: Say}>}
 */
export const facts = {
  house: {
    forward: (p) => `${p.name} lives in the ${p.house} house.`,
    reverse: (p) => `The ${p.house} house belongs to ${p.name}.`,
  },
  job: { forward: (p) => `${p.name} is the ${p.job}.`, reverse: (p) => `The ${p.job} is ${p.name}.` },
  work: { forward: (p) => `${p.name} works at the ${p.work}.` },
  pet: { forward: (p) => `${p.name} has ${article(p.pet)}.`, reverse: (p) => `The ${p.pet} belongs to ${p.name}.` },
  petName: {
    forward: (p) => `${p.name}'s ${p.pet} is called ${p.petName}.`,
    reverse: (p) => `${p.petName} is ${p.name}'s ${p.pet}.`,
  },
  food: {
    forward: (p) => `${p.name}'s favourite food is ${p.food}.`,
    reverse: (p) => `${capital(p.food)} is ${p.name}'s favourite food.`,
  },
  hobby: { forward: (p) => `${p.name} likes to ${p.hobby}.`, reverse: (p) => `The one who likes to ${p.hobby} is ${p.name}.` },
  friend: { forward: (p) => `${p.name}'s best friend is ${p.friend}.` },
};

/** @type {Kind[]} */
export const kinds = ["house", "job", "work", "pet", "petName", "food", "hobby", "friend"];

/** @type {(pair: Pair) => string} */
export const colourFact = ([thing, colour]) => `The ${thing} is ${colour}.`;
/** @type {(pair: Pair) => string} */
export const soundFact = ([animal, sound]) => `The ${animal} says ${sound}.`;
/** `i`: of the day before, Monday is 0. @type {(i: number) => string} */
export const dayFact = (i) => `The day after ${days[i]} is ${days[(i + 1) % 7]}.`;
/** @type {(pair: Pair) => string} */
export const oppositeFact = ([a, b]) => `The opposite of ${a} is ${b}.`;
/** @type {(n: number) => string} */
export const nextFact = (n) => `The number after ${numbers[n]} is ${numbers[n + 1]}.`;
/** @type {(a: number, b: number, thing: Pair) => string} */
export const sumFact = (a, b, thing) => `${capital(count(a, thing))} and ${count(b, thing)} are ${count(a + b, thing)}.`;

/** All pairs (a, b) with a, b ≥ 1 and a + b ≤ 10. @type {[number, number][]} */
export const sums = [];
for (let a = 1; a < 10; a++) for (let b = 1; a + b <= 10; b++) sums.push([a, b]);

/** A seeded random source (mulberry32): whole numbers only, so every machine writes the same text. */
export class Random {
  /** @param {number} seed */
  constructor(seed) {
    this.state = seed >>> 0;
  }

  /**
   * A whole number in 0 … n − 1.
   *
   * @param {number} n
   */
  below(n) {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  }

  /**
   * True once in n times.
   *
   * @param {number} n
   */
  once(n) {
    return this.below(n) === 0;
  }

  /**
   * @template T
   * @param {T[]} list never empty
   * @returns {T}
   */
  pick(list) {
    return /** @type {T} */ (list[this.below(list.length)]);
  }

  /**
   * @template T
   * @param {T[]} list
   * @returns {T[]}
   */
  shuffle(list) {
    const rest = [...list];
    const out = [];
    while (rest.length > 0) out.push(...rest.splice(this.below(rest.length), 1));
    return out;
  }

  /**
   * @template T
   * @param {T[]} list
   * @param {number} n
   */
  sample(list, n) {
    return this.shuffle(list).slice(0, n);
  }
}
