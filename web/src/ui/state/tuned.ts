// The tuned model that is tried: the run that just ended, or one kept in this browser.
import { computed, effect, signal } from "@preact/signals";
import type { Run } from "../../messages.js";
import { runs } from "./base.js";
import { ask } from "./engine.js";
import { failed } from "./faults.js";
import { ended } from "./run.js";

const chosen = signal<Run | null>(null);

/** What is tried; nothing once it is deleted. */
export const tuned = computed<Run | null>(() => runs.value.find(({ id }) => id === chosen.value?.id) ?? null);

/** Makes a stored run the tuned model. */
export async function choose(id: string): Promise<void> {
  chosen.value = await ask({ kind: "tuned", id });
}

/** What just ended is what is tried. */
export function followEnded(): void {
  effect(() => {
    const run = ended.value?.run;
    if (run?.usable) choose(run.id).catch(failed);
  });
}
