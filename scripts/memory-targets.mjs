#!/usr/bin/env node
// Plans the runs for which docs/quantization.md promises how much GPU memory they take, and prints the table there.
//   node scripts/memory-targets.mjs [PROGRAM]      (default: target/release/rootstock, else target/debug/rootstock)
// The figures are the plan's own (rootstock estimate --shape): a run allocates what is planned, to the byte.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./lib/host.mjs";

const built = ["release", "debug"].map((profile) => join(root, "target", profile, "rootstock")).find(existsSync);
const program = process.argv[2] ?? built;
if (program === undefined) {
  console.error("there is no rootstock to ask; build it first: cargo build --release");
  process.exit(2);
}

const SMOLLM2_135M = {
  model_type: "llama", vocab_size: 49152, hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 30, num_attention_heads: 9,
  num_key_value_heads: 3, head_dim: 64, tie_word_embeddings: true, max_position_embeddings: 8192,
};
const QWEN2_5_0_5B = {
  model_type: "qwen2", vocab_size: 151936, hidden_size: 896, intermediate_size: 4864, num_hidden_layers: 24, num_attention_heads: 14,
  num_key_value_heads: 2, tie_word_embeddings: true, max_position_embeddings: 32768,
};
const QWEN3_1_7B = {
  model_type: "qwen3", vocab_size: 151936, hidden_size: 2048, intermediate_size: 6144, num_hidden_layers: 28, num_attention_heads: 16,
  num_key_value_heads: 8, head_dim: 128, tie_word_embeddings: true, max_position_embeddings: 40960,
};

const full = ["finetuning_type=full"];
const lora = ["finetuning_type=lora", "lora_rank=8"];
const four = ["quantization_bit=4"];
const again = ["gradient_checkpointing=true"];
const half = ["bf16=true"];
/** @type {[string, object, number, number, string[], number][]} */
const TARGETS = [
  ["SmolLM2-135M, full, f32", SMOLLM2_135M, 512, 1, full, 2.2],
  ["the same, `optim: adamw_torch_8bit`", SMOLLM2_135M, 512, 1, [...full, "optim=adamw_torch_8bit"], 1.4],
  ["SmolLM2-135M, LoRA, base in 16 bits", SMOLLM2_135M, 512, 1, lora, 0.45],
  ["SmolLM2-135M, LoRA, base in 4 bits", SMOLLM2_135M, 512, 1, [...lora, ...four], 0.3],
  ["Qwen2.5-0.5B, LoRA, base in 16 bits", QWEN2_5_0_5B, 512, 4, lora, 1.6],
  ["Qwen2.5-0.5B, LoRA, base in 4 bits", QWEN2_5_0_5B, 512, 4, [...lora, ...four], 1.0],
  ["Qwen3-1.7B, LoRA, base in 4 bits", QWEN3_1_7B, 512, 1, [...lora, ...four], 1.9],
];

/**
 * The planned peak in GiB.
 *
 * @param {object} config
 * @param {number} tokens
 * @param {string[]} settings
 * @returns {number}
 */
function planned(config, tokens, settings) {
  const folder = mkdtempSync(join(tmpdir(), "shape-"));
  const file = join(folder, "config.json");
  writeFileSync(file, JSON.stringify(config));
  const { status, stdout, stderr } = spawnSync(program ?? "", ["estimate", "--shape", file, "--tokens", String(tokens), "--json", ...settings], { encoding: "utf8" });
  rmSync(folder, { recursive: true });
  if (status !== 0) throw new Error(stderr);
  const { peak_bytes: peak } = /** @type {{ peak_bytes: number }} */ (JSON.parse(stdout));
  return peak / 2 ** 30;
}

console.log("| run | tokens | at most, GiB | planned | with `bf16` | with `gradient_checkpointing` | with both | |\n|---|---|---|---|---|---|---|---|");
let missed = 0;
for (const [name, config, tokens, samples, settings, most] of TARGETS) {
  const batch = [`per_device_train_batch_size=${samples}`, ...settings];
  const ways = [[], half, again, [...half, ...again]].map((more) => planned(config, tokens, [...batch, ...more]));
  const names = ["met", "met with bf16", "met with checkpointing", "met with both"];
  const verdict = names[ways.findIndex((gib) => gib <= most)] ?? "not met";
  missed += verdict === "not met" ? 1 : 0;
  console.log(`| ${name} | ${tokens} × ${samples} | ${most} | ${ways.map((gib) => gib.toFixed(2)).join(" | ")} | ${verdict} |`);
}
console.error(`${TARGETS.length - missed} of ${TARGETS.length} are met`);
