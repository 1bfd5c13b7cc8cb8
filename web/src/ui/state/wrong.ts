// What was typed into a number's field and is not a valid number: it stays as it was typed, and no run starts before it is corrected.
import { signal } from "@preact/signals";
import { NAMES, type Step } from "./steps.js";

/** Text by the field's name, with the step that the field stands on. */
export const wrong = signal<ReadonlyMap<string, { text: string; step: Step }>>(new Map());

/** Keeps a field's text, or forgets it. */
export function keep(name: string, kept: { text: string; step: Step } | null): void {
  if (kept === null && !wrong.peek().has(name)) return;
  const next = new Map(wrong.peek());
  if (kept === null) next.delete(name);
  else next.set(name, kept);
  wrong.value = next;
}

/** Forgets all: other settings have taken their places. */
export function forgetWrong(): void {
  wrong.value = new Map();
}

/** What has to be corrected on these steps, as a sentence. */
export function wrongOn(...steps: Step[]): string | null {
  for (const [name, { step }] of wrong.value) {
    if (steps.includes(step)) return `“${name}” in ${NAMES[step]} is not a valid number: correct it first.`;
  }
  return null;
}
