import type { Method } from "../../state/recipe.js";

/** What a run trains, within a sentence. */
const trains: Record<Method, string> = { full: "all parameters", lora: "a LoRA adapter", freeze: "some layers" };

interface Plan {
  steps: string;
  parameters: string;
  memory: string;
  /** `null` where it is not known. */
  time: string | null;
}

export const train = {
  trains,
  elsewhere: "This run goes on in another tab of this browser and is shown here live. It is paused and stopped there.",
  noBase: "There is no base that is ready yet.",
  noData: "There is no data yet.",
  isReady: "Your model is ready:",
  /** After `isReady`: what was trained and what came of it. */
  done: (base: string, adapter: boolean, data: string, time: string, loss: string | null, heldOut: boolean) =>
    `${base}, ${adapter ? "with an adapter" : "trained"} on ${data}, in ${time}${loss === null ? "" : `; ${heldOut ? "loss on held-out answers" : "mean loss"} ${loss}`}.`,
  nextRun: "The next run",
  /** What the next run would do; the plan is `null` before it is estimated. */
  before: (again: boolean, method: Method, base: string, data: string, plan: Plan | null) => (
    <>
      {again ? "Next run: train" : "Train"} <strong>{trains[method]}</strong> of <strong>{base}</strong> on <strong>{data}</strong>
      {plan && `: ${plan.steps}, ${plan.parameters} parameters, ${plan.memory} of memory`}
      {plan?.time != null && `, about ${plan.time}`}.
    </>
  ),
  startAnother: "Start another run",
  start: "Start training",
  doesNotFit: "It does not fit: see Method.",
  keptHere: "Snapshots and the result are kept in this browser. At the start the browser is asked not to clear them when the disk is full.",
  /** How long the answers on the way take; `time` is `null` before the first, `ofIt` says that a whole time stands before. */
  answersPlanned: (answers: string, time: string | null, ofIt: boolean) =>
    `${answers} on the way: ${time === null ? "how long they take shows with the first" : `about ${time}${ofIt ? " of it" : ""}`}.`,
  askIt: "Ask it while it learns",
  every: { name: "Every", help: "The model answers the prompts below before the first step, after so many steps, and at the end; 0 never asks." },
  longestAnswer: {
    name: "Longest answer on the way",
    help: "An answer is cut after so many tokens. Long answers of a large model take longer than the training.",
  },
  stepsUnit: "steps",
  tokensUnit: "tokens",
  prompts: "Prompts, one a line",
  promptsPlaceholder: "Without any, the first questions of the data are asked.",
  theRun: "The run",
  goOn: "Go on",
  pause: "Pause",
  pausing: "Pausing …",
  saveSnapshot: "Save a snapshot",
  stopping: "Stopping …",
  stopAndKeep: "Stop and keep",
  snapshotKept: (step: number) => `Snapshot of step ${step} is kept.`,
  interrupted: "Interrupted runs",
  interruptedText:
    "A run goes on from its last snapshot, with its own settings and prompts, and reaches the same losses as without the interruption.",
  goOnWith: (name: string) => `Go on with ${name}`,
  beforeFirst: "Before the first step",
  afterStep: (step: string) => `After step ${step}`,
  whatItSaysLabel: "What it says while it learns",
  whatItSays: "What it says",
  skip: "Skip these answers",
  nothing: "(nothing)",
  skipped: " … (skipped)",
  soon: "Soon",
  firstAnswer: "Its answer before it learns comes first.",
  notAsked: "It is not asked.",
  rightAnswer: "The right answer, which it never sees",
  allAnswers: "All answers so far",
  step: "Step",
  asked: "Asked",
  answered: "Answered",
  learning: (answer: string) => `The learning model: ${answer}`,
  askLearning: "Ask the learning model",
  questionToLearning: "Question to the learning model",
  askAsItIs: "Ask the model as it is now",
  askNow: "Ask it now: it answers after the present step",
  stopAnswer: "Stop the answer",
  ask: "Ask",
  afterStepColon: (step: number) => `After step ${step}: `,
  inFigures: "The run in figures",
  stepsDone: "Steps done",
  stepOf: (step: string, total: string) => (
    <>
      {step} <small>of {total}</small>
    </>
  ),
  loss: "Loss",
  evaluation: "Evaluation",
  tokensPerSecond: "Tokens / s",
  left: "Left",
  memory: "Memory",
  lossCaption: "Loss per token, in nats: how much the right answers surprise it",
  preferenceCaption: "Loss: how far the answers are from being told apart",
  lossNow: (loss: string) => `Loss over the steps, now ${loss}`,
  lossNoStep: "The curve begins with the first step.",
  answersLabel: "The answers",
  preferred: "Preferred",
  rejected: "Rejected",
  margin: "Margin",
  toldApart: "Told apart",
  rewardCaption: "Reward: what an answer gained over what the model was",
  rewardLabel: "Rewards of preferred and rejected answers over the steps",
  rate: "Learning rate",
  rateLabel: "Learning rate over the steps",
  normCaption: (most: number) => `Gradient norm, before clipping at ${most}`,
  normLabel: "Gradient norm over the steps",
  speedCaption: "Speed, in tokens per second",
  speedLabel: "Tokens per second over the steps",
  memoryCaption: "GPU memory",
  memoryLabel: "GPU memory over the steps",
  noPicture: "The browser made no picture of this plot. Take it as SVG.",
  lastSteps: "The last steps in figures",
  epoch: "Epoch",
  norm: "Gradient norm",
  /** The lines of the charts. */
  lines: {
    step: "step",
    loss: "loss",
    evaluation: "evaluation",
    rate: "learning rate",
    norm: "gradient norm",
    speed: "tokens / s",
    preferred: "preferred",
    rejected: "rejected",
    memory: "memory",
  },
};
