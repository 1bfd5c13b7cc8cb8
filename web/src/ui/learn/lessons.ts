// The lessons, in the order in which a course takes them; `text.lessonList` has their titles. Small: the page's own list of places needs it before a lesson is loaded.

export interface Lesson {
  /** Its name in the address: `#/learn/<slug>`. */
  slug: string;
  /** Minutes on a laptop without a graphics card, with its own settings: what it computes (docs/teaching.md), rounded up, and what one reads. */
  minutes: number;
}

export const LESSONS = [
  { slug: "learned", minutes: 6 },
  { slug: "step", minutes: 5 },
  { slug: "method", minutes: 7 },
  { slug: "rank", minutes: 10 },
  { slug: "whole", minutes: 6 },
  { slug: "strength", minutes: 7 },
  { slug: "memory", minutes: 4 },
] as const satisfies readonly Lesson[];

export type Slug = (typeof LESSONS)[number]["slug"];

/** The lesson of this name, if there is one. */
export function lessonOf(slug: string | null): (typeof LESSONS)[number] | null {
  return LESSONS.find((lesson) => lesson.slug === slug) ?? null;
}
