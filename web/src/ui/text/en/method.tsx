import type { Estimate, RunMethod } from "rootstock";
import type { Method } from "../../state/recipe.js";
import type { Way } from "../../state/ways.js";

/** Of each method: its name, and what it means in a line. */
const methods: Record<Method, { name: string; line: string }> = {
  full: {
    name: "All parameters",
    line: "Learns most and needs most memory: weights, gradients and two moments of each. The result is a whole model.",
  },
  lora: {
    name: "LoRA adapter",
    line: "The base stays as it is; small matrices beside it learn. Needs little, and comes out as a small file that can be merged.",
  },
  freeze: { name: "Some layers", line: "Only the last layers learn, all others stay. Between the two in memory; the result is a whole model." },
};

/** How the rail and the list of runs name what made a result. */
const short: Record<RunMethod, string> = { full: "all parameters", lora: "LoRA", freeze: "some layers", merge: "merged", repair: "repaired", copy: "copy" };

const memoryParts: Record<Exclude<keyof Estimate["memory"], "peak">, string> = {
  weights: "Weights",
  gradients: "Gradients",
  optimizer: "Moments",
  activations: "Activations",
  other: "Other",
};

/** A setting: its name, and what it does. */
const setting = (name: string, help: string) => ({ name, help });

export const method = {
  methods,
  short,
  memoryParts,
  label: "Method",
  needsReady: "The settings show once there is a base that is ready.",
  more: "More settings",
  costs: "What it costs",
  notFitYet: "It does not fit yet.",
  summary: (parameters: string, memory: string, steps: string) => `${parameters} parameters learn, ${memory} of memory, ${steps}`,
  noWebGpu: "Without WebGPU nothing can be trained here, so there is nothing to estimate.",
  onceData: "Memory and time show once there is data.",
  estimating: "Estimating …",
  parametersThatLearn: "Parameters that learn",
  share: "Share of the model",
  steps: "Steps",
  stored: "Stored in this browser",
  time: "Time",
  about: (time: string) => `about ${time}`,
  beingMeasured: "being measured …",
  notKnown: "not known yet",
  answersOnTheWay: (answers: string) => `${answers} on the way`,
  aboutMore: (time: string) => `about ${time} more`,
  timeWithFirst: "time shows with the first",
  memory: (peak: string, available: string | null) => (
    <>
      Memory: <span class="number">{peak}</span>
      {available !== null && <span class="soft"> of {available}</span>}
    </>
  ),
  fits: "It fits.",
  doesNotFit: "It does not fit into what this device offers.",
  /** GPU memory in every way of training. */
  ways: {
    title: "Memory in every way of training",
    caption: "Memory in every way of training, as planned for these data and settings. Press one to take it.",
    way: "What learns",
    kept: "Fast",
    again: "Saving memory",
    names: ({ method, bits }: Way) => (bits === null ? { full: "All parameters", freeze: "Some layers", lora: "LoRA" }[method] : `LoRA, base in ${bits} bits`),
    label: (name: string, again: boolean, size: string, fits: boolean) =>
      `${name}, ${again ? "saving memory" : "fast"}: ${size}${fits ? "" : ", more than the device offers"}`,
    notHere: "Not with this model or these settings",
  },
  apply: "Apply",
  applyThis: (words: string) => `Apply: ${words}`,
  recipe: "Recipe",
  recipeText: (
    <>
      These settings as YAML in LLaMA-Factory’s words: <code>rootstock train</code> and LLaMA-Factory run the same file.
    </>
  ),
  saveFile: "Save as a file",
  readFile: "Read a file …",
  settingsTaken: (name: string) => `The settings of ${name} are taken over.`,
  training: "Training",
  rate: setting(
    "Learning rate",
    "How far a step changes the weights. Too small: the model learns nothing. Too large: it forgets everything. Change this first when a run goes wrong.",
  ),
  epochs: setting("Epochs", "How often the run goes through the data."),
  batch: setting("Samples at once", "Larger batches use the GPU better, and need more memory."),
  accumulation: setting("Batches per step", "The gradients of this many batches are added before a step: a larger batch without more memory."),
  saveMemory: setting("Save memory", "Keeps the inputs of the layers only and computes the rest again: less memory, about a third more time."),
  halfActivations: setting(
    "Activations in 16 bits",
    "Keeps what the backward pass needs in bfloat16: half of that memory, and gradients are rounded a little. Everything is still computed in 32 bits.",
  ),
  schedule: setting("Schedule", "How the learning rate changes over the run."),
  schedules: { cosine: "cosine", linear: "linear", constant: "constant", constant_with_warmup: "constant with warm-up" },
  warmup: setting("Warm-up", "The share of all steps in which the learning rate rises from 0."),
  maxSteps: setting("Steps", "The number of steps, instead of epochs."),
  byEpochs: "by epochs",
  decay: setting("Weight decay", "Pulls weights towards zero a little at every step."),
  clip: setting("Largest gradient", "A gradient with a larger norm is scaled down to this norm; 0 switches this off."),
  evaluate: setting("Evaluate", "When the loss on held-out records is computed."),
  evaluations: { epoch: "after each epoch", steps: "every N steps", no: "never" },
  evaluateEvery: setting("Evaluate every", "Steps between two evaluations."),
  stepsUnit: "steps",
  snapshotEvery: setting("Snapshot every", "After the tab was closed or crashed, the run goes on from its last snapshot."),
  writtenAs: setting("Written as", "The number type of the result’s weights. Training itself computes in single precision."),
  asTheBase: "as the base",
  seed: setting("Seed", "The same seed on the same GPU gives the same run, bit for bit."),
  adapter: "The adapter",
  base: setting(
    "Base",
    "How the model itself is kept, which does not learn: fewer bits leave room on small devices, and round its weights. Memory is shown beside.",
  ),
  asStored: "as it is stored",
  bits: (bits: number, kind: string | null) => `${bits} bits${kind === null ? "" : ` (${kind})`}`,
  rank: setting("Rank", "The width of the small matrices: a higher rank can learn more and needs more memory."),
  alpha: setting("Alpha", "How strongly the adapter acts: its output is scaled by alpha / rank."),
  modules: setting("Modules", "Which linear modules get one; all is every one but the output head."),
  withCommas: " Commas between them.",
  dropout: setting("Dropout", "Switches off this share of the adapter’s inputs at random, against overfitting."),
  dora: setting("DoRA", "Learns each weight row’s length apart from its direction: often better at a low rank, a little slower."),
  rslora: setting("rsLoRA", "Scales by alpha / √rank, so that a high rank does not learn ever more slowly."),
  goOnFrom: setting("Go on from", "A new adapter, or one of this base that is trained further: its rank and modules are kept."),
  newAdapter: "a new adapter",
  layers: "The layers",
  layersThatLearn: setting("Layers that learn", "Counted from the end; a negative number counts from the start."),
  freezeModules: setting("Modules", "Which modules of those layers learn, with commas between them."),
};
