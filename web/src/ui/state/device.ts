// The GPU device.
import { signal } from "@preact/signals";
import type { Device } from "rootstock";
import { ask } from "./engine.js";
import { failed } from "./faults.js";

/** `undefined` while not yet known, `null` if there is none. */
export const device = signal<Device | null | undefined>(undefined);

/** What the page's address asks for instead of the device's own kernels: `?tuning=amd,vector_rows=4`. */
const tuning = new URLSearchParams(location.search).get("tuning");

export async function findDevice(): Promise<void> {
  if (tuning !== null) await ask({ kind: "tune", tuning }).catch(failed);
  try {
    device.value = await ask({ kind: "device" });
  } catch (error) {
    device.value = null;
    failed(error);
  }
  // At idle, and heard of only in the kernels that are used from then on.
  // A processor has no choice of kernels.
  if (device.value && !device.value.software) setTimeout(() => void ask({ kind: "measure_kernels" }).catch(() => undefined), 2000);
}
