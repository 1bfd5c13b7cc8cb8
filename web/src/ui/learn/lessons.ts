// The lessons, in the order in which a course takes them. Small: the page's own list of places needs it before a lesson is loaded.

export interface Lesson {
  /** Its name in the address: `#/learn/<slug>`. */
  slug: string;
  title: string;
  /** What it answers. */
  line: string;
  /** Minutes on a laptop without a graphics card, with its own settings. */
  minutes: number;
}

export const LESSONS = [
  {
    slug: "learned",
    title: "What is being learned?",
    line: "A model reads every token of an example and is graded on some. See which, and what changes in each place.",
    minutes: 6,
  },
  {
    slug: "step",
    title: "One step",
    line: "Forward, loss, gradient, update, one at a time and in a loop; the learning rate from nothing to divergence.",
    minutes: 8,
  },
  {
    slug: "method",
    title: "All parameters or LoRA?",
    line: "The same data both ways, beside each other: answers, memory, files, and what was forgotten.",
    minutes: 8,
  },
  {
    slug: "rank",
    title: "How much rank?",
    line: "Ranks 1 to 32, the singular values of a full update, and the same update cut to a rank and asked again.",
    minutes: 10,
  },
  {
    slug: "whole",
    title: "Why must a base be whole?",
    line: "A gallery of broken checkpoints, one’s own hands included: who refuses them, who loads nonsense in silence, what repairs them.",
    minutes: 8,
  },
  {
    slug: "strength",
    title: "An adapter is a part",
    line: "Its strength from 0 to 2 while the model answers; two adapters on one base; merged or apart; on the wrong base.",
    minutes: 9,
  },
  {
    slug: "memory",
    title: "Where does the memory go?",
    line: "Weights, gradients, moments, activations: for the village and for models a thousand times larger, planned, then measured.",
    minutes: 5,
  },
] as const satisfies readonly Lesson[];

export type Slug = (typeof LESSONS)[number]["slug"];

/** The lesson of this name, if there is one. */
export function lessonOf(slug: string | null): (typeof LESSONS)[number] | null {
  return LESSONS.find((lesson) => lesson.slug === slug) ?? null;
}
