// What the settings cost: known before anything starts.
import { batch, effect, signal } from "@preact/signals";
import type { Plan, Settings } from "../../messages.js";
import { adapter } from "./adapter.js";
import { ready } from "./base.js";
import { preview } from "./data.js";
import { ask } from "./engine.js";
import { latest } from "./latest.js";
import { active } from "./phase.js";
import { settled } from "./recipe.js";

export const plan = signal<Plan | null>(null);
export const planFault = signal<string | null>(null);
export const planning = signal(false);
/** How fast the adapter trains: asked for once, where no run has told yet. */
export const measuring = signal(false);
const measured = signal(false);

async function measure(): Promise<void> {
  measuring.value = true;
  try {
    await ask({ kind: "measure" });
  } catch {
    // A device that fails at this is told of by the run; a plan does without the time.
  }
  batch(() => {
    measuring.value = false;
    measured.value = true;
  });
}

/** Keeps the plan up to date with base, data and settings. */
export function followPlan(): void {
  const plans = latest(200, (recipe: Settings) => ask({ kind: "plan", recipe }));
  effect(() => {
    const wanted = settled.value;
    if (active.value) return;
    void measured.value; // plans again then
    if (!ready.value || !adapter.value || !preview.value) {
      plan.value = null;
      return;
    }
    planning.value = true;
    plans(wanted, {
      done: (found) => {
        plan.value = found;
        planFault.value = null;
        planning.value = false;
        if (found.seconds === null && !measuring.value && !measured.value) void measure();
      },
      failed: (error) => {
        plan.value = null;
        planFault.value = error instanceof Error ? error.message : String(error);
        planning.value = false;
      },
    });
  });
}
