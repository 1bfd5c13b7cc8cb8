// What the core says, in the language that is shown. It speaks English; other languages know its faults, findings and tasks by their codes.
import type { Finding } from "rootstock";
import { text } from "./index.js";

/** What is being done, or `null` where the catalogue does not know it. */
export function progressWords(what: string): string | null {
  return text.core.progress?.[what] ?? null;
}

/** What is being done: in English where there is nothing else. */
export function progressText(what: string): string {
  return progressWords(what) ?? what;
}

/** What a finding says; `whole` says that its own sentence says no more. */
export function findingWords({ code, message }: Finding): { words: string; whole: boolean } {
  const known = text.core.findings?.[code];
  return known === undefined ? { words: message, whole: true } : { words: known, whole: false };
}
