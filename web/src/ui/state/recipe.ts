// The settings, under LLaMA-Factory's names.
import { computed, signal } from "@preact/signals";
import type { Run, Settings } from "rootstock";
import { base, baseSource, runs } from "./base.js";
import { ask } from "./engine.js";
import { forgetWrong } from "./wrong.js";

export type Method = "full" | "lora" | "freeze";

/** The initial settings. The learning rate is the method's default until the user sets one. */
const FIRST: Settings = {
  stage: "sft",
  finetuning_type: "full",
  cutoff_len: 128,
  per_device_train_batch_size: 16,
  gradient_accumulation_steps: 1,
  num_train_epochs: 3,
  lr_scheduler_type: "cosine",
  warmup_ratio: 0.05,
  logging_steps: 1,
  eval_strategy: "epoch",
  save_strategy: "steps",
  save_steps: 20,
  save_total_limit: 1,
  seed: 42,
};

/**
 * Good default learning rates: a small model tolerates a higher one than a large model, and an adapter a higher one than all weights.
 * Those of the embedded model are from its demo (assets/demo).
 */
export function goodRate(method: Method, parameters: number, compares: boolean): number {
  const small = parameters < 10e6;
  // A preference needs few and small steps (assets/demo/manners.yaml; LLaMA-Factory's example for large models).
  if (compares) return method === "lora" ? (small ? 1e-3 : 5e-6) : small ? 1e-4 : 1e-6;
  if (method === "lora") return small ? 5e-3 : 2e-4;
  return small ? 1e-3 : 2e-5;
}

export const recipe = signal<Settings>(FIRST);
/** Keys of a loaded recipe for which the page has no control: shown, kept, and written again. */
export const notes = signal<string[]>([]);

export const method = computed<Method>(() => {
  const value = recipe.value["finetuning_type"];
  return value === "lora" || value === "freeze" ? value : "full";
});

/** What is learnt, by LLaMA-Factory's names. */
export type Stage = "sft" | "pt" | "dpo" | "kto";

export const stage = computed<Stage>(() => {
  const value = recipe.value["stage"];
  return value === "pt" || value === "dpo" || value === "kto" ? value : "sft";
});

/** Whether answers are compared: pairs of them, or good and bad ones. */
export const compares = computed(() => stage.value === "dpo" || stage.value === "kto");

/** The stored adapters of the open base, which a run can go on from. */
export const ownAdapters = computed<Run[]>(() => {
  const source = JSON.stringify(baseSource.value);
  return runs.value.filter((run) => run.method === "lora" && run.usable && !run.live && JSON.stringify(run.source) === source);
});

/** The recipe, with values derived from the base filled in, without an adapter of another base, and with a base in fewer bits only beside an adapter. */
export const settled = computed<Settings>(() => {
  const { adapter_name_or_path: adapter, quantization_bit: bits, ...others } = recipe.value;
  const goesOn = method.value === "lora" && ownAdapters.value.some(({ id }) => id === adapter);
  return {
    learning_rate: goodRate(method.value, base.value?.report.parameters ?? 0, compares.value),
    ...others,
    ...(goesOn && adapter !== undefined ? { adapter_name_or_path: adapter } : {}),
    ...(method.value === "lora" && bits !== undefined ? { quantization_bit: bits } : {}),
  };
});

/** Back to the initial settings. */
export function resetRecipe(): void {
  forgetWrong();
  recipe.value = FIRST;
  notes.value = [];
}

/** Sets keys; `null` resets a key to its default. */
export function set(changes: Record<string, Settings[string] | null>): void {
  const next: Settings = { ...recipe.peek() };
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) delete next[key];
    else next[key] = value;
  }
  recipe.value = next;
}

export function numberOf(key: string): number | null {
  const value = settled.value[key];
  return typeof value === "number" ? value : null;
}

export function flagOf(key: string): boolean {
  return settled.value[key] === true;
}

export function textOf(key: string): string {
  const value = settled.value[key];
  return value === undefined ? "" : String(value);
}

/** Takes over the settings of a stored run. */
export function takeSettings(settings: Settings): void {
  forgetWrong();
  recipe.value = { ...FIRST, ...settings };
  notes.value = [];
}

/** Loads the settings from a recipe's text. */
export async function readRecipe(yaml: string): Promise<void> {
  const read = await ask({ kind: "read_recipe", yaml });
  forgetWrong();
  recipe.value = { ...FIRST, ...read.recipe };
  notes.value = read.notes;
}
