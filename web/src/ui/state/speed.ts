// What the device reaches, measured when the user asks for it.
import { signal } from "@preact/signals";
import type { Progress, Speed } from "rootstock";
import { ask } from "./engine.js";
import { saidOf, type Said } from "./faults.js";

export const speed = signal<Speed | null>(null);
/** While it is measured. */
export const speedProgress = signal<Progress | null>(null);
export const speedFault = signal<Said | null>(null);

let measuring: AbortController | null = null;

export async function measureSpeed(model: string): Promise<void> {
  speed.value = null;
  speedFault.value = null;
  speedProgress.value = { what: "Measuring", done: 0, total: null, unit: "steps" };
  const control = (measuring = new AbortController());
  try {
    speed.value = await ask({ kind: "speed", model }, { signal: control.signal, on: (event) => event.kind === "progress" && (speedProgress.value = event.progress) });
  } catch (error) {
    if (!control.signal.aborted) speedFault.value = saidOf(error);
  } finally {
    speedProgress.value = null;
  }
}

/** Ends the measuring after what is measured now. */
export function stopMeasuring(): void {
  measuring?.abort();
}
