// The GPU device.
import { signal } from "@preact/signals";
import type { Device } from "../../messages.js";
import { ask } from "./engine.js";
import { failed } from "./faults.js";

/** `undefined` while not yet known, `null` if there is none. */
export const device = signal<Device | null | undefined>(undefined);

export async function findDevice(): Promise<void> {
  try {
    device.value = await ask({ kind: "device" });
  } catch (error) {
    device.value = null;
    failed(error);
  }
}
