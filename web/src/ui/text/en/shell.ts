import type { Place } from "../../route.js";
import type { Step } from "../../state/steps.js";

const places: Record<Place, { title: string; line: string }> = {
  home: {
    title: "Teach a language model something new",
    line: "Rootstock trains a small language model on your own examples, in this browser tab: nothing leaves this machine.",
  },
  base: { title: "Choose a base", line: "The model that will be fine-tuned. It stays on this machine." },
  check: { title: "Check the base", line: "A fine-tune needs a base that is complete and correct, so every file is checked before training." },
  data: { title: "Give it examples", line: "What the model should learn, and exactly which tokens it learns from." },
  method: { title: "Choose the method", line: "Which parameters are trained, and how. Memory and time are estimated before the start." },
  train: { title: "Train", line: "Everything runs in this tab. Snapshots are kept, so a closed tab loses little." },
  use: { title: "Use the result", line: "Talk to it, look into it, take it home." },
  runs: { title: "Compare runs", line: "Every run that this browser keeps: what differs between them, and what came of it." },
  learn: { title: "Learn how it works", line: "Short lessons with a real model that trains in this tab: predict, try it, see it, understand it." },
};

/** The steps, as the rail and the buttons between them name them. */
const steps: Record<Step, string> = { base: "Base", check: "Check", data: "Data", method: "Method", train: "Train", use: "Use" };

export const shell = {
  places,
  steps,
  toTheStep: "To the step",
  colours: "Colours",
  auto: "Auto",
  light: "Light",
  dark: "Dark",
  lookingForGpu: "Looking for a GPU …",
  cannotTrain: "Checks models; cannot train here",
  processorComputes: "No graphics card found: the processor computes, slower but the same",
  railLabel: "Steps",
  compareRuns: "Compare runs",
  learn: "Learn",
  lessonsLabel: "Lessons",
  allLessons: "All lessons",
  close: "Close",
  cancel: "Cancel",
  stop: "Stop",
  loading: "Loading …",
  noClipboard: "Browsers let a page copy only where its address is secure. The link is in the address bar: copy it there.",
  next: (step: string) => `Next: ${step}`,
  to: (step: string) => `To ${step}`,
};
