// The tuned model in use: the run that just ended, or one stored in this browser.
import { computed, effect, signal } from "@preact/signals";
import type { Run } from "rootstock";
import type { Given } from "../files.js";
import { listRuns, runs } from "./base.js";
import { ask } from "./engine.js";
import { failed, say } from "./faults.js";
import { ended } from "./run.js";
import { text } from "../text/index.js";

const chosen = signal<Run | null>(null);

/** The tuned model in use; `null` once it is deleted. */
export const tuned = computed<Run | null>(() => runs.value.find(({ id }) => id === chosen.value?.id) ?? null);

/** Selects a stored run as the tuned model. */
export async function choose(id: string): Promise<void> {
  chosen.value = await ask({ kind: "tuned", id });
}

/** Keeps a given adapter beside the open base, and selects it. */
export async function adopt(name: string, files: Given[]): Promise<void> {
  const { id } = await ask({ kind: "adopt", name }, { files });
  await listRuns();
  await choose(id);
  say(text.use.adapterKept(name));
}

/** Whether given files are an adapter and no model. */
export function isAdapter(files: readonly Given[]): boolean {
  const has = (name: string) => files.some(({ path }) => path === name);
  return has("adapter_config.json") && !has("config.json");
}

/** Selects a run when it has ended. */
export function followEnded(): void {
  effect(() => {
    const run = ended.value?.run;
    if (run?.usable) choose(run.id).catch(failed);
  });
}
