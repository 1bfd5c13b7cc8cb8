// What the core says, in the language that is shown. It speaks English; other languages know its faults by their codes, its findings by
// code, pattern and values, and its tasks by their words.
import type { Finding } from "rootstock";
import { text } from "./index.js";

/** What is being done, or `null` where the catalogue does not know it. */
export function progressWords(what: string): string | null {
  return text.core?.progress[what] ?? null;
}

/** What is being done: in English where there is nothing else. */
export function progressText(what: string): string {
  return progressWords(what) ?? what;
}

/** Three English words in a row that are no command: a value in a sentence says something of its own. */
const ENGLISH = /[A-Za-z]{2,}[ ,;:]+[A-Za-z]{2,}[ ,;:]+[A-Za-z]{2,}/;

/** What a finding says; `whole` says that its own sentence says no more. */
export function findingWords({ code, message, pattern, values }: Finding): { words: string; whole: boolean } {
  const { core } = text;
  if (core === null) return { words: message, whole: true };
  const sentence = pattern === null ? undefined : core.sentences[pattern];
  if (!sentence) return { words: core.findings[code], whole: false };
  const words = sentence(...values);
  return { words, whole: !ENGLISH.test(words.replaceAll(/`[^`]*`|“[^”]*”/g, "")) };
}

/** What the core remarks on recipes, data and runs, or `null` where the catalogue does not know it. */
export function noticeWords(words: string): string | null {
  return text.core?.notice(words) ?? null;
}

/** How a finding is repaired, or `null` where the catalogue does not know it. */
export function repairWords(repair: string): string | null {
  return text.core?.repair(repair) ?? null;
}
