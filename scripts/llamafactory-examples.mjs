// Runs every example of a LLaMA-Factory checkout with this program and prints a table: runs, runs with remarks, refused with the reason.
//
//     cargo build --release
//     node scripts/llamafactory-examples.mjs CHECKOUT [--model DIR] [--steps 3] [--only PART] [--program PATH]
//
// The recipes are what they are but for the model (the embedded one) and the template that belongs to it, an adapter where one is named,
// places for results, the number of steps and of samples, and a dataset that the checkout only points to on a hub. Exit status 1 when an example neither runs nor ends with one sentence.
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { root } from "./lib/host.mjs";
import { open, refusal, rootstock } from "./lib/llamafactory.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string", default: join(root, "assets/embedded-model") },
    steps: { type: "string", default: "3" },
    only: { type: "string", default: "" },
    program: { type: "string", default: join(root, "target/release/rootstock") },
  },
});
const place = open(positionals, values.program);
const { checkout, registry } = place;
const model = resolve(values.model);

const results = mkdtempSync(join(tmpdir(), "llamafactory-examples-"));
/**
 * What is trained on in place of datasets that are on a hub.
 *
 * @param {string} text
 */
const ownData = (text) => (valueOf(text, "stage") === "dpo" ? "dpo_en_demo" : "identity,alpaca_en_demo");

/**
 * The value of a top-level key, as it is written.
 *
 * @param {string} text
 * @param {string} key
 */
const valueOf = (text, key) => new RegExp(`^${key}:[ \\t]*(.*?)[ \\t]*(?:#.*)?$`, "m").exec(text)?.[1];

/**
 * The command that an example is for, and what is replaced.
 *
 * @param {string} text
 * @param {string} out
 */
function plan(text, out) {
  const has = (/** @type {string} */ key) => valueOf(text, key) !== undefined;
  const version1 = has("model") && !has("model_name_or_path");
  const overrides = [`${version1 ? "model" : "model_name_or_path"}=${model}`];
  /** @type {string[]} */
  const replaced = [];
  // A template's special tokens are those of the model that was replaced.
  if (has("template")) overrides.push("template=null");
  if (/^\s*adapter_name_or_path:/m.test(text)) overrides.push(`${version1 ? "peft_config." : ""}adapter_name_or_path=${adapter}`);
  if (/^\s*export_dir:/m.test(text)) {
    overrides.push(`${version1 ? "peft_config." : ""}export_dir=${out}`);
    return { command: "merge", overrides, replaced };
  }
  for (const key of ["dataset", "eval_dataset"]) {
    const names = (valueOf(text, key) ?? "").split(",").map((name) => name.trim());
    if (names.some((name) => name !== "" && registry[name]?.file_name === undefined)) {
      overrides.push(`${key}=${ownData(text)}`);
      replaced.push(`${key} (${names.join(", ")} is on a hub)`);
    }
  }
  if ((valueOf(text, "dataset_dir") ?? "").startsWith("REMOTE:")) {
    overrides.push("dataset_dir=data");
    replaced.push("dataset_dir (it is on a hub)");
  }
  // The command says the stage in version 1 (`llamafactory-cli dpo`), and its pairs are described as on a hub, but lie beside.
  if (version1 && (valueOf(text, "train_dataset") ?? "").includes("dpo")) {
    overrides.push("stage=dpo", "train_dataset=data/v1_dpo_demo.jsonl");
    replaced.push("train_dataset (HuggingFaceH4/orca_dpo_pairs is on a hub)");
  }
  const predicts = valueOf(text, "do_predict") === "true";
  if (!has("dataset") && !has("train_dataset") && !predicts) return { command: "chat", overrides: [...overrides, "max_new_tokens=8"], replaced };
  overrides.push(`output_dir=${out}`, ...(version1 ? [] : ["max_samples=16"]));
  if (predicts) return { command: "eval", overrides: [...overrides, "max_samples=2", "max_new_tokens=8"], replaced };
  return { command: "train", overrides: [...overrides, `max_steps=${values.steps}`, "max_grad_norm=1.0"], replaced };
}

/** Remarks that every example gets. */
const ordinary = /these keys have no meaning here|the arithmetic is f32|activations that the backward pass reads|template: |no code|code from a checkpoint|no chat template|were cut|dropped/;

const adapter = join(results, "adapter");
const first = rootstock(place, "train", "examples/train_lora/qwen3_lora_sft.yaml", `model_name_or_path=${model}`, `output_dir=${adapter}`, "template=null", "max_steps=1", "max_samples=4");
if (first.status !== 0) {
  console.error(`The adapter that some examples need could not be trained:\n${first.stderr}`);
  process.exit(1);
}

const files = readdirSync(join(checkout, "examples"), { recursive: true, encoding: "utf8" });
const recipes = files.filter((name) => name.endsWith(".yaml") && name.includes(values.only)).sort();
const counts = { runs: 0, refused: 0, "no recipe": 0, broken: 0 };
console.log("| example | command | outcome | remarks, or the reason |\n|---|---|---|---|");
for (const [index, name] of recipes.entries()) {
  const text = readFileSync(join(checkout, "examples", name), "utf8");
  const out = join(results, String(index));
  const { command, overrides, replaced } = plan(text, out);
  const { status, stderr } = rootstock(place, command, join("examples", name), ...overrides);
  const lines = stderr.split("\n");
  const reason = refusal({ status, stderr });
  /** @type {keyof typeof counts} */
  let outcome = "broken";
  let remarks = stderr.trim().split("\n").pop() ?? "";
  if (status === 0) {
    outcome = "runs";
    const notes = lines.filter((line) => line.startsWith("note: ") && !ordinary.test(line)).map((line) => line.slice("note: ".length));
    remarks = [...replaced.map((what) => `replaced: ${what}`), ...notes].join("; ");
  } else if (reason !== null) {
    remarks = reason;
    outcome = /is a configuration of|describes datasets|is no recipe/.test(remarks) ? "no recipe" : "refused";
  } else if (status === 1 && name.includes("multi_tokens")) {
    outcome = "no recipe";
  }
  counts[outcome]++;
  const clean = remarks.replaceAll(results, "RESULTS").replaceAll(model, "MODEL").replaceAll("|", "\\|");
  console.log(`| ${name} | ${command} | ${outcome} | ${clean} |`);
  rmSync(out, { recursive: true, force: true });
}
rmSync(results, { recursive: true, force: true });
console.log(`\n${counts.runs} run, ${counts.refused} refused, ${counts["no recipe"]} no recipes, ${counts.broken} broken, of ${recipes.length}`);
process.exitCode = counts.broken === 0 ? 0 : 1;
