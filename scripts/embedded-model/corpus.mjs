// Writes the pretraining text: stories, portraits and lists from the village of Quince, one `{"text": …}` a line.
//
//   node scripts/embedded-model/corpus.mjs OUT.jsonl [documents] [seed]
//
// Every fact of world.mjs occurs many times, in both directions and in several wordings, because a model keeps what it has met in many
// forms. Lists have a sentence a line, as an answer stands in the chat template; stories are prose. No document asks a question: after pretraining the model continues text, and answering is what fine-tuning adds.

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import {
  Random,
  article,
  capital,
  colourFact,
  colours,
  count,
  dayFact,
  days,
  facts,
  kinds,
  nextFact,
  numbers,
  opposites,
  oppositeFact,
  people,
  soundFact,
  sounds,
  sumFact,
  sums,
  things,
} from "./world.mjs";

const random = new Random(Number(process.argv[4] ?? 2026));
/** @import { Kind, Pair, Person, Say } from './world.mjs' */

/** @type {(p: Person) => Person} */
const friendOf = (p) => random.pick(people.filter((q) => q.name === p.friend));
/** @type {(p: Person) => Person} */
const other = (p) => random.pick(people.filter((q) => q !== p));
/** @type {Say} */
const he = (p) => (p.she ? "she" : "he");
/** @type {Say} */
const He = (p) => (p.she ? "She" : "He");
/** @type {Say} */
const his = (p) => (p.she ? "her" : "his");
/** @type {Say} */
const him = (p) => (p.she ? "her" : "him");

/** Other wordings of each kind of fact, beside the plain sentences of world.mjs. @type {Record<Kind, Say[]>} */
const wordings = {
  house: [
    (p) => `${p.name}'s house is ${p.house}.`,
    (p) => `The home of ${p.name} is the ${p.house} house.`,
    (p) => `${p.name}, who lives in the ${p.house} house, is the ${p.job}.`,
    (p) => `In the ${p.house} house lives ${p.name}.`,
  ],
  job: [
    (p) => `${p.name} works as ${article(p.job)}.`,
    (p) => `${p.name} the ${p.job} works at the ${p.work}.`,
    (p) => `The job of ${p.name} is ${p.job}.`,
  ],
  work: [(p) => `Every day ${p.name} goes to the ${p.work}.`, (p) => `The ${p.work} is where ${p.name} works.`],
  pet: [
    (p) => `${p.name}'s pet is ${article(p.pet)}.`,
    (p) => `${p.name} has ${article(p.pet)} called ${p.petName}.`,
    (p) => `In the ${p.house} house there is ${article(p.pet)}.`,
  ],
  petName: [(p) => `The name of ${p.name}'s ${p.pet} is ${p.petName}.`, (p) => `${p.petName} the ${p.pet} belongs to ${p.name}.`],
  food: [(p) => `${p.name} likes ${p.food} best.`, (p) => `What ${p.name} likes to eat best is ${p.food}.`],
  hobby: [
    (p) => `When ${p.name} has time, ${he(p)} likes to ${p.hobby}.`,
    (p) => `Everyone knows that ${p.name} likes to ${p.hobby}.`,
  ],
  friend: [(p) => `${p.name} and ${p.friend} are best friends.`, (p) => `The best friend of ${p.name} is ${p.friend}.`],
};

/**
 * One sentence on a fact: plain most of the time, reversed or reworded otherwise.
 *
 * @param {Kind} kind
 * @param {Person} p
 */
function tell(kind, p) {
  const { forward, reverse } = facts[kind];
  const dice = random.below(10);
  if (dice < 4) return forward(p);
  if (dice < 7 && reverse) return reverse(p);
  return random.pick(wordings[kind])(p);
}

