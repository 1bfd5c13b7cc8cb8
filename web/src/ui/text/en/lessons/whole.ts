import type { Verdict } from "rootstock";
import type { Break } from "../../../learn/broken.js";

const breaks: Record<Break, { title: string; what: string }> = {
  config: { title: "Delete config.json", what: "The weights were copied, the configuration was forgotten." },
  keys: { title: "Rename the keys", what: "Every tensor’s name begins with “module.”, as in a model that was saved inside DistributedDataParallel." },
  head: { title: "Untie the head", what: "config.json says that the output head is a matrix of its own (tie_word_embeddings: false), and no file holds one." },
  shard: { title: "Drop a shard", what: "The weights are in two files with an index, and the download of the second one failed." },
  tokenizer: { title: "Leave the tokenizer out", what: "A training script saved the model and did not save the tokenizer beside it." },
  adapter: { title: "Give an adapter as a model", what: "The folder holds what LoRA training writes: the small matrices, and the name of the base that they belong to." },
};

const verdicts: Record<Verdict, string> = { ready: "ready", repairable: "repairable", unusable: "unusable" };

export const whole = {
  breaks,
  verdicts,
  nothingBroken: "Nothing is broken yet: choose below what happens to the village model’s folder. What does a training program that loads it with transformers get?",
  predict: (what: readonly string[]) => `Somebody fine-tuned the village model and hands you its folder. ${what.join(" ")} What does a training program get that loads it with transformers?`,
  options: {
    refuses: "It is refused with an error",
    same: "It loads and answers as before",
    worse: "It loads and answers somewhat worse",
    nonsense: "It loads without an error, and knows nothing",
  },
  breakIt: "Break it with your own hands: each of these happens to people every week. Choose one, or several at once; the files are edited in this page.",
  give: "Give it to everyone",
  building: "Building it",
  measuringWhole: "Measuring the whole model",
  measuringLoaded: "Measuring what transformers loads",
  askingValidator: "Asking the validator",
  repairing: "Repairing a copy",
  examined: "It is examined.",
  asLoaded: "as transformers loads it",
  broken: "broken",
  transformers: "What transformers makes of it",
  refuses: "It refuses: ",
  goodCase: "This is the good case: nobody trains on it.",
  loads: (random: string | null, of: string) =>
    random === null ? "It loads. Every tensor is found." : `It loads. ${random} of ${of} tensors are not found under the names it looks for, and it makes them up at random.`,
  prints: "It prints: ",
  cannotBeRepaired: "Nothing in the folder can take the place of what is missing, so it cannot be repaired.",
  validator: "What the validator of this page says",
  repairedCopy: (done: string) => `The repaired copy: ${done}`,
  itsLoss: (repaired: string, whole: string) => `Its loss is ${repaired}; that of the whole model is ${whole}.`,
  losses: {
    caption: "Loss a token on a text of the village, measured here",
    whole: "The whole model",
    loaded: "As transformers loads it",
    repaired: "The repaired copy",
    nothing: (vocabulary: string) => `A model that knows nothing: ln ${vocabulary}`,
  },
  tried: { caption: "What was tried so far", broken: "Broken", guess: "Your guess", came: "What came", loss: "Loss", verdict: "Verdict" },
  why: [
    "A model’s folder is an agreement between names: config.json says which matrices there are, the weight file holds them under those names, the tokenizer says which number is which piece of text. Where a name leads nowhere, a loader either stops, or fills the place with random numbers and prints one line among many. A model with random weights gives every token of its vocabulary about the same probability; its loss is the logarithm of their number. Training begins there without a fault, and an adapter on it learns nothing of use.",
    "So before a fine-tune is used as a base, look at two things: that nothing was made up, and that the loss on a known text is what it was. The Check step of this page does both. What is refused costs a minute; what is loaded in silence costs the run.",
  ],
};
