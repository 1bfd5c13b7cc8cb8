// Errors and screen reader announcements: two places on the page that every step may write to.
import { signal } from "@preact/signals";
import { Fault, type FaultCode, type Place } from "rootstock";
import { shown } from "../shown.js";

/** What went wrong: a sentence, and where the core says it (in English) its code and what it is about. */
export interface Said {
  sentence: string;
  code: FaultCode | null;
  place: Place;
}

/** What an error says. */
export function saidOf(error: unknown): Said {
  if (error instanceof Fault) return { sentence: error.sentence, code: error.code, place: error.place };
  return { sentence: error instanceof Error ? error.message : String(error), code: null, place: {} };
}

/** The last failure of a user's action; shown until dismissed or replaced by the next one. */
export const fault = signal<Said | null>(null);

/** The next polite announcement for screen readers. */
export const spoken = signal("");

/** Shows a failure. The worker's errors already have messages for the user. */
export function failed(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return; // the user closed a picker
  console.error(error);
  fault.value = saidOf(error);
}

/** Announces text to screen readers. */
export function say(words: string): void {
  spoken.value = shown(words);
}
