// Burn and Rootstock on the same graphics device, in alternation: matrix products at the shapes of a training step, and full steps of SmolLM2-135M's shape.
//
//     cargo build --release
//     cargo build --release --manifest-path benchmarks/burn/Cargo.toml      (on a GPU with --features vulkan)
//     node benchmarks/burn/run.mjs [--rounds 3] [--burn PROGRAM] [--rootstock PROGRAM] [--no-step]
//
// On a machine without a GPU both compute on Vulkan's software device (CUBECL_WGPU_DEFAULT_DEVICE=Cpu is set for Burn). What is printed is a table for
// docs/benchmarks.md.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { root } from "../../scripts/lib/host.mjs";
import { Figures, median, option, productOf } from "../lib.mjs";

const rounds = Number(option("rounds", "3"));
const burn = option("burn", join(root, "benchmarks/burn/target/release/burn-benchmark"));
const rootstock = option("rootstock", join(root, "target/release/rootstock"));
const steps = !process.argv.includes("--no-step");

/** @typedef {{ adapter: string, driver: string, kernels: { name: string, shape: string, flops: number }[], steps: { seconds: number }[] }} Report */

/** A full step of SmolLM2-135M's shape, one sequence of 256 tokens, and its kernels. */
function ours() {
  const args = ["bench", "--json", "--model", "SmolLM2-135M", "--only", "full"];
  const report = /** @type {unknown} */ (JSON.parse(execFileSync(rootstock, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })));
  return /** @type {Report} */ (report);
}

let device = "";

/** @param {string[]} args */
function theirs(args) {
  const software = /llvmpipe|swiftshader/i.test(device) ? { CUBECL_WGPU_DEFAULT_DEVICE: "Cpu" } : {};
  const env = { ...process.env, ...software };
  return Number(execFileSync(burn, args, { encoding: "utf8", env, stdio: ["ignore", "pipe", "inherit"] }));
}

/** @type {Figures<"rootstock" | "burn">} */
const figures = new Figures();
/** @type {{ own: number[], burn: number[] }} */
const step = { own: [], burn: [] };
for (let round = 0; round < rounds; round++) {
  console.error(`round ${round + 1} of ${rounds}: Rootstock`);
  const report = ours();
  device = `${report.adapter}, ${report.driver}`;
  step.own.push(report.steps[0]?.seconds ?? NaN);
  for (const { name, shape, flops } of report.kernels) {
    const product = productOf(name, shape);
    if (product) figures.add(product, "rootstock", flops);
  }
  for (const { product } of figures.products.values()) {
    console.error(`round ${round + 1} of ${rounds}: Burn, ${product.key}`);
    const seconds = theirs(["product", product.kind, String(product.m), String(product.n), String(product.k)]);
    figures.add(product, "burn", (2 * product.m * product.n * product.k) / seconds);
  }
  if (!steps) continue;
  console.error(`round ${round + 1} of ${rounds}: Burn, a step`);
  step.burn.push(theirs(["step", "256"]));
}

console.log(`${new Date().toISOString().slice(0, 10)}, ${device}, ${rounds} rounds, medians\n`);
console.log("| product, M × N × K; GFLOP/s | Rootstock | Burn | ratio |");
console.log("|---|---|---|---|");
console.log(figures.rows(["rootstock", "burn"]).join("\n"));
if (steps) {
  const [own, other] = [median(step.own), median(step.burn)];
  console.log(`| full step of SmolLM2-135M's shape, 256 tokens | ${own.toFixed(1)} s | ${other.toFixed(1)} s | ${(other / own).toFixed(1)} × |`);
}
