// Merging an adapter into its base, with the loss before and after.
import { signal } from "@preact/signals";
import type { CallOptions, Run } from "rootstock";
import { listRuns } from "./base.js";
import { ask } from "./engine.js";
import { say } from "./faults.js";
import { choose } from "./tuned.js";
import { text } from "../text/index.js";

/** Mean losses a token on the samples of the run whose adapter was merged. */
interface Losses {
  base: number;
  before: number;
  after: number;
  samples: number;
  /** Whether the run held the samples out; else it learned from them. */
  heldOut: boolean;
}

const losses = signal<ReadonlyMap<string, Losses>>(new Map());

/** The losses of a merged model's making, where they were measured in this visit. */
export function lossesOf(merged: string): Losses | undefined {
  return losses.value.get(merged);
}

/** Merges the tuned adapter, and chooses the result. */
export async function mergeTuned(run: Run, options: CallOptions): Promise<void> {
  const loss = (which: "base" | "tuned") => ask({ kind: "held_out", which, run: run.id }, options);
  let before = null;
  try {
    before = { base: await loss("base"), adapted: await loss("tuned") };
  } catch {
    // An adapter that was brought back has no data here, and preferences have no loss of their own: it is merged all the same.
  }
  const merged = await ask({ kind: "merge" }, options);
  if (before !== null) {
    await ask({ kind: "tuned", id: merged.id });
    const { loss: after, samples, held_out } = await loss("tuned");
    losses.value = new Map(losses.value).set(merged.id, { base: before.base.loss, before: before.adapted.loss, after, samples, heldOut: held_out });
  }
  await listRuns();
  await choose(merged.id);
  say(text.use.merged(merged.name));
}