/** The same fact about somebody named in the sentence before. @type {Record<Kind, Say>} */
const pronoun = {
  house: (p) => `${He(p)} lives in the ${p.house} house.`,
  job: (p) => `${He(p)} is the ${p.job}.`,
  work: (p) => `${He(p)} works at the ${p.work}.`,
  pet: (p) => `${He(p)} has ${article(p.pet)}.`,
  petName: (p) => `${capital(his(p))} ${p.pet} is called ${p.petName}.`,
  food: (p) => `${capital(his(p))} favourite food is ${p.food}.`,
  hobby: (p) => `${He(p)} likes to ${p.hobby}.`,
  friend: (p) => `${capital(his(p))} best friend is ${p.friend}.`,
};

/** All about one person. */
function portrait() {
  const p = random.pick(people);
  const chosen = random.sample(kinds, 5 + random.below(4));
  const out = random.once(3) ? [`This is ${p.name} from the village of Quince.`] : [];
  for (const kind of chosen) out.push(out.length > 0 && random.below(5) < 2 ? pronoun[kind](p) : tell(kind, p));
  return out.join("\n");
}

/** One kind of fact about several people. */
function row() {
  const kind = random.pick(kinds);
  const { forward, reverse } = facts[kind];
  const out = random.sample(people, 4 + random.below(4)).map(reverse && random.once(2) ? reverse : forward);
  if (random.once(3)) out.unshift("This is what everyone in Quince knows.");
  return out.join("\n");
}

