import type { Stage } from "../../../learn/frame.js";

const stages: Record<Stage, string> = { predict: "Predict", do: "Do", see: "See", explain: "Explain" };
const reached: Record<Stage, string> = { predict: "Begun", do: "Begun", see: "Seen", explain: "Done" };

/** What every lesson has, and the list of them. */
export const frame = {
  stages,
  reached,
  noLesson: (name: string) => `There is no lesson “${name}”. These are the lessons that there are.`,
  takes: (time: string) => `about ${time}`,
  all: (time: string) =>
    `${time} in all on a laptop without a graphics card. Every figure is computed while you look, by the trainer of this page; the models that the lessons train are among the stored runs and can be deleted there.`,
  nothingToSee: "There is nothing to see yet: do it first.",
  parts: "Parts of the lesson",
  seeWhatItShows: "See what it shows",
  explainIt: "Explain it",
  linkCopied: "The link is copied.",
  copied: "Copied",
  copyTheLink: "Copy the link",
  leavePresentation: "Leave the presentation",
  present: "Present",
  sceneBefore: "The one before",
  sceneAfter: "The next one",
  sceneOf: (scene: number, all: number) => `${scene} of ${all}`,
  goOnWithoutGuess: "Go on without a guess",
  thatIsMyGuess: "That is my guess",
  youPredicted: "You predicted",
  nothing: "nothing",
  experimentSays: "The experiment says",
  nextLesson: (title: string) => `Next lesson: ${title}`,
};
