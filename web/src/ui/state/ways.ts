// What each way of training takes on the device: the plans of the present run with another method, a base in fewer bits, or recomputed
// activations.
import { effect, signal } from "@preact/signals";
import type { Settings } from "rootstock";
import { dataName, preview } from "./data.js";
import { ask } from "./engine.js";
import { estimate, estimating } from "./estimate.js";
import { active } from "./phase.js";
import { set, settled, type Method } from "./recipe.js";

/** A way of training. `bits` are those of the base beside an adapter; `null` keeps it as it is stored. */
export interface Way {
  method: Method;
  bits: 8 | 4 | null;
}

/** What a way takes: bytes at most and whether the device has them; `null` where model or settings do not allow it. */
export type Taken = { bytes: number; fits: boolean } | null;

export const WAYS: readonly Way[] = [
  { method: "full", bits: null },
  { method: "freeze", bits: null },
  { method: "lora", bits: null },
  { method: "lora", bits: 8 },
  { method: "lora", bits: 4 },
];

/** By `nameOf` a way, as far as they are planned; empty while the settings change. */
export const taken = signal<ReadonlyMap<string, Taken>>(new Map());

export const nameOf = ({ method, bits }: Way, checkpointing: boolean) => `${method} ${bits ?? "stored"} ${checkpointing ? "again" : "kept"}`;

/** The present settings without what a way decides, its own learning rate included. */
function others(): Settings {
  const decided = ["finetuning_type", "quantization_bit", "gradient_checkpointing", "adapter_name_or_path", "learning_rate"];
  return Object.fromEntries(Object.entries(settled.value).filter(([key]) => !decided.includes(key)));
}

/** The present settings in another way. Checkpointing is said either way, so that no plan turns it on by itself. */
function settingsFor({ method, bits }: Way, checkpointing: boolean): Settings {
  const adapter = settled.peek()["adapter_name_or_path"];
  return {
    ...others(),
    finetuning_type: method,
    gradient_checkpointing: checkpointing,
    ...(bits === null ? {} : { quantization_bit: bits }),
    ...(method === "lora" && adapter !== undefined ? { adapter_name_or_path: adapter } : {}),
  };
}

/** The way that is set, by its name. */
export function present(): string {
  const { finetuning_type, quantization_bit, gradient_checkpointing } = settled.value;
  const method = finetuning_type === "lora" || finetuning_type === "freeze" ? finetuning_type : "full";
  const bits = Number(quantization_bit) === 8 ? 8 : Number(quantization_bit) === 4 ? 4 : null;
  return nameOf({ method, bits }, gradient_checkpointing === true);
}

/** Takes a way. */
export function take({ method, bits }: Way, checkpointing: boolean): void {
  set({ finetuning_type: method, quantization_bit: bits, gradient_checkpointing: checkpointing || null });
}

/**
 * Plans every way once the settings' own estimate is there, one after the other, for as long as something shows them. Returns how to end that.
 *
 * A change of the way alone needs no new plans: they are of the other settings.
 */
export function followWays(): () => void {
  let planned = "";
  let turn = 0;
  const plan = async () => {
    const mine = (turn += 1);
    const found = new Map<string, Taken>();
    taken.value = found;
    for (const way of WAYS) {
      for (const checkpointing of [false, true]) {
        let one: Taken = null;
        try {
          const { memory, fits } = await ask({ kind: "estimate", recipe: settingsFor(way, checkpointing), samples: null });
          one = { bytes: memory.peak, fits };
        } catch {
          // A way that this model or these settings do not have.
        }
        if (mine !== turn) return;
        found.set(nameOf(way, checkpointing), one);
        taken.value = new Map(found);
      }
    }
  };
  const stop = effect(() => {
    const { samples, longest } = preview.value ?? {};
    const wanted = JSON.stringify([others(), estimate.value?.parameters ?? null, dataName.value, samples, longest]);
    if (estimate.value === null || estimating.value || active.value || wanted === planned) return;
    planned = wanted;
    void plan();
  });
  return () => {
    stop();
    turn += 1;
  };
}
