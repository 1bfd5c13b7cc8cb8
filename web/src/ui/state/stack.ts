// Kept adapters on the open base, one or several, each in a strength: a model that is nowhere a file.
import { computed, signal } from "@preact/signals";
import type { Run } from "rootstock";
import { base, listRuns, runs } from "./base.js";
import { ask } from "./engine.js";
import { say } from "./faults.js";
import { choose } from "./tuned.js";
import { text } from "../text/index.js";

/** The strengths that are set, by the adapter's id; those without one are left out. */
export const strengths = signal<ReadonlyMap<string, number>>(new Map());

/** The adapters of the open base. */
export const adapters = computed<Run[]>(() => runs.value.filter((run) => !run.model && run.usable && !run.live && run.base === base.value?.name));

interface Stacked {
  /** The base that they are on. */
  base: string;
  name: string;
  strengths: ReadonlyMap<string, number>;
  /** What is odd about it. */
  notes: readonly string[];
}

const put = signal<Stacked | null>(null);

/** The adapters that are on the base now; none once another base is open, or one of them is deleted. */
export const stacked = computed<Stacked | null>(() => {
  const now = put.value;
  const whole = now && now.base === base.value?.name && [...now.strengths.keys()].every((id) => adapters.value.some((run) => run.id === id));
  return whole ? now : null;
});

/** Whether the strengths that are set are those that are on the base. */
export const isPut = computed(() => {
  const now = stacked.value?.strengths;
  return now !== undefined && now.size === strengths.value.size && [...strengths.value].every(([id, strength]) => now.get(id) === strength);
});

/** Puts the adapters on the base as they are set. */
export async function putOn(): Promise<void> {
  const parts = [...strengths.peek()].map(([id, strength]) => ({ id, strength }));
  const notes = await ask({ kind: "adapt", parts });
  const named = parts.map(({ id, strength }) => `${adapters.peek().find((run) => run.id === id)?.name ?? id} × ${strength}`);
  put.value = { base: base.peek()?.name ?? "", name: named.join(" + "), strengths: strengths.peek(), notes };
  say(text.results.stack.isOn(put.value.name));
}

export function takeOff(): void {
  put.value = null;
}

/** Makes a whole model of the base and what is on it, and chooses it. */
export async function mergeStack(): Promise<void> {
  const merged = await ask({ kind: "merge", adapted: true });
  put.value = null;
  await listRuns();
  await choose(merged.id);
  say(text.use.merged(merged.name));
}
