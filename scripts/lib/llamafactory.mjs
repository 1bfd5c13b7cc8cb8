// What the scripts that run a LLaMA-Factory checkout's files with this program share.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

/**
 * The checkout and the program that a command line names; ends the process with a sentence where one of them is missing.
 *
 * @param {string[]} positionals
 * @param {string} programPath
 */
export function open(positionals, programPath) {
  const checkout = resolve(positionals[0] ?? "");
  const program = resolve(programPath);
  if (positionals.length !== 1 || !existsSync(join(checkout, "examples")) || !existsSync(join(checkout, "data/dataset_info.json"))) {
    console.error("Give the directory of a LLaMA-Factory checkout, which holds examples/ and data/dataset_info.json.");
    process.exit(2);
  }
  if (!existsSync(program)) {
    console.error(`${program} is missing; run \`cargo build --release\`, or name the program by --program.`);
    process.exit(2);
  }
  const registry = /** @type {Record<string, { file_name?: string, ranking?: boolean, formatting?: string, columns?: Record<string, string> }>} */ (
    JSON.parse(readFileSync(join(checkout, "data/dataset_info.json"), "utf8"))
  );
  return { checkout, program, registry };
}

/**
 * Runs a command of the program in the checkout.
 *
 * @param {{ checkout: string, program: string }} place
 * @param {string} command
 * @param {string[]} args
 */
export function rootstock({ checkout, program }, command, ...args) {
  const options = /** @type {const} */ ({ cwd: checkout, encoding: "utf8", input: args[0] === "-" ? "" : "Who are you?\n", timeout: 900_000, maxBuffer: 1e8 });
  const { status, stderr, stdout, error } = spawnSync(program, [command, ...args], options);
  // A program that refuses may end before its input is written.
  const early = /** @type {NodeJS.ErrnoException | undefined} */ (error)?.code === "EPIPE" && status !== null;
  return { status, stdout, stderr: error === undefined || early ? stderr : String(error) };
}

/**
 * The sentence, or the report, that a command ended with; null where it ended otherwise.
 *
 * @param {{ status: number | null, stderr: string }} ended
 */
export function refusal({ status, stderr }) {
  const lines = stderr.split("\n");
  const error = lines.findIndex((line) => line.startsWith("error: "));
  return status === 1 && error >= 0 ? lines.slice(error).join(" ").replace("error: ", "").trim() : null;
}
