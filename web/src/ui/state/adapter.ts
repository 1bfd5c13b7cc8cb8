// What computes.
import { signal } from "@preact/signals";
import type { Adapter } from "../../messages.js";
import { ask } from "./engine.js";
import { failed } from "./faults.js";

/** Not yet known; none; or what there is. */
export const adapter = signal<Adapter | null | undefined>(undefined);

export async function findAdapter(): Promise<void> {
  try {
    adapter.value = await ask({ kind: "adapter" });
  } catch (error) {
    adapter.value = null;
    failed(error);
  }
}
