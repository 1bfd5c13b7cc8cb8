// The page against the native program on the same device, in alternation: tokens a second of a full and a LoRA step.
//
//     cargo build --release
//     node scripts/package.mjs build
//     node benchmarks/page.mjs [--rounds 3] [--shape embedded|SmolLM2-135M] [--driver FILE.json]
//
// Where there is no GPU, --driver names the Vulkan driver of Chromium's software device for the native program (Debian:
// /usr/lib/chromium/vk_swiftshader_icd.json). What is printed is a table for docs/benchmarks.md.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../scripts/lib/host.mjs";
import { open } from "./chromium.mjs";
import { median, option } from "./lib.mjs";

const rounds = Number(option("rounds", "3"));
const model = option("shape", "embedded");
const driver = option("driver", "");
const program = option("rootstock", join(root, "target/release/rootstock"));

const folder = "target/benchmark-page";
mkdirSync(join(root, folder), { recursive: true });
writeFileSync(join(root, folder, "index.html"), "<!doctype html><title>Benchmark</title>");

/** @typedef {{ adapter: string, steps: { method: string, tokens_per_second: number }[] }} Report */

function native() {
  const env = { ...process.env, ...(driver === "" ? {} : { VK_DRIVER_FILES: driver }) };
  const args = ["bench", "--json", "--model", model];
  const report = /** @type {unknown} */ (JSON.parse(execFileSync(program, args, { encoding: "utf8", env, stdio: ["ignore", "pipe", "inherit"] })));
  return /** @type {Report} */ (report);
}

const { speed, close, version } = await open(folder);
/** @type {Map<string, { native: number[], page: number[] }>} */
const steps = new Map();
const of = (/** @type {string} */ method) => {
  const known = steps.get(method) ?? { native: [], page: [] };
  steps.set(method, known);
  return known;
};
let device = "";
for (let round = 0; round < rounds; round++) {
  console.error(`round ${round + 1} of ${rounds}: the program`);
  const report = native();
  device = report.adapter;
  for (const step of report.steps) of(step.method).native.push(step.tokens_per_second);
  console.error(`round ${round + 1} of ${rounds}: the page`);
  for (const step of (await speed(model)).steps) of(step.method).page.push(step.tokens_per_second);
}
await close();

console.log(`${new Date().toISOString().slice(0, 10)}, ${device}, Chromium ${version}, ${rounds} rounds, medians of tokens a second\n`);
console.log(`| step of ${model} | the program | the page | ratio |`);
console.log("|---|---|---|---|");
for (const [method, { native, page }] of steps) {
  const [a, b] = [median(native), median(page)];
  console.log(`| ${method} | ${a.toFixed(0)} | ${b.toFixed(0)} | ${(b / a).toFixed(2)} × |`);
}
