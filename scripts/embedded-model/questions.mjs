// Writes the demo's instruction sets on the village of Quince: questions with answers of one sentence, as alpaca JSONL.
//
//   node scripts/embedded-model/questions.mjs OUT_DIR
//
//   village.jsonl    village_held_out.jsonl      the skill: answer the question that was asked
//                    village_hard.jsonl          the same skill where it does not reach
//   pirate.jsonl     pirate_held_out.jsonl       a style: the same answers from a pirate
//   newcomers.jsonl  newcomers_held_out.jsonl    new facts: two people who are not in the pretraining text
//   manners.jsonl    manners_held_out.jsonl      a preference: the plain answer rather than the pirate's
//
// What is held out. Facts: a quarter of what is true of the villagers is never asked about in training, in no wording and neither direction, and
// these answers do not occur in the training file (checked below). The model can know them only from pretraining, so accuracy there
// measures the skill of answering and not the memory of answers. Wordings: of other facts one wording is kept back. The hard file asks for
// the people behind the held-out facts; a model this small has mostly memorised those pairs of question and answer, so it fails, which is worth seeing.
// Newcomers: each fact is asked about in all wordings but one, and the held-out file asks in that one; it can be learned nowhere else.
//
// How to score: decode greedily; an answer is right when it contains the expected one without its last character. A pirate who is asked a
// plain question still says the plain sentence and so still counts as right, a plain speaker never counts as a pirate.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  Random,
  article,
  colourFact,
  colours,
  count,
  dayFact,
  days,
  facts,
  kinds,
  newcomers,
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

/** @import { Kind, Person, Say } from './world.mjs' */
/** @typedef {{ instruction: string, input: string, output: string }} Sample */

/** How one asks for each kind of fact. @type {Record<Kind, Say[]>} */
const forward = {
  house: [
    (p) => `Where does ${p.name} live?`,
    (p) => `In which house does ${p.name} live?`,
    (p) => `What colour is ${p.name}'s house?`,
    (p) => `Which house is ${p.name}'s home?`,
  ],
  job: [
    (p) => `What is ${p.name}'s job?`,
    (p) => `Which job does ${p.name} have?`,
    (p) => `What does ${p.name} work as?`,
    (p) => `What is the job of ${p.name}?`,
  ],
  work: [
    (p) => `Where does ${p.name} work?`,
    (p) => `Where does ${p.name} go to work?`,
    (p) => `At which place does ${p.name} work?`,
    (p) => `Where is ${p.name} at work?`,
  ],
  pet: [
    (p) => `What pet does ${p.name} have?`,
    (p) => `Which animal does ${p.name} have?`,
    (p) => `What is ${p.name}'s pet?`,
    (p) => `What animal lives with ${p.name}?`,
  ],
  petName: [
    (p) => `What is ${p.name}'s ${p.pet} called?`,
    (p) => `What is the name of ${p.name}'s ${p.pet}?`,
    (p) => `What is ${p.name}'s pet called?`,
    (p) => `What is the name of ${p.name}'s pet?`,
  ],
  food: [
    (p) => `What is ${p.name}'s favourite food?`,
    (p) => `What does ${p.name} like to eat?`,
    (p) => `Which food does ${p.name} like best?`,
    (p) => `What food is best for ${p.name}?`,
  ],
  hobby: [
    (p) => `What does ${p.name} like to do?`,
    (p) => `What is ${p.name}'s hobby?`,
    (p) => `What does ${p.name} do for fun?`,
    (p) => `How does ${p.name} have fun?`,
  ],
  friend: [
    (p) => `Who is ${p.name}'s best friend?`,
    (p) => `Who is the best friend of ${p.name}?`,
    (p) => `Which friend does ${p.name} like best?`,
    (p) => `What is the name of ${p.name}'s best friend?`,
  ],
};

