// Matrix products of a training step on Chromium's software device, in floating-point operations a CPU second of its GPU process, which other programs on the
// machine disturb little: the kernels of the page, the ones for devices without subgroups, and jax-js, in alternation; and how long each kernel takes to compile.
//
//     npm install --prefix benchmarks/browser --no-save
//     node benchmarks/browser/processor.mjs [--rounds 3] [--shape 2048,384,128] [--small]
//
// Linux only. The kernels are shaders/*.wgsl as they are; the shape is M, N, K of the forward product; --small takes the tiles of small products.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "@playwright/test";
import { build } from "vite";
import { findChromium, root } from "../../scripts/lib/host.mjs";
import { serve } from "../../scripts/lib/serve.mjs";
import { giga, median, option } from "../lib.mjs";

const rounds = Number(option("rounds", "3"));
const tile = process.argv.includes("--small") ? { ROW_BLOCKS: 2, COLUMNS: 32, STEPS: 1 } : { ROW_BLOCKS: 2, COLUMNS: 64, STEPS: 2 };
const [m = 2048, n = 384, k = 128] = option("shape", "2048,384,128").split(",").map(Number);
if ([m, n, k].some((size) => !(size > 0) || size % 16 !== 0)) throw new Error("--shape is M,N,K: multiples of 16, such as 2048,384,128");

const out = "target/benchmark-processor";
mkdirSync(join(root, out), { recursive: true });
const entry = join(root, "benchmarks/browser/peers.js");
await build({
  configFile: false,
  root: join(root, "benchmarks/browser"),
  logLevel: "warn",
  build: { outDir: join(root, out), emptyOutDir: true, target: "esnext", lib: { entry, formats: ["es"], fileName: () => "peers.js" } },
});
writeFileSync(join(root, out, "index.html"), "<!doctype html><title>Benchmark</title>");
const server = await serve([["/", out]]);
const browser = await chromium.launch({ executablePath: findChromium() ?? "", args: ["--no-sandbox", "--enable-unsafe-webgpu"] });
const page = await browser.newPage();
page.setDefaultTimeout(1_800_000);
await page.goto(server.origin);

/** The GPU process of this browser: the one whose parents lead to this program. */
function gpuProcess() {
  const lines = execFileSync("ps", ["-eo", "pid,ppid,args"], { encoding: "utf8" }).split("\n");
  const all = lines.flatMap((line) => {
    const found = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line);
    return found ? [{ pid: Number(found[1]), parent: Number(found[2]), args: found[3] ?? "" }] : [];
  });
  const ours = (/** @type {number} */ pid) => {
    for (let at = all.find((one) => one.pid === pid); at; at = all.find((one) => one.pid === at?.parent)) if (at.pid === process.pid) return true;
    return false;
  };
  const found = all.find((one) => one.args.includes("--type=gpu-process") && ours(one.pid));
  if (!found) throw new Error("Chromium has no GPU process here");
  return found.pid;
}

/** CPU seconds of all threads of a process so far. @param {number} pid */
function seconds(pid) {
  const each = readdirSync(`/proc/${pid}/task`).map((task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]));
  return each.reduce((sum, ns) => sum + ns, 0) / 1e9;
}

/** A kernel with the files that it uses before it, as build.rs puts them together. @param {string} name */
function text(name) {
  const version = name.split(".").at(-1) ?? "";
  const seen = new Set();
  const load = (/** @type {string} */ path) => {
    const body = readFileSync(join(root, "shaders", path), "utf8").replaceAll("{PLAIN}", "f32");
    let before = "";
    for (const [, used = ""] of body.matchAll(/^\/\/ use: (\S+)$/gm)) {
      const own = used.replace(/\.wgsl$/, `.${version}.wgsl`);
      const file = existsSync(join(root, "shaders", own)) ? own : used;
      if (seen.has(file)) continue;
      seen.add(file);
      before += load(file);
    }
    return `${before}${body}\n`;
  };
  return (name.includes(".subgroup") ? "enable subgroups;\n" : "") + load(`${name}.wgsl`);
}

