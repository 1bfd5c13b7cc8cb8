// Trains on every dataset that lies in a LLaMA-Factory checkout's data/, and prints a table: what became of it, or refused with the reason.
//
//     cargo build --release
//     node scripts/llamafactory-data.mjs CHECKOUT [--model DIR] [--only PART] [--program PATH]
//
// Each is read whole (`rootstock preview`), by its entry in dataset_info.json or, without one, as it is, and trained on for a step. Datasets that
// the registry only points to on a hub are counted. Exit status 1 when one is neither read nor refused in a sentence.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { root } from "./lib/host.mjs";
import { open, refusal, rootstock } from "./lib/llamafactory.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string", default: join(root, "assets/embedded-model") },
    only: { type: "string", default: "" },
    program: { type: "string", default: join(root, "target/release/rootstock") },
  },
});
const place = open(positionals, values.program);
const { registry } = place;
const here = Object.keys(registry).filter((name) => registry[name]?.file_name !== undefined);
const files = new Set(here.map((name) => registry[name]?.file_name));
const others = readdirSync(join(place.checkout, "data")).filter((name) => /\.(jsonl?|txt|ya?ml)$/.test(name) && name !== "dataset_info.json" && !files.has(name));
const out = mkdtempSync(join(tmpdir(), "llamafactory-data-"));

/**
 * The stages that a dataset may be for: the entry says it, and of a file without one the program does.
 *
 * @param {string} name
 */
function stages(name) {
  const entry = registry[name];
  if (entry === undefined) return ["sft", "dpo"];
  if (entry.ranking) return ["dpo", "rm"];
  if (entry.columns?.["kto_tag"] !== undefined) return ["kto"];
  return entry.formatting === undefined && entry.columns?.["response"] === undefined && entry.columns?.["prompt"] !== undefined ? ["pt"] : ["sft"];
}

const counts = { trained: 0, refused: 0, broken: 0 };
console.log("| dataset | stage | outcome | records, samples, remarks, or the reason |\n|---|---|---|---|");
for (const name of [...here, ...others.map((file) => `data/${file}`)].filter((name) => name.includes(values.only))) {
  for (const stage of stages(name)) {
    const recipe = [`model_name_or_path=${resolve(values.model)}`, `stage=${stage}`, `dataset=${name}`, `output_dir=${join(out, "run")}`, "cutoff_len=256"];
    // The embedded model's own template knows no tools.
    if (stage !== "pt") recipe.push("template=chatml", "tool_format=qwen");
    const short = ["max_steps=1", "max_samples=8", "per_device_train_batch_size=2", "overwrite_output_dir=true"];
    const read = rootstock(place, "preview", "-", ...recipe, "--json");
    const trained = read.status === 0 ? rootstock(place, "train", "-", ...recipe, ...short) : read;
    /** @type {keyof typeof counts} */
    let outcome = "broken";
    let remarks = trained.stderr.trim().split("\n").pop() ?? "";
    const reason = refusal(trained);
    if (trained.status === 0) {
      outcome = "trained";
      const { records, samples, notices } = /** @type {{ records: number, samples: number, notices: string[] }} */ (JSON.parse(read.stdout));
      const remarkable = notices.filter((notice) => !notice.startsWith("template: chatml"));
      remarks = [`${records} records, ${samples} samples`, ...remarkable].join("; ");
    } else if (reason !== null) {
      outcome = "refused";
      remarks = reason;
      // A file without an entry is for one of the stages.
      if (stage === "dpo" && /records of one answer are for stage: sft/.test(reason)) continue;
      if (stage === "sft" && /stage: dpo/.test(reason)) continue;
    }
    counts[outcome]++;
    console.log(`| ${name} | ${stage} | ${outcome} | ${remarks.replaceAll("|", "\\|")} |`);
  }
}
rmSync(out, { recursive: true, force: true });
const hub = Object.keys(registry).length - here.length;
console.log(`\n${counts.trained} trained on, ${counts.refused} refused, ${counts.broken} broken; ${hub} datasets of the registry are on a hub`);
process.exitCode = counts.broken === 0 ? 0 : 1;
