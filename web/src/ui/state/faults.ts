// Errors and screen reader announcements: two places on the page that every step may write to.
import { signal } from "@preact/signals";
import { shown } from "../shown.js";

/** The last failure of a user's action; shown until dismissed or replaced by the next one. */
export const fault = signal<string | null>(null);

/** The next polite announcement for screen readers. */
export const spoken = signal("");

/** Shows a failure. The worker's errors already have messages for the user. */
export function failed(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return; // the user closed a picker
  console.error(error);
  fault.value = error instanceof Error ? error.message : String(error);
}

/** Announces text to screen readers. */
export function say(words: string): void {
  spoken.value = shown(words);
}
