// What went wrong, and what is said aloud: two places on the page that every step may write to.
import { signal } from "@preact/signals";
import { shown } from "../shown.js";

/** The last failure of something that a person asked for; shown until dismissed or until the next one. */
export const fault = signal<string | null>(null);

/** What a screen reader says next, politely. */
export const spoken = signal("");

/** Shows a failure. The worker's errors are sentences already. */
export function failed(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return; // a picker that was closed
  console.error(error);
  fault.value = error instanceof Error ? error.message : String(error);
}

/** Says something to those who do not see it. */
export function say(words: string): void {
  spoken.value = shown(words);
}