/** How one asks for the person. @type {Partial<Record<Kind, Say[]>>} */
const reverse = {
  house: [
    (p) => `Who lives in the ${p.house} house?`,
    (p) => `Whose house is ${p.house}?`,
    (p) => `Who has the ${p.house} house?`,
    (p) => `Whose home is the ${p.house} house?`,
  ],
  job: [
    (p) => `Who is the ${p.job}?`,
    (p) => `Who works as ${article(p.job)}?`,
    (p) => `What is the name of the ${p.job}?`,
    (p) => `Whose job is ${p.job}?`,
  ],
  pet: [
    (p) => `Who has ${article(p.pet)}?`,
    (p) => `Whose pet is the ${p.pet}?`,
    (p) => `Who lives with ${article(p.pet)}?`,
    (p) => `Whose animal is the ${p.pet}?`,
  ],
  petName: [
    (p) => `Who is ${p.petName}?`,
    (p) => `Whose pet is ${p.petName}?`,
    (p) => `Whose animal is called ${p.petName}?`,
    (p) => `Which animal is called ${p.petName}?`,
  ],
  food: [
    (p) => `Whose favourite food is ${p.food}?`,
    (p) => `Who likes ${p.food} best?`,
    (p) => `Who likes to eat ${p.food}?`,
    (p) => `For whom is ${p.food} the best food?`,
  ],
  hobby: [
    (p) => `Who likes to ${p.hobby}?`,
    (p) => `Whose hobby is to ${p.hobby}?`,
    (p) => `Which person likes to ${p.hobby}?`,
    (p) => `What is the name of the one who likes to ${p.hobby}?`,
  ],
};

/** @typedef {"no" | "fact" | "hard"} Held */

/** One entry for each fact. @type {{ held: Held, answer: string, questions: string[] }[]} */
const entries = [];
/** @type {(held: Held, answer: string, questions: string[]) => void} */
const add = (held, answer, questions) => void entries.push({ held, answer, questions });

// Three people of twelve are held out of each kind, others each time. A pet's kind shows in the sentence with its name, so those two go together, as
// do the two sides of a friendship.
/** @type {Record<Kind, number>} */
const order = { house: 0, job: 1, work: 2, pet: 3, petName: 3, food: 0, hobby: 1, friend: 2 };
/** @type {(kind: Kind, p: Person) => boolean} */
const heldOut = (kind, p) => {
  const here = people.indexOf(p);
  const index =
    kind === "friend"
      ? Math.min(
          here,
          people.findIndex((q) => q.name === p.friend),
        )
      : here;
  return index % 4 === order[kind];
};
for (const p of people) {
  for (const kind of kinds) {
    const { forward: tell, reverse: tellReversed } = facts[kind];
    add(
      heldOut(kind, p) ? "fact" : "no",
      tell(p),
      forward[kind].map((ask) => ask(p)),
    );
    if (tellReversed)
      add(
        heldOut(kind, p) ? "hard" : "no",
        tellReversed(p),
        (reverse[kind] ?? []).map((ask) => ask(p)),
      );
  }
}
colours.forEach(([thing, colour]) =>
  add("no", colourFact([thing, colour]), [
    `What colour is the ${thing}?`,
    `Which colour is the ${thing}?`,
    `What is the colour of the ${thing}?`,
  ]),
);
sounds.forEach(([animal, sound]) =>
  add("no", soundFact([animal, sound]), [
    `What does the ${animal} say?`,
    `What is it that the ${animal} says?`,
    `How does the ${animal} sound?`,
  ]),
);
days.forEach((day, i) =>
  add("no", dayFact(i), [`What is the day after ${day}?`, `Which day comes after ${day}?`, `What day is it after ${day}?`]),
);
opposites.forEach(([a, b]) => {
  for (const [from, to] of /** @type {[string, string][]} */ ([
    [a, b],
    [b, a],
  ]))
    add("no", oppositeFact([from, to]), [
      `What is the opposite of ${from}?`,
      `Which word is the opposite of ${from}?`,
      `What is not ${from}?`,
    ]);
});
for (let n = 0; n < 10; n++)
  add("no", nextFact(n), [
    `What is the number after ${numbers[n]}?`,
    `Which number comes after ${numbers[n]}?`,
    `What comes after ${numbers[n]}?`,
  ]);
for (const [a, b] of sums) {
  things.forEach((thing, i) => {
    // Two kinds of things for each sum are enough.
    if ((a + 2 * b + i) % 3 !== 0) return;
    add("no", sumFact(a, b, thing), [
      `How many ${thing[1]} do ${count(a, thing)} and ${count(b, thing)} make?`,
      `What are ${count(a, thing)} and ${count(b, thing)} together?`,
    ]);
  });
}

