import type { Way } from "../../state/data.js";
import type { Stage } from "../../state/recipe.js";

const ways: Record<Way, string> = { example: "Examples", paste: "Paste", files: "Files", write: "Write" };

/** What the page's examples are called; files keep their names. */
const examples: Record<string, string> = {
  village: "village questions",
  pirate: "a pirate’s answers",
  newcomers: "newcomers to the village",
};

const formats = { jsonl: "JSON lines", json: "JSON", csv: "CSV", txt: "Plain text" };

const stages: Record<Stage, string> = {
  sft: "the answers",
  dpo: "the better of two answers (dpo)",
  kto: "good answers, not bad ones (kto)",
  pt: "whole texts (pt)",
};

/** What the answers of preferences are called. */
const roles: Record<string, string> = {
  preferred: "The preferred answer",
  rejected: "The rejected answer",
  good: "A good answer",
  bad: "A bad answer",
  other: "For comparison: an answer to another question",
};

export const data = {
  ways,
  examples,
  /** What an example is about; the data's own words where there are no others. */
  about: (_name: string, own: string) => own.replace(/\.?$/, "."),
  formats,
  stages,
  roles,
  whereFrom: "Where the data comes from",
  theData: "The data",
  tokenizerMakes: "What the tokenizer makes of it",
  greenTokens: (
    <>
      The model learns the <mark class="trained">green</mark> tokens; it only reads the others. Each box is one token.
    </>
  ),
  howUsedLabel: "How the data is used",
  howUsed: "How it is used",
  noData: "There is no data yet.",
  faulty: "The data cannot be read: the red notice above says where.",
  examplesLabel: "Examples",
  exampleLine: (about: string, records: string, heldOut: boolean) => `${about} ${records}${heldOut ? ", others held out to evaluate on" : ""}.`,
  format: "Format",
  records: "Records",
  plainTextPlaceholder: "One text per line. Every token of it is learnt.",
  dropFiles: "Drop files here (jsonl, json, csv, txt or parquet; also packed as gz or zst), or",
  remove: "Remove",
  removeFile: (name: string) => `Remove ${name}`,
  needsReady: "The tokens show once there is a base that is ready.",
  reading: "Reading …",
  stopReading: "Stop reading",
  readingStopped: "The reading was stopped; there is nothing to train on yet.",
  notRead: "The data is not read yet.",
  readAgain: "Read it again",
  nothingYet: "Nothing to show yet.",
  samplesCut: (samples: string, one: boolean, longest: number) => `${samples} ${one ? "is" : "are"} cut; the longest has ${longest} tokens.`,
  takeLength: (length: number) => `Take ${length}`,
  longest: "Longest sample",
  longestHelp: "Longer samples are cut, question and answer in proportion.",
  tokens: "tokens",
  heldOut: "Held out",
  heldOutHelp: "Records kept for evaluation: a count, or a share below 1. An example with its own set needs none.",
  otherFiles: "Evaluate on other files",
  learnQuestions: "Learn the questions too",
  learnQuestionsHelp: "Otherwise the model learns the answers only.",
  lastOnly: "Last answer only",
  lastOnlyHelp: "Of a conversation with several answers, the model learns the last one only.",
  pack: "Pack short samples",
  packHelp: "Several samples share one sequence and do not see each other: faster on short data.",
  whatIsLearnt: "What is learnt",
  whatIsLearntHelp: "Pairs of answers have the fields chosen and rejected; good and bad answers have label or kto_tag.",
  loss: "Loss",
  lossHelp: "How the two answers are compared. orpo and simpo need no reference.",
  strength: "Strength of the preference",
  strengthHelp: "pref_beta: smaller lets the model go further from what it was.",
  columns: (names: string) => `Columns: ${names}`,
  question: "Question",
  questionHelp: "The column that the model reads. Known names, such as instruction, prompt or messages, are found without this.",
  byName: "by its name",
  answer: "Answer",
  answerHelp: "The column that the model learns. Without one, the other column is a text that is learnt whole.",
  noAnswer: "none: a text",
  countRecords: "Records",
  countSamples: "Samples",
  countTokens: "Tokens",
  countLearnt: "Learnt",
  countEvaluate: "To evaluate",
  countLongest: "Longest",
  countCut: "Cut",
  few: (samples: string, one: boolean) =>
    `${samples} ${one ? "is" : "are"} little to learn from: the model will know ${one ? "it" : "them"} by heart rather than learn a skill. A few dozen show a style, some hundreds a skill.`,
  sample: (number: number, line: number, tokens: string, learnt: string) => `Sample ${number} (line ${line}): ${tokens}, ${learnt} learnt`,
  cut: "cut",
  showMore: "Show more samples",
  conversation: (number: number) => `Conversation ${number}`,
  anotherTurn: "Another turn",
  oneTurnLess: "One turn less",
  deleteConversation: (number: number) => `Delete conversation ${number}`,
  delete: "Delete",
  anotherConversation: "Another conversation",
  chooseSome: "There is no data yet: choose some in Data.",
  notANumber: (field: string, step: string) => `“${field}” in ${step} is not a valid number: correct it first.`,
};
