// Pairs of answers of one model, of which a person chose the better: what preference training learns from.
import { signal } from "@preact/signals";
import type { Which } from "rootstock";
import { settings } from "./chat.js";
import { ask } from "./engine.js";

/** A question and two different answers. */
export interface Pair {
  question: string;
  chosen: string;
  rejected: string;
}

/** What was chosen so far, oldest first. */
export const pairs = signal<readonly Pair[]>([]);

/** Two answers to choose from. */
export interface Two {
  question: string;
  answers: readonly [string, string];
}
export const two = signal<Two | null>(null);

/** The file's name, in which pairs are taken home and trained on. */
export const PAIRS_FILE = "preferences.jsonl";

/** The pairs as JSON lines, as stage dpo reads them. */
export function pairsAsText(): string {
  return pairs.value.map(({ question, chosen, rejected }) => `${JSON.stringify({ instruction: question, chosen, rejected })}\n`).join("");
}

/** How much the two answers dare; at 0 both would be the same. */
export const daring = signal(0.8);
/** How many draws may give the same answer before the model is left alone. */
const MOST_DRAWS = 6;

/** Draws answers of a model until two differ; `null` if they do not. Cancelled by `stopped`. */
export async function askTwice(which: Which, question: string, stopped: AbortSignal): Promise<Two | null> {
  const answers: string[] = [];
  for (let draw = 0; draw < MOST_DRAWS && answers.length < 2 && !stopped.aborted; draw += 1) {
    // Another question after the same pairs draws the same: what is shown can be drawn again.
    const sampling = { ...settings.peek(), temperature: daring.peek(), seed: settings.peek().seed + pairs.peek().length * MOST_DRAWS + draw };
    const { text } = await ask({ kind: "chat", which, messages: [{ role: "user", content: question }], sampling }, { signal: stopped });
    const said = text.trim();
    if (said !== "" && !answers.includes(said)) answers.push(said);
  }
  const [first, second] = answers;
  two.value = first === undefined || second === undefined || stopped.aborted ? null : { question, answers: [first, second] };
  return two.value;
}

/** Keeps which of the two is the better one. */
export function prefer(better: 0 | 1): void {
  const now = two.peek();
  if (!now) return;
  const chosen = now.answers[better];
  const rejected = now.answers[better === 0 ? 1 : 0];
  pairs.value = [...pairs.peek(), { question: now.question, chosen, rejected }];
  two.value = null;
}

export function forgetPair(index: number): void {
  pairs.value = pairs.peek().filter((_, at) => at !== index);
}
