// All checks and tests: `npm test`. `node scripts/test.mjs core` runs those of the library and the program, `page` those of the browser build
// and the page; without a part both run side by side, since neither keeps two cores busy alone. In each the cheapest come first. It goes on
// when a suite fails and ends with what failed, a table and the line "N passed, N failed". A suite in which no test ran counts as failed.
import { spawn } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { root } from "./lib/host.mjs";

/**
 * @typedef {object} Count
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 */
/** @typedef {Count & { suite: string, seconds: number, note: string }} Row */

/** @type {Row[]} */
const rows = [];
/** What is said of each failed test at the end, since a long log may be shown cut. @type {string[]} */
const faults = [];
const browserReport = join(root, "target/browser-tests.json");

/** What ends every command that runs. @type {Set<() => void>} */
const running = new Set();
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) {
  process.on(signal, () => {
    for (const kill of running) kill();
    process.exit(130);
  });
}

// Where there is no session of a desktop, Mesa's layer that chooses a device looks for a Wayland display and complains at every instance.
const quiet = process.env["XDG_RUNTIME_DIR"] === undefined ? { NODEVICE_SELECT: "1" } : {};

const part = process.argv[2];
if (part !== undefined && part !== "core" && part !== "page") {
  console.error("usage: node scripts/test.mjs [core | page]");
  process.exit(2);
}

const ready = await execute("", "setup", "node", ["scripts/setup.mjs", part === undefined ? "all" : `test-${part}`], 3600);
if (ready.code !== 0) process.exit(1);
await Promise.all([part !== "page" && core(), part !== "core" && page()]);
summary();

async function core() {
  await check("core", "format", "cargo", ["fmt", "--all", "--check", "--", "-l"]);
  await scriptTests();
  await check("core", "licences", "node", ["scripts/dependencies.mjs"]);
  // It informs and decides nothing.
  if (!process.env["CI"]) await execute("core", "advisories", "node", ["scripts/dependencies.mjs", "advisories"], 60);
  await check("core", "Rust lints", "cargo", ["clippy", "--all-targets", "--", "-D", "warnings"]);
  await check("core", "documentation", "cargo", ["doc", "--no-deps", "--lib"], { RUSTDOCFLAGS: "-D warnings" });
  // This member depends on the library without its features: it is linted so as well.
  await check("core", "Rust lints, library", "cargo", ["clippy", "--package", "library-user", "--all-targets", "--", "-D", "warnings"]);
  await rustTests("Rust tests", []);
  await rustTests("library user", ["--package", "library-user"]);
}

async function page() {
  await check("page", "TypeScript types", "node_modules/.bin/tsc", []);
  await check("page", "package reference", "node", ["scripts/package.mjs", "api", "--check"]);
  await check("page", "TypeScript lints", "node_modules/.bin/eslint", ["--max-warnings=0", "."]);
  await check("page", "Rust lints, browser", "node", ["scripts/wasm.mjs", "clippy"]);
  await browserTests();
}

/**
 * Runs a command, shows its output and returns it. A command that exceeds the time limit is killed.
 *
 * @param {"core" | "page" | ""} lane what each line of the output is marked with while both parts run
 * @param {string} title
 * @param {string} command
 * @param {string[]} args
 * @param {number} seconds
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<{ code: number | null, text: string, seconds: number }>}
 */
function execute(lane, title, command, args, seconds, env) {
  const mark = lane === "" || part !== undefined ? "" : `${lane} │ `;
  console.log(`\n${mark}── ${title}: ${[command, ...args].join(" ")}`);
  const began = performance.now();
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, ...quiet, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true, // a process group of its own, which can be killed as a whole
  });
  const kill = () => {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  };
  running.add(kill);
  const limit = setTimeout(() => {
    console.error(`${title} exceeds its limit of ${seconds} s and is killed.`);
    kill();
  }, seconds * 1000);
  let text = "";
  createInterface({ input: child.stdout }).on("line", (line) => {
    text += `${line}\n`;
    console.log(mark + line);
  });
  createInterface({ input: child.stderr }).on("line", (line) => {
    console.error(mark + line);
  });
  return new Promise((resolve) => {
    /** @param {number | null} code */
    const end = (code) => {
      clearTimeout(limit);
      running.delete(kill);
      resolve({ code, text, seconds: (performance.now() - began) / 1000 });
    };
    child.on("error", (error) => {
      console.error(`${command} could not be started: ${error.message}`);
      end(null);
    });
    child.on("close", end);
  });
}

/**
 * Runs a check, which counts as one passed or failed test.
 *
 * @param {"core" | "page"} lane
 * @param {string} title
 * @param {string} command
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
async function check(lane, title, command, args, env) {
  const { code, seconds } = await execute(lane, title, command, args, 1800, env);
  const good = code === 0;
  if (!good) faults.push(`${title}: ${[command, ...args].join(" ")} ended with ${code}`);
  rows.push({ suite: title, passed: Number(good), failed: Number(!good), skipped: 0, seconds, note: "" });
}

async function scriptTests() {
  const folder = "tests/scripts";
  const files = readdirSync(join(root, folder)).map((name) => join(folder, name));
  const { code, text, seconds } = await execute("core", "scripts", "node", ["--test", "--test-reporter=tap", ...files], 60);
  const count = (/** @type {string} */ word) => Number(new RegExp(`^# ${word} (\\d+)`, "m").exec(text)?.[1] ?? 0);
  add("scripts", { passed: count("pass"), failed: count("fail") + count("cancelled"), skipped: count("skipped") }, code, seconds);
}

