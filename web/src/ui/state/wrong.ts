// Invalid text in number fields: it is kept as typed, and no run starts before it is corrected.
import { signal } from "@preact/signals";
import type { Place } from "../route.js";
import { NAMES, STEPS } from "./steps.js";

/** Invalid text by field name, with the step that contains the field. */
export const wrong = signal<ReadonlyMap<string, { text: string; step: Place }>>(new Map());

/** Stores a field's invalid text, or removes it. */
export function keep(name: string, kept: { text: string; step: Place } | null): void {
  if (kept === null && !wrong.peek().has(name)) return;
  const next = new Map(wrong.peek());
  if (kept === null) next.delete(name);
  else next.set(name, kept);
  wrong.value = next;
}

/** Removes all texts, because other settings were loaded. */
export function forgetWrong(): void {
  wrong.value = new Map();
}

/** What must be corrected on these steps, as a sentence. */
export function wrongOn(...steps: Place[]): string | null {
  for (const [name, { step: place }] of wrong.value) {
    const step = STEPS.find((one) => one === place);
    if (step && steps.includes(step)) return `“${name}” in ${NAMES[step]} is not a valid number: correct it first.`;
  }
  return null;
}