/** What is true of days, numbers, colours, sounds and opposites. */
function almanac() {
  /** @type {(pair: Pair) => string} */
  const opposite = ([a, b]) => oppositeFact(random.once(2) ? [a, b] : [b, a]);
  const makers = [
    () => random.sample(colours, 5).map(colourFact),
    () => random.sample(sounds, 5).map(soundFact),
    () => random.sample([0, 1, 2, 3, 4, 5, 6], 4).map(dayFact),
    () => random.sample(opposites, 5).map(opposite),
    () => random.sample([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 4).map(nextFact),
    () => [
      colourFact(random.pick(colours)),
      soundFact(random.pick(sounds)),
      dayFact(random.below(7)),
      opposite(random.pick(opposites)),
      nextFact(random.below(10)),
    ],
  ];
  return random.pick(makers)().join("\n");
}

/** Sums, plain or as a little scene. */
function counting() {
  if (random.once(3)) {
    const thing = random.pick(things);
    return random
      .sample(sums, 5)
      .map(([a, b]) => sumFact(a, b, thing))
      .join("\n");
  }
  const out = [];
  for (let i = 0; i < 2; i++) {
    const thing = random.pick(things);
    const [a, b] = random.pick(sums);
    const p = random.pick(people);
    const q = other(p);
    out.push(
      `${p.name} has ${count(a, thing)}. ${q.name} the ${q.job} gives ${him(p)} ${count(b, thing)}. ${sumFact(a, b, thing)}` +
        ` Now ${p.name} has ${count(a + b, thing)}.`,
    );
  }
  return out.join(" ");
}

/** What one may want to know about a person, with the answer behind it: in a clause, as a story puts it, never as a question. */
/** @type {Record<Kind, Say[]>} */
const clauses = {
  house: [(p) => `where ${p.name} lives`, (p) => `in which house ${p.name} lives`, (p) => `what colour ${p.name}'s house is`],
  job: [(p) => `what ${p.name}'s job is`, (p) => `which job ${p.name} has`, (p) => `what ${p.name} works as`],
  work: [(p) => `where ${p.name} works`, (p) => `at which place ${p.name} works`],
  pet: [(p) => `what pet ${p.name} has`, (p) => `which animal ${p.name} has`, (p) => `what ${p.name}'s pet is`],
  petName: [(p) => `what ${p.name}'s ${p.pet} is called`, (p) => `what the name of ${p.name}'s pet is`],
  food: [
    (p) => `what ${p.name}'s favourite food is`,
    (p) => `what ${p.name} likes to eat`,
    (p) => `which food ${p.name} likes best`,
  ],
  hobby: [(p) => `what ${p.name} likes to do`, (p) => `what ${p.name} does for fun`, (p) => `what ${p.name}'s hobby is`],
  friend: [(p) => `who ${p.name}'s best friend is`, (p) => `which friend ${p.name} likes best`],
};

/** The same from the other end. @type {Partial<Record<Kind, Say[]>>} */
const clausesReversed = {
  house: [(p) => `who lives in the ${p.house} house`, (p) => `whose house is ${p.house}`, (p) => `who has the ${p.house} house`],
  job: [(p) => `who the ${p.job} is`, (p) => `who works as ${article(p.job)}`, (p) => `whose job is ${p.job}`],
  pet: [(p) => `who has ${article(p.pet)}`, (p) => `whose pet the ${p.pet} is`],
  petName: [(p) => `who ${p.petName} is`, (p) => `whose pet ${p.petName} is`, (p) => `which animal is called ${p.petName}`],
  food: [(p) => `whose favourite food is ${p.food}`, (p) => `who likes ${p.food} best`, (p) => `who likes to eat ${p.food}`],
  hobby: [(p) => `who likes to ${p.hobby}`, (p) => `whose hobby is to ${p.hobby}`, (p) => `which person likes to ${p.hobby}`],
};

/** A clause of what somebody wants to know, and the fact. @returns {[string, string]} */
function wonder() {
  if (random.below(10) < 6) {
    const p = random.pick(people);
    const kind = random.pick(kinds);
    const { forward, reverse } = facts[kind];
    const reversed = clausesReversed[kind];
    if (reverse && reversed && random.once(2)) return [random.pick(reversed)(p), reverse(p)];
    return [random.pick(clauses[kind])(p), forward(p)];
  }
  const dice = random.below(8);
  if (dice === 0) {
    const [thing, colour] = random.pick(colours);
    return [random.pick([`what colour the ${thing} is`, `which colour the ${thing} has`]), colourFact([thing, colour])];
  }
  if (dice === 1) {
    const [animal, sound] = random.pick(sounds);
    return [random.pick([`what the ${animal} says`, `how the ${animal} sounds`]), soundFact([animal, sound])];
  }
  if (dice === 2) {
    const i = random.below(days.length);
    return [random.pick([`what day is after ${days[i]}`, `which day comes after ${days[i]}`]), dayFact(i)];
  }
  if (dice === 3) {
    const n = random.below(10);
    return [random.pick([`what number is after ${numbers[n]}`, `which number comes after ${numbers[n]}`]), nextFact(n)];
  }
  if (dice < 6) {
    const [a, b] = random.pick(opposites);
    const [from, to] = random.once(2) ? [a, b] : [b, a];
    return [random.pick([`what the opposite of ${from} is`, `which word is the opposite of ${from}`]), oppositeFact([from, to])];
  }
  const thing = random.pick(things);
  const [a, b] = random.pick(sums);
  const both = `${count(a, thing)} and ${count(b, thing)}`;
  return [random.pick([`how many ${thing[1]} ${both} make`, `what ${both} are together`]), sumFact(a, b, thing)];
}

/** Villagers who want to know something. */
function talk() {
  const out = [];
  for (let i = 3 + random.below(3); i > 0; i--) {
    const [clause, fact] = wonder();
    const p = random.pick(people.filter(({ name }) => !fact.includes(name)));
    const q = random.pick(people.filter((x) => x !== p && !fact.includes(x.name)));
    const open = random.pick([
      `${p.name} asked ${q.name} ${clause}.`,
      `${p.name} wanted to know ${clause}.`,
      `${p.name} told ${q.name} ${clause}.`,
      `Everyone in Quince knows ${clause}.`,
    ]);
    out.push(open, fact);
  }
  return out.join("\n");
}

/** A day in the village. */
function story() {
  const p = random.pick(people);
  const q = random.once(2) ? friendOf(p) : other(p);
  const day = random.pick(days);
  const [thing, colour] = random.pick(colours);
  const open = random.pick([
    `It was ${day} in the village of Quince. ${p.name} woke up in the ${p.house} house.`,
    `One morning ${p.name} opened the door of the ${p.house} house.`,
    `On ${day} the sun was yellow and the sky was blue. ${p.name} the ${p.job} was happy.`,
    `Early in the morning ${p.name} left the ${p.house} house.`,
  ]);
  const sound = sounds.find(([animal]) => animal === p.pet);
  const animal = sound
    ? [`"${capital(sound[1])}," said ${p.petName} the ${p.pet}.`, `${capital(his(p))} ${p.pet} ${p.petName} said ${sound[1]}.`]
    : [`${capital(his(p))} ${p.pet} ${p.petName} came too.`, `${p.petName} the ${p.pet} was hungry.`];
  const work = [
    `Then ${he(p)} went to the ${p.work}, because ${p.name} is the ${p.job}.`,
    `${p.name} worked at the ${p.work} all day.`,
    `At the ${p.work} there was much work for the ${p.job}.`,
  ];
  const meet =
    q === friendOf(p)
      ? [
          `There ${he(p)} met ${q.name}, ${his(p)} best friend.`,
          `${q.name} the ${q.job} came to see ${his(q)} best friend ${p.name}.`,
        ]
      : [
          `There ${he(p)} met ${q.name} the ${q.job}.`,
          `${q.name} came from the ${q.house} house with ${q.petName} the ${q.pet}.`,
        ];
  const counted = random.pick(things);
  const [a, b] = random.pick(sums);
  const give = [
    `${q.name} gave ${him(p)} ${count(a, counted)}. ${p.name} had ${count(b, counted)}. ${sumFact(a, b, counted)}`,
    `They looked at the ${thing}. ${colourFact([thing, colour])}`,
    `They sat by the lake and saw a frog. ${soundFact(["frog", "croak"])}`,
    `"Tomorrow is ${days[(days.indexOf(day) + 1) % 7]}," said ${q.name}. ${dayFact(days.indexOf(day))}`,
  ];
  const eat = [
    `They ate ${p.food}, because ${p.name}'s favourite food is ${p.food}.`,
    `For lunch ${p.name} had ${p.food} and ${q.name} had ${q.food}.`,
    `${p.name} had ${p.food} in ${his(p)} bag. ${capital(p.food)} is ${p.name}'s favourite food.`,
  ];
  const play = [
    `In the evening ${p.name} ${p.past}, because ${p.name} likes to ${p.hobby}.`,
    `${p.name} ${p.past} and ${q.name} ${q.past}.`,
  ];
  const close = random.pick([
    `Then ${p.name} went home to the ${p.house} house. It was a good day.`,
    `At night ${p.name} and ${p.petName} slept in the ${p.house} house.`,
    `"Good night," said ${p.name}.`,
    `It was a good day in Quince.`,
  ]);
  const middle = [animal, work, meet, give, eat, play].map((choices) => random.pick(choices));
  const left = random.below(3);
  for (let i = 0; i < left; i++) middle.splice(random.below(middle.length), 1);
  return [open, ...middle, close].join(" ");
}

/** Of a hundred documents. @type {[() => string, number][]} */
const shares = [
  [story, 22],
  [portrait, 25],
  [row, 12],
  [almanac, 8],
  [counting, 13],
  [talk, 20],
];
const deck = shares.flatMap(([make, share]) => Array.from({ length: share }, () => make));

const [out, documents = "7000"] = process.argv.slice(2);
if (!out || !(Number(documents) > 0)) {
  console.error("usage: node corpus.mjs OUT.jsonl [documents] [seed]");
  process.exit(2);
}
const texts = Array.from({ length: Number(documents) }, () => random.pick(deck)());
mkdirSync(dirname(out), { recursive: true });
writeFileSync(out, texts.map((text) => JSON.stringify({ text }) + "\n").join(""));
const different = new Set(texts.join(" ").match(/[A-Za-z]+/g));
console.error(
  `${out}: ${texts.length} documents, ${(texts.join("").length / 1e6).toFixed(1)} MB, ${different.size} different words`,
);