const random = new Random(7);
/** @type {(instruction: string, output: string) => Sample} */
const sample = (instruction, output) => ({ instruction, input: "", output });
/** @type {(set: Sample[]) => string[]} */
const asking = (set) => set.map((s) => s.instruction);
/** @type {(set: Sample[]) => string[]} */
const answering = (set) => set.map((s) => s.output);
/** @type {(answer: string) => string} */
const pirate = (answer) => `Arr! ${answer.slice(0, -1)}, matey!`;

// Some wordings of what is known are kept back, most of them questions for a person, which the held-out facts do not cover.
/** @type {Sample[]} */
const village = [];
/** @type {Sample[]} */
const villageHeld = [];
entries
  .filter((e) => e.held === "no")
  .forEach((e, i) => {
    const keptBack = i % 4 === 0 ? random.below(e.questions.length) : -1;
    e.questions.forEach((q, w) => (w === keptBack ? villageHeld : village).push(sample(q, e.answer)));
  });
/** @type {(held: Held) => Sample[]} */
const asked = (held) =>
  entries.filter((e) => e.held === held).flatMap((e) => random.sample(e.questions, 2).map((q) => sample(q, e.answer)));
const heldFacts = asked("fact");
const hard = asked("hard");
disjoint(answering(village), answering([...heldFacts, ...hard]));
villageHeld.push(...heldFacts);
const pirates = random.sample(village, 320).map(({ instruction, output }) => sample(instruction, pirate(output)));
const piratesHeld = villageHeld.map(({ instruction, output }) => sample(instruction, pirate(output)));

/** @type {Sample[]} */
const arrivals = [];
/** @type {Sample[]} */
const arrivalsHeld = [];
newcomers.forEach((p, i) =>
  kinds.forEach((kind, k) => {
    const { forward: tell, reverse: tellReversed } = facts[kind];
    /** @type {[Say[], Say | undefined][]} */
    const directions = [
      [forward[kind], tell],
      [reverse[kind] ?? [], tellReversed],
    ];
    directions.forEach(([asks, answer], d) =>
      asks.forEach((ask, wording) => {
        if (answer) (wording === (i + k + d) % 4 ? arrivalsHeld : arrivals).push(sample(ask(p), answer(p)));
      }),
    );
  }),
);

/** @type {(plain: Sample[], loud: Sample[]) => { instruction: string, input: string, chosen: string, rejected: string }[]} */
const preferring = (plain, loud) => {
  const answers = new Map(plain.map((s) => [s.instruction, s.output]));
  return loud.map(({ instruction, input, output }) => ({
    instruction,
    input,
    chosen: answers.get(instruction) ?? "",
    rejected: output,
  }));
};

disjoint(asking(village), asking(villageHeld));
disjoint(asking(pirates), asking(piratesHeld));
disjoint(asking(arrivals), asking(arrivalsHeld));

/**
 * The claims made above.
 *
 * @param {string[]} trained
 * @param {string[]} held
 */
function disjoint(trained, held) {
  const seen = new Set(trained);
  for (const x of held) if (seen.has(x)) throw new Error(`both trained and held out: ${x}`);
}

const [out] = process.argv.slice(2);
if (!out) {
  console.error("usage: node questions.mjs OUT_DIR");
  process.exit(2);
}
mkdirSync(out, { recursive: true });
/** @type {Record<string, object[]>} */
const files = {
  village,
  village_held_out: villageHeld,
  village_hard: hard,
  pirate: pirates,
  pirate_held_out: piratesHeld,
  newcomers: arrivals,
  newcomers_held_out: arrivalsHeld,
  manners: preferring(village, pirates),
  manners_held_out: preferring(villageHeld, piratesHeld),
};
for (const [name, set] of Object.entries(files)) {
  writeFileSync(
    join(out, `${name}.jsonl`),
    random
      .shuffle(set)
      .map((s) => JSON.stringify(s) + "\n")
      .join(""),
  );
  console.error(`${name}.jsonl: ${set.length} questions`);
}
const columns = { prompt: "instruction", query: "input", chosen: "chosen", rejected: "rejected" };
/** @type {(name: string) => object} */
const entry = (name) =>
  name.startsWith("manners") ? { file_name: `${name}.jsonl`, ranking: true, columns } : { file_name: `${name}.jsonl` };
const info = Object.fromEntries(Object.keys(files).map((name) => [name, entry(name)]));
writeFileSync(join(out, "dataset_info.json"), JSON.stringify(info, null, 2) + "\n");
