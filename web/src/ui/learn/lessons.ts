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
    slug: "method",
    title: "All parameters or LoRA?",
    line: "The same data both ways, beside each other: answers, memory, files, and what was forgotten.",
    minutes: 8,
  },
  {
    slug: "whole",
    title: "Why must a base be whole?",
    line: "A gallery of broken checkpoints, one’s own hands included: who refuses them, who loads nonsense in silence, what repairs them.",
    minutes: 8,
  },
] as const satisfies readonly Lesson[];

export type Slug = (typeof LESSONS)[number]["slug"];

/** The lesson of this name, if there is one. */
export function lessonOf(slug: string | null): (typeof LESSONS)[number] | null {
  return LESSONS.find((lesson) => lesson.slug === slug) ?? null;
}
