export const step = {
  predict: (steps: string) => `A step moves every weight against its gradient, and the learning rate says how far. The same ${steps} steps with different rates: after which one is the loss lowest?`,
  options: {
    "1e-6": "0.000001 (1e-6)",
    "1e-4": "0.0001 (1e-4)",
    "1e-3": "0.001 (1e-3)",
    "1e-2": "0.01 (1e-2)",
    "1e-1": "0.1 (1e-1)",
    "1": "1: the further the faster",
  },
  apart: "One step, taken apart",
  apartText: (batch: string) =>
    `A step has four parts. The model reads ${batch} examples and says how probable each next token is (forward). Minus the logarithm of what it gave the right ones is the loss. The gradient says for every weight which way the loss grows. The update moves the weights the other way.`,
  rate: "Learning rate",
  stepParts: { forward: "Forward", loss: "Loss", gradient: "Gradient", update: "Update" },
  stepDone: "The step is done",
  oneStep: "One step",
  forwardText: (batch: string) => `What the base thinks of one example that is not among the ${batch}; the stronger the colour, the less it expected the token.`,
  beforeStep: "Before the step",
  afterStep: "After the step",
  /** Around the loss, which is set in bold. */
  lossText: (batch: string, probability: string): readonly string[] => [`The mean over the learned tokens of the ${batch} examples is `, `: on average the right token had a probability of ${probability}.`],
  /** Around the norm. */
  gradientText: (clipped: { limit: string; factor: string } | null, limit: string): readonly string[] => [
      "All gradients together are ",
      clipped
        ? ` long. That is more than ${clipped.limit}: they are clipped, all by the same factor ${clipped.factor}, so that one odd batch cannot throw the model far.`
        : ` long. That is no more than the limit of ${limit}, so nothing is clipped.`,
    ],
  /** Around the length of the update and the new loss. */
  updateText: (rate: string, share: string, loss: string): readonly string[] => [`With a rate of ${rate} the weights move by `, `, ${share} of their own length. On the example above the loss of the answer was ${loss} and is `, "."],
  loop: "A loop of steps",
  loopText: (steps: string) => `Train ${steps} steps with one rate after the other. At the last one numbers grow beyond what a float can hold.`,
  batch: "Examples a step",
  batchHelp: "The batch: more make a steadier gradient and a slower step.",
  clip: "Clip at",
  clipHelp: "The longest that all gradients together may be; 0 clips nothing.",
  trainWith: (rate: string) => `Train with a rate of ${rate}`,
  ofRate: (rate: string) => `Rate ${rate}`,
  plot: {
    title: "Loss by learning rate",
    about: "One curve for each rate that was tried; a falling curve learns, a flat one does nothing, a rising one diverges.",
    x: "step",
    point: (step: number, of: readonly (readonly [rate: string, loss: string])[]) => `Step ${step}: ${of.map(([rate, loss]) => `rate ${rate} has ${loss}`).join(", ")}.`,
  },
  pieces: "The same step in pieces",
  piecesText: (batch: string) => `${batch} examples at once, or a half or a quarter of them at a time with their gradients added up before the update (accumulation): the same losses, less memory.`,
  trainPieces: "Train all three",
  times: "Examples × times",
  lossOf: (step: number) => `Loss of step ${step}`,
  memory: "GPU memory at most",
  why: [
    "The gradient is true where the weights are; a step away it is another one. A rate that is too small wastes steps: the weights hardly move. One that is too large jumps over the valley, lands where the loss is higher, and jumps further. AdamW moves every weight by about the rate, whatever its gradient’s size, so the rate must be small against the weights themselves.",
    "When numbers outgrow what a float holds, the loss is no number any more. The trainer then leaves the weights as they were before that step, ends the run and says at which step it happened; without that guard the whole model would be NaN, and every later step with it.",
  ],
};
