// Invalid text in number fields: it is kept as typed, and no run starts before it is corrected.
import { signal } from "@preact/signals";
import type { Place } from "../route.js";
import { STEPS } from "./steps.js";
import { text } from "../text/index.js";

/** Invalid text, the step that contains its field, and what the field is called. */
export interface Wrong {
  text: string;
  step: Place;
  name: string;
}

/** Invalid text by what the field sets. */
export const wrong = signal<ReadonlyMap<string, Wrong>>(new Map());

/** Stores a field's invalid text, or removes it. */
export function keep(name: string, kept: Wrong | null): void {
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
  for (const { step: place, name } of wrong.value.values()) {
    const step = STEPS.find((one) => one === place);
    if (step && steps.includes(step)) return text.data.notANumber(name, text.shell.steps[step]);
  }
  return null;
}
