// Makes assets/embedded-model/ and the instruction sets of assets/demo/ from nothing: `npm run make:embedded-model`.
//
// Nearly all of the time is pretraining. The text, the tokenizer and the random start come out the same to the bit on every
// machine, the weights on every run on the same adapter. Killed in the pretraining, it goes on from the last checkpoint
// with: npm run make:embedded-model -- resume_from_checkpoint=true

import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const work = "target/embedded-model";
const model = "assets/embedded-model";
const files = [
  "config.json",
  "generation_config.json",
  "model.safetensors",
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
];

/** @type {(command: string, ...args: string[]) => void} */
function run(command, ...args) {
  console.error(`> ${[command, ...args].join(" ")}`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (error) console.error(error.message);
  if (status !== 0) process.exit(1);
}

run("node", join(here, "questions.mjs"), "assets/demo");
run("node", join(here, "corpus.mjs"), `${work}/corpus.jsonl`);
run("cargo", "run", "--release", "--example", "init_checkpoint", "--", `${work}/corpus.jsonl`, `${work}/start`);
const train = ["run", "--release", "--bin", "rootstock", "--", "train", join(here, "pretrain.yaml"), ...process.argv.slice(2)];
run("cargo", ...train);
// Two more rounds over other stories of the same village, each from where the one before it ended; the first of them is shorter.
/** @type {[from: string, to: string, seed: string, ...more: string[]][]} */
const rounds = [
  ["trained", "trained-twice", "2027", "max_steps=320"],
  ["trained-twice", "trained-thrice", "2028"],
];
for (const [from, to, seed, ...more] of rounds) {
  run("node", join(here, "corpus.mjs"), `${work}/${to}.jsonl`, "7000", seed);
  const again = [`model_name_or_path=${work}/${from}`, `output_dir=${work}/${to}`, `dataset=${work}/${to}.jsonl`];
  run("cargo", ...train, ...again, "learning_rate=2.0e-3", ...more);
}
mkdirSync(join(root, model), { recursive: true });
for (const file of files) copyFileSync(join(root, work, "trained-thrice", file), join(root, model, file));
console.error(`${model}: made`);
