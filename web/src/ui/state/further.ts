// What comes after a result: another run that begins with it.
import type { Run } from "rootstock";
import { go } from "../route.js";
import { baseSource, open } from "./base.js";
import { example, files, mapping, way } from "./data.js";
import { PAIRS_FILE, pairsAsText } from "./preferences.js";
import { set } from "./recipe.js";
import { tuned } from "./tuned.js";
import { text } from "../text/index.js";

/** Makes a finished full fine-tuning run the base, and selects LoRA as the method. */
export async function graft(id: string): Promise<void> {
  await begin(id);
  if (example.value === "village") example.value = "pirate"; // the model already has the skill; now train the style
  go("data");
}

/** Opens an adapter's base, and has the next run go on from the adapter. */
export async function trainFurther(run: Run): Promise<void> {
  await beginWith(run);
  go("data");
}

async function begin(id: string): Promise<void> {
  await open({ kind: "run", id });
  set({ finetuning_type: "lora", learning_rate: null });
}

async function beginWith(run: Run): Promise<void> {
  const { source } = run;
  const now = baseSource.peek();
  // A folder can be opened by a person only. One of the same name is taken for the same: the worker compares the weights and remarks on others.
  if (source.kind !== "files") await open(source);
  else if (now?.kind !== "files" || now.name !== source.name) throw new Error(text.use.chooseBaseFirst(run.base));
  // The adapter's base has the tokens that its run gave it.
  const grown = { add_tokens: null, add_special_tokens: null, new_special_tokens_config: null, resize_vocab: null };
  set({ finetuning_type: "lora", learning_rate: null, adapter_name_or_path: run.id, ...grown });
}

/** Has the next run go on from the model that gave the answers, with the chosen pairs as its data. */
export async function learnPreferences(): Promise<void> {
  const from = tuned.peek();
  if (from?.model) await begin(from.id);
  else if (from) await beginWith(from);
  files.value = [{ name: PAIRS_FILE, text: pairsAsText() }];
  mapping.value = null;
  way.value = "files";
  go("data");
}
