// The estimated cost of the settings, before a run starts.
import { batch, effect, signal } from "@preact/signals";
import type { Estimate, Samples, Settings } from "rootstock";
import { device } from "./device.js";
import { ready } from "./base.js";
import { preview } from "./data.js";
import { ask } from "./engine.js";
import { latest } from "./latest.js";
import { active } from "./phase.js";
import { settled } from "./recipe.js";
import { prompted } from "./run.js";
import { saidOf, type Said } from "./faults.js";

export const estimate = signal<Estimate | null>(null);
export const estimateFault = signal<Said | null>(null);
export const estimating = signal(false);
/** Whether the device's training speed is being measured: done once, if no run has determined it. */
export const measuring = signal(false);
const measured = signal(false);

async function measure(): Promise<void> {
  measuring.value = true;
  try {
    await ask({ kind: "measure" });
  } catch {
    // If the device fails here, a run will report it; the estimate then has no time.
  }
  batch(() => {
    measuring.value = false;
    measured.value = true;
  });
}

/** Keeps the estimate in sync with base, data and settings. */
export function followEstimate(): void {
  const estimates = latest(200, (wanted: { recipe: Settings; samples: Samples }, signal) => ask({ kind: "estimate", ...wanted }, { signal }));
  effect(() => {
    const wanted = { recipe: settled.value, samples: prompted() };
    if (active.value) return;
    void measured.value; // tracked, so that the estimate is repeated after a measurement
    if (!ready.value || !device.value || !preview.value) {
      estimate.value = null;
      return;
    }
    estimating.value = true;
    estimates(wanted, {
      done: (found) => {
        estimate.value = found;
        estimateFault.value = null;
        estimating.value = false;
        if (found.seconds === null && !measuring.value && !measured.value) void measure();
      },
      failed: (error) => {
        estimate.value = null;
        estimateFault.value = saidOf(error);
        estimating.value = false;
      },
    });
  });
}