/** Parameters and buffers (floats, the last one written) of the three products, as src/ops/matmul/kernel.rs has them. */
const [k4, n4] = [k / 4, n / 4];
const kinds = {
  forward: { kernel: "linear_forward", params: [m, n, k4, 0, k4, k4, 0, 0, n4, 0, 0, 0], step: false, buffers: [m * k, n * k, 4, 4, 4, m * n], rows: m, columns: n },
  input: { kernel: "linear_backward_input", params: [m, n, k4, 0, n4, k4, 0, 0, k4, 0, 0, 0, 0], step: false, buffers: [m * n, n * k, 4, 4, m * k], rows: m, columns: k },
  weight: { kernel: "linear_backward_weight", params: [m, n, k4, n4, k4, k4, 0, 0, 0, k, 0], step: true, buffers: [m * n, m * k, n * k], rows: n, columns: k },
};
/** @typedef {keyof typeof kinds} Kind */

/** Makes a pipeline, so that `run` can dispatch it; what compiling took. @param {Kind} kind @param {boolean} quads */
async function make(kind, quads) {
  const { kernel, params, step, buffers, rows, columns } = kinds[kind];
  const wgsl = text(`${kernel}.${quads ? "quads.subgroup" : "registers"}`);
  const constants = quads ? tile : { THREADS_X: 8, THREADS_Y: 1, COLUMNS: 16 };
  const [down, across] = quads ? [Math.ceil(rows / 32), Math.ceil(columns / tile.COLUMNS)] : [Math.ceil(rows / 16), Math.ceil(columns / 128)];
  const groups = quads && kind === "input" ? [down, across] : [across, down];
  const begun = seconds(gpu);
  await call("makeKernel", { name: `${kind} ${quads ? "quads" : "registers"}`, wgsl, constants, params, step, buffers, groups });
  return seconds(gpu) - begun;
}

/** Calls a function of peers.js in the page. @param {string} name @param {object} argument */
function call(name, argument) {
  return page.evaluate(
    async ({ name, argument }) => {
      const path = "/peers.js";
      const peers = /** @type {Record<string, (argument: object) => Promise<void>>} */ (await import(path));
      await peers[name]?.(argument);
    },
    { name, argument },
  );
}

/** Floating-point operations a CPU second. @param {string} name */
async function measure(name) {
  const begun = seconds(gpu);
  await call("runKernel", { name, count: 4 });
  return (4 * 2 * m * n * k) / (seconds(gpu) - begun);
}

const gpu = gpuProcess();
console.log(`${new Date().toISOString().slice(0, 10)}, Chromium ${browser.version()}, M × N × K = ${m} × ${n} × ${k}, ${rounds} rounds, GFLOP a CPU second of the GPU process\n`);
console.log("| product | quads | registers | jax-js | quads against jax-js | compiling quads, registers (s) |");
console.log("|---|---|---|---|---|---|");
for (const kind of /** @type {Kind[]} */ (Object.keys(kinds))) {
  const compiled = [await make(kind, true), await make(kind, false)];
  const sizes = kind === "forward" ? { m, n, k } : kind === "input" ? { m, n: k, k: n } : { m: n, n: k, k: m };
  await call("makeJax", { name: `${kind} jax`, shape: { kind, ...sizes } });
  const who = ["quads", "registers", "jax"];
  /** @type {number[][]} */
  const figures = who.map(() => []);
  for (const one of who) await measure(`${kind} ${one}`);
  for (let round = 0; round < rounds; round++) for (const [i, one] of who.entries()) figures[i]?.push(await measure(`${kind} ${one}`));
  const [quads = NaN, registers = NaN, jax = NaN] = figures.map(median);
  console.log(`| ${kind} | ${giga(quads)} | ${giga(registers)} | ${giga(jax)} | ${(quads / jax).toFixed(1)} × | ${compiled.map((s) => s.toFixed(1)).join(", ")} |`);
}
await browser.close();
server.close();
