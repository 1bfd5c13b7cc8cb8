import type { Counted, Thing } from "../noun.js";

const noun = (single: string): Counted => (count, one) => `${count} ${single}${one ? "" : "s"}`;

const things: Record<Thing, Counted> = {
  answer: noun("answer"),
  fault: noun("fault"),
  file: noun("file"),
  kernel: noun("kernel"),
  minute: noun("minute"),
  pair: noun("pair"),
  prompt: noun("prompt"),
  record: noun("record"),
  run: noun("run"),
  sample: noun("sample"),
  step: noun("step"),
  tensor: noun("tensor"),
  token: noun("token"),
};

/** A large count with three significant digits and a letter: 1.05 M, 135 M. */
function short(value: number): string {
  for (const [size, letter] of [[1e9, "B"], [1e6, "M"], [1e3, "K"]] as const) {
    if (value >= size) return `${(value / size).toPrecision(3)} ${letter}`;
  }
  return String(value);
}

export const units = {
  things,
  short,
  percent: (figures: string) => `${figures} %`,
  underOneSecond: "under 1 s",
  seconds: (seconds: number) => `${seconds} s`,
  minutes: (minutes: number, seconds: number) => `${minutes} min ${seconds} s`,
  hours: (hours: number, minutes: number) => `${hours} h ${minutes} min`,
  doneOf: (done: string, total: string) => `${done} of ${total}`,
  /** Between two sentences. */
  gap: " ",
  yes: "yes",
  no: "no",
  numberNeeded: "A number is needed here.",
  notANumber: "This is not a number. Write it as 0.0001 or 1e-4.",
  notWhole: "A whole number is needed here.",
  atLeast: (least: number) => `At least ${least}.`,
  atMost: (most: number) => `At most ${most}.`,
};
