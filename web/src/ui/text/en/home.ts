export const home = {
  see: "See it learn",
  seeText:
    "A model of a million parameters has read stories of one village, and cannot answer a question yet. Watch it learn to: it answers before the first step, and again every few steps.",
  seeMore: "One click. The answers change within the first minute, without a graphics card, too.",
  seeRecorded: "It cannot train here, for the reason above. A recorded run shows what it looks like: the steps and answers of a real run, in forty seconds.",
  toTheRun: "To the run",
  learn: "Learn",
  learnText:
    "What does a model learn from an example, and what does it only read? Why must a base be whole? Short lessons answer with the real model: you predict, it trains, you see.",
  learnMore: "For yourself or a class: each lesson has an address of its own, and a way to present it.",
  toTheLessons: "To the lessons",
  own: "Your own model",
  ownText:
    "A Hugging Face folder from this computer or the network, your examples, all parameters or a LoRA adapter: six steps, and the result is a folder that transformers and PEFT load.",
  ownMore: "Every file is checked before training, and memory and time are told before the start.",
  chooseABase: "Choose a base",
  goOn: "Go on",
  lastVisit: "Your last visit is as you left it",
  /** What follows it: the base with its size, and the data. */
  lastBase: (name: string, parameters: string | null) => `: ${name}${parameters === null ? "" : `, ${parameters} parameters`}`,
  lastData: (name: string) => `, ${name}`,
  lastEnd: ".",
  interrupted: "A run was interrupted. Its last snapshot is kept, and it can go on from there.",
  toTheInterrupted: "To the interrupted run",
  compareKept: (runs: string) => `Compare ${runs} kept in this browser`,
};
