// The classroom's own engine: a worker of its own over the same storage, so that a lesson changes nothing of the visit.
import type { CallOptions } from "rootstock";
import type { Base, BaseSource, ChatMessage, Replies, Request, SeenToken, Settings, Which } from "rootstock";
import type { Given } from "../files.js";
import { another, type Engine } from "../state/engine.js";

let engine: Engine | null = null;

/** Sends a request to the classroom's worker, which starts with the first one. */
export async function ask<R extends Request>(request: R, options?: CallOptions): Promise<Replies[R["kind"]]> {
  engine ??= another(() => {
    opened = null; // a new worker knows no base
    chosen = null;
  });
  return engine.call(request, options);
}

let last: Promise<unknown> = Promise.resolve();

/** Does one thing after the other: most requests are about the base that is open. */
export function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const next = last.then(work, work);
  last = next.catch(() => undefined);
  return next;
}

let opened: string | null = null;
let chosen: string | null = null;

/** Opens a base, unless it is the one that is open; within a turn. */
export async function open(source: BaseSource): Promise<void> {
  const name = JSON.stringify(source);
  if (opened === name) return;
  opened = null;
  await ask({ kind: "open", source });
  opened = name;
}

/** Opens given files as a base; within a turn. */
export async function openFiles(name: string, files: Given[]): Promise<Base> {
  opened = null;
  return ask({ kind: "open", source: { kind: "files", name } }, { files });
}

/** Chooses the tuned model; within a turn. */
export async function tuned(id: string): Promise<void> {
  if (chosen === id) return;
  await ask({ kind: "tuned", id });
  chosen = id;
}

/** A run that ended is the tuned model from then on; within a turn. */
export function isTuned(id: string | null): void {
  chosen = id;
}

export const EMBEDDED: BaseSource = { kind: "embedded" };

/** A question and its answer, as messages. */
export function exchange(question: string, answer: string): ChatMessage[] {
  return [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ];
}

/**
 * Makes `adapted` the open base itself; within a turn. The engine's `base` is the one that the tuned model was made from, which may be
 * another.
 */
export async function bare(source: BaseSource): Promise<void> {
  await open(source);
  await ask({ kind: "adapt", parts: [] });
}

/** A conversation token by token; within a turn. */
export function look(which: Which, messages: ChatMessage[], recipe: Settings, likeliest: number, signal?: AbortSignal): Promise<SeenToken[]> {
  return ask({ kind: "look", which, messages, recipe, likeliest }, signal ? { signal } : {});
}

/** A model's answer, always the likeliest token; within a turn. */
export async function answer(which: Which, question: string, longest: number): Promise<string> {
  const sampling = { temperature: 0, top_p: 1, max_new_tokens: longest, seed: 1 };
  return (await ask({ kind: "chat", which, messages: [{ role: "user", content: question }], sampling })).text;
}

/** The mean loss of the tokens that count. */
export function meanLoss(tokens: readonly SeenToken[], counts: (token: SeenToken) => boolean): number {
  const losses = tokens.filter(counts).flatMap(({ loss }) => (loss === null ? [] : [loss]));
  return losses.reduce((sum, loss) => sum + loss, 0) / Math.max(1, losses.length);
}
