#!/usr/bin/env node
// Everything that tells whether this machine's GPU computes right and how fast, in one folder to send: `npm run gpu-check`, or
// node scripts/gpu-check.mjs [FOLDER] [--device NAME|N] [--programs DIR]
// It needs no network. After the build it ends within eight minutes: what would take longer is cut off, and the folder says so.
// --programs: a folder with `rootstock` and `rootstock-tests` that were built elsewhere (the latter is cargo's test program `all`).
import { spawn } from "node:child_process";
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { output, root } from "./lib/host.mjs";

/** Seconds that everything after the build may take. */
const LIMIT = 480;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { device: { type: "string" }, programs: { type: "string" } },
});
const folder = resolve(positionals[0] ?? join(root, "target/gpu-check"));
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const device = values.device === undefined ? [] : ["--device", values.device];

/** @typedef {{ part: string, command: string, ended: string, seconds: number }} Part */
/** @type {Part[]} */
const parts = [];

const { program, tests } = await programs();
const began = performance.now();

await part("devices.json", program, ["devices", "--json"], 60);
// Measures which kernels are fastest, where that never happened on this device.
await part("tuning.txt", program, ["devices", "--tuning"], 60);
// The tests take the default device.
if (device.length === 0) await part("tests.txt", tests, ["kernels::", "golden::"], 240);
await part("bench.json", program, ["bench", "--json", ...device], 200);
const question = "Where does the miller live?";
await part("answer.txt", program, ["generate", "--model", "assets/embedded-model", "--prompt", question, "--greedy", ...device], 60);
await train("run");
await train("run-again");
same("run", "run-again");
summary();

/** The program and the tests, built if no folder of them is given. */
async function programs() {
  if (values.programs !== undefined) {
    const at = (/** @type {string} */ name) => resolve(values.programs ?? "", name + (process.platform === "win32" ? ".exe" : ""));
    return { program: at("rootstock"), tests: at("rootstock-tests") };
  }
  await part("build.txt", "cargo", ["build", "--release", "--offline", "--bin", "rootstock"], 3600);
  await part("build-tests.txt", "cargo", ["test", "--offline", "--test", "all", "--no-run", "--message-format=json"], 3600);
  const lines = readFileSync(join(folder, "build-tests.txt"), "utf8").split("\n").filter((line) => line.startsWith("{"));
  /** @type {{ target?: { name: string }, executable?: string | null }[]} */
  const messages = JSON.parse(`[${lines.join()}]`);
  const tests = messages.findLast((message) => message.target?.name === "all" && message.executable)?.executable;
  const program = join(root, "target/release/rootstock" + (process.platform === "win32" ? ".exe" : ""));
  if (typeof tests !== "string" || !existsSync(program)) {
    console.error(`The build failed; ${folder} says why. Without a network all crates must be there: cargo fetch on a machine that has one.`);
    process.exit(1);
  }
  rmSync(join(folder, "build-tests.txt"));
  return { program, tests };
}

/** Twenty steps of the demo's full fine-tuning. @param {string} name */
async function train(name) {
  const out = join(folder, name);
  const settings = ["max_steps=20", "logging_steps=1", "eval_strategy=no", "save_strategy=no", "plot_loss=false", `output_dir=${out}`];
  await part(`${name}.txt`, program, ["train", "assets/demo/village.yaml", ...settings, ...device], 60);
  for (const large of ["model.safetensors", "tokenizer.json"]) rmSync(join(out, large), { force: true });
}

/** Both runs must have logged the same losses to the last digit. @param {string} one @param {string} other */
function same(one, other) {
  const losses = (/** @type {string} */ name) => {
    const log = join(folder, name, "trainer_log.jsonl");
    if (!existsSync(log)) return [];
    const lines = readFileSync(log, "utf8").trim().split("\n");
    return lines.map((line) => {
      const { loss, grad_norm } = /** @type {{ loss: number, grad_norm: number }} */ (JSON.parse(line));
      return `${loss} ${grad_norm}`;
    });
  };
  const [first, second] = [losses(one), losses(other)];
  const equal = first.length === 20 && first.join() === second.join();
  parts.push({ part: "the same bits twice", command: "", ended: equal ? "good" : "they differ", seconds: 0 });
}

/**
 * Runs a command and keeps what it writes.
 *
 * @param {string} file where to: its stdout, and for .txt also its stderr
 * @param {string} command
 * @param {string[]} args
 * @param {number} seconds at most
 */
async function part(file, command, args, seconds) {
  const building = command === "cargo";
  const left = building ? seconds : Math.min(seconds, LIMIT - (performance.now() - began) / 1000);
  const shown = [command, ...args].join(" ");
  if (left < 1) {
    parts.push({ part: file, command: shown, ended: "left out: the time was up", seconds: 0 });
    return;
  }
  console.log(`${file}: ${shown}`);
  const start = performance.now();
  const to = createWriteStream(join(folder, file));
  // Cargo's own settings (where the fixtures lie) hold for tests that cargo does not start, too.
  const child = spawn(command, args, { cwd: root, env: { ...process.env, CARGO_MANIFEST_DIR: root }, stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.pipe(to, { end: false });
  if (file.endsWith(".txt") && !args.includes("--message-format=json")) child.stderr.pipe(to, { end: false });
  else child.stderr.pipe(process.stderr, { end: false });
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, left * 1000);
  const code = await /** @type {Promise<number | null>} */ (new Promise((done) => child.on("error", () => done(null)).on("close", done)));
  clearTimeout(limit);
  await new Promise((done) => to.end(done));
  const ended = late ? `cut off after ${Math.round(left)} s` : code === 0 ? "good" : code === null ? "could not be started" : `failed (${code})`;
  parts.push({ part: file, command: shown, ended, seconds: (performance.now() - start) / 1000 });
}

function summary() {
  const read = (/** @type {string} */ name) => {
    try {
      return /** @type {unknown} */ (JSON.parse(readFileSync(join(folder, name), "utf8")));
    } catch {
      return null;
    }
  };
  const all = /** @type {{ name: string, default: boolean }[]} */ (read("devices.json") ?? []);
  const about = {
    date: new Date().toISOString(),
    commit: output("git", ["rev-parse", "HEAD"]),
    platform: `${process.platform} ${process.arch}`,
    device: all.find((one) => one.default)?.name ?? null,
    asked_for: values.device ?? null,
    parts,
  };
  writeFileSync(join(folder, "summary.json"), JSON.stringify(about, null, 2) + "\n");
  const tests = existsSync(join(folder, "tests.txt")) ? /^test result: .*$/m.exec(readFileSync(join(folder, "tests.txt"), "utf8"))?.[0] : null;
  /** @typedef {{ model: string, method: string, batch: number, sequence: number, tokens_per_second: number, utilisation: number }} Step */
  const bench = /** @type {{ steps: Step[] } | null} */ (read("bench.json"));
  console.log(`\n${about.device ?? "no device"}, ${about.platform}`);
  if (tests) console.log(tests);
  for (const step of bench?.steps ?? []) {
    const share = `${(step.utilisation * 100).toFixed(1)} % of the measured peak`;
    console.log(`${step.model}, ${step.method}, ${step.batch} × ${step.sequence} tokens: ${Math.round(step.tokens_per_second)} tokens/s, ${share}`);
  }
  for (const { part, ended, seconds } of parts) console.log(`${part.padEnd(22)} ${ended}${seconds > 0 ? `, ${seconds.toFixed(0)} s` : ""}`);
  console.log(`\nEverything is in ${folder}; pack that folder to send it.`);
  process.exit(parts.every(({ ended }) => ended === "good") ? 0 : 1);
}
