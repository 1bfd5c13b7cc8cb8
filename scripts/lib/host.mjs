// Finds programs on this machine and runs them. Uses Node's standard library only, because setup runs before `npm ci`.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/**
 * Runs a command and returns its stdout, or null if the command is missing, fails, or takes over 30 seconds.
 *
 * @param {string} command
 * @param {string[]} args
 */
export function output(command, args) {
  const result = spawnSync(command, args, { encoding: "utf8", cwd: root, timeout: 30_000, maxBuffer: 1e8 });
  return result.status === 0 ? result.stdout.trim() : null;
}

/**
 * Runs a command and shows its output.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ seconds?: number, env?: NodeJS.ProcessEnv }} [options] `seconds` is a time limit
 * @returns {boolean} whether it succeeded
 */
export function run(command, args, { seconds, env } = {}) {
  const result = spawnSync(command, args, {
    stdio: ["ignore", "inherit", "inherit"],
    cwd: root,
    env: { ...process.env, ...env },
    timeout: seconds === undefined ? undefined : seconds * 1000,
  });
  return result.status === 0;
}

/**
 * The first of these programs that exists, as a full path.
 *
 * @param {string[]} names
 */
function findProgram(names) {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path)) ?? null;
}

/** A C compiler, which rustc calls to link. */
export function findLinker() {
  return findProgram(["cc", "gcc", "clang"]);
}

/** A Chrome or Chromium for the browser tests; `CHROMIUM_PATH` names another one. */
export function findChromium() {
  const named = process.env["CHROMIUM_PATH"];
  if (named) return existsSync(named) ? named : null;
  const apps = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
  ];
  return (
    findProgram(["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]) ??
    apps.find((path) => existsSync(path)) ??
    null
  );
}
