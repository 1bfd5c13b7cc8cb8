export const rank = {
  predict:
    "A weight matrix of the village model has 128 rows or more. LoRA may change it in as many directions as its rank. From which rank on does it learn the village’s questions about as well (nine tenths of the best) in the same number of steps?",
  ofRank: (rank: number) => `Rank ${rank}`,
  orMore: (rank: number) => `Rank ${rank} or more`,
  doIt: (steps: string) => `Train LoRA with one rank after the other, ${steps} steps each; then all parameters, whose update may have any rank.`,
  allParameters: "All parameters",
  theFullUpdate: "The full update",
  nothingChanged: "No matrix changed: take a higher learning rate or more steps.",
  cutting: (rank: number) => `Cutting to rank ${rank}`,
  cuttingIt: "Cutting it",
  byRank: {
    title: "Held-out loss by rank",
    about: (base: string, full: string | null) => `The loss of answers that were not trained on. The base has ${base}${full === null ? "" : `, the full update ${full}`}.`,
    lora: "LoRA of this rank",
    cut: "the full update cut to this rank",
    x: "rank",
    point: (rank: number, lora: string | null, cut: string | null) =>
      `Rank ${rank}: ${lora === null ? "LoRA was not trained" : `LoRA reaches ${lora}`}; ${cut === null ? "the full update was not cut to it" : `the full update cut to it has ${cut}`}.`,
  },
  spectrum: {
    title: (name: string) => `Singular values of the update of ${name}`,
    about: "How far the full update goes in each of its directions, the furthest first. A curve that falls fast is an update of few directions.",
    line: "singular value",
    x: "direction",
    point: (direction: number, length: string, share: string) => `Direction ${direction} is ${length} long; the first ${direction} hold ${share} of the update.`,
  },
  /** Before the rank, which is set in bold. */
  cutTo: "The full update, cut to rank ",
  kept: "Kept of the change",
  heldOut: "Held-out loss",
  numbers: "Numbers",
  file: "File",
  answers: (said: string) => `It answers the first held-out question with “${said}”.`,
  keptWhole: (names: string) => `Kept whole, as no low rank comes near their change: ${names}.`,
  why: [
    "Every matrix is a sum of directions, each with a length: its singular values. What a task adds to a weight often has a few long ones and a tail of short ones. A rank of r keeps r directions; LoRA has to find them while it trains, the cut takes the longest of an update that is there.",
    <>
      The tail is not nothing: cut too deep, a model forgets details first and the task last. Facts that have nothing to do with each other need more directions than a manner of speaking. <code>rootstock extract</code>{" "}
      makes the same cut of any fine-tune and writes it as an adapter.
    </>,
  ],
};