/**
 * Runs unit, integration and documentation tests. The counts come from the result line of each test program.
 *
 * @param {string} suite
 * @param {string[]} args which package, if not the main one
 */
async function rustTests(suite, args) {
  const { code, text, seconds } = await execute("core", suite, "cargo", ["test", "--no-fail-fast", ...args], 3600);
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const [, passed, failed, ignored] of text.matchAll(/^test result: .*?(\d+) passed; (\d+) failed; (\d+) ignored/gm)) {
    count.passed += Number(passed);
    count.failed += Number(failed);
    count.skipped += Number(ignored);
  }
  for (const [, name, said] of text.matchAll(/^---- (.+) stdout ----\n([\s\S]*?)(?=^---- |^failures:$)/gm)) {
    faults.push(`${suite}: ${name}\n${shortened(said ?? "")}`);
  }
  add(suite, count, code, seconds);
}

async function browserTests() {
  const suite = "browser tests";
  const nothing = { passed: 0, failed: 0, skipped: 0 };
  const build = await execute("page", "browser build", "node", ["scripts/web.mjs", "build"], 3600);
  if (build.code !== 0) {
    add(suite, nothing, build.code, build.seconds);
    return;
  }
  rmSync(browserReport, { force: true });
  const env = { PLAYWRIGHT_JSON_OUTPUT_FILE: browserReport };
  const args = ["test", "--reporter=list,json"];
  const { code, seconds } = await execute("page", suite, "node_modules/.bin/playwright", args, 1800, env);
  const report = /** @type {Report} */ (JSON.parse(await readFile(browserReport, "utf8").catch(() => "{}")));
  for (const top of report.suites ?? []) browserFaults(top, []);
  const { expected, unexpected, flaky, skipped } = report.stats ?? { expected: 0, unexpected: 0, flaky: 0, skipped: 0 };
  add(suite, { passed: expected + flaky, failed: unexpected, skipped }, code, build.seconds + seconds);
}

/**
 * Playwright's report, as far as it is read here.
 *
 * @typedef {object} Suite
 * @property {string} title
 * @property {Suite[]} [suites]
 * @property {{ title: string, ok: boolean, tests: { results: { errors?: { message?: string }[] }[] }[] }[]} [specs]
 */
/** @typedef {{ stats?: { expected: number, unexpected: number, flaky: number, skipped: number }, suites?: Suite[] }} Report */

/**
 * @param {Suite} suite
 * @param {string[]} above the titles of the suites that it is in
 */
function browserFaults(suite, above) {
  const titles = [...above, suite.title];
  for (const spec of suite.specs ?? []) {
    const results = spec.tests.flatMap((test) => test.results);
    if (spec.ok && results.length === spec.tests.length) continue;
    const errors = results.flatMap((result) => result.errors ?? []);
    // The colours that Playwright gives to its words.
    const said = errors.map(({ message }) => (message ?? "").replaceAll(/\u001b\[\d*m/g, "")).join("\n");
    const again = spec.ok ? " (passed when tried again)" : "";
    faults.push(`browser tests: ${[...titles, spec.title].join(" › ")}${again}\n${shortened(said)}`);
  }
  for (const inner of suite.suites ?? []) browserFaults(inner, titles);
}

/**
 * The first lines of what a failed test said.
 *
 * @param {string} said
 */
function shortened(said) {
  const lines = said.trimEnd().split("\n");
  return [...lines.slice(0, 20), ...(lines.length > 20 ? ["…"] : [])].map((line) => `    ${line}`).join("\n");
}

/**
 * Adds a suite's result. One that ran no test, or that failed without a failed test (it did not compile, it crashed), counts as one failure.
 *
 * @param {string} suite
 * @param {Count} count
 * @param {number | null} code
 * @param {number} seconds
 */
function add(suite, count, code, seconds) {
  const broken = count.failed === 0 && (code !== 0 || count.passed === 0);
  const note = !broken ? "" : code === 0 ? "no test ran" : "did not run to its end";
  rows.push({ suite, ...count, failed: count.failed + Number(broken), seconds, note });
}

function summary() {
  const width = Math.max(...rows.map(({ suite }) => suite.length));
  if (faults.length > 0) console.log(`\n── what failed\n\n${faults.join("\n\n")}`);
  console.log("");
  for (const { suite, passed, failed, skipped, seconds, note } of rows) {
    const counts = `${String(passed).padStart(5)} passed ${String(failed).padStart(3)} failed`;
    const more = [skipped > 0 ? `${skipped} skipped` : "", note].filter(Boolean).join(", ");
    console.log(`${suite.padEnd(width)} ${counts} ${seconds.toFixed(1).padStart(7)} s  ${more}`.trimEnd());
  }
  const total = rows.reduce((sum, row) => ({ passed: sum.passed + row.passed, failed: sum.failed + row.failed }), {
    passed: 0,
    failed: 0,
  });
  console.log(`\n${total.passed} passed, ${total.failed} failed`);
  process.exitCode = total.failed === 0 ? 0 : 1;
}
