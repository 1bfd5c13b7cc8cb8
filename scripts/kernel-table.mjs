#!/usr/bin/env node
// Writes the table of docs/kernel-statistics.md anew: what GPU compilers make of every variant that a class of GPUs can choose.
//   node scripts/kernel-table.mjs COMPILER      (or KERNEL_COMPILER=… in the environment)
//   node scripts/kernel-table.mjs COMPILER --missing      (keeps the rows whose kernel has the code that they were made of)
// COMPILER is a program that compiles WGSL for GPUs without having one, called as `COMPILER --json FILE.wgsl NAME=VALUE …`. It answers
// with a list of one entry, `{driver, targets: {NAME: {registers, spills, occupancy, unit, instructions}}}`. NAME=VALUE sets override
// constants; FILE.wgsl is one version of a kernel with all that it uses. The list of variants is written by UPDATE_VARIANTS=1 cargo test --test all variants.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "./lib/host.mjs";
import { kernelSource } from "./lib/kernel-source.mjs";

const compiler = process.argv[2] ?? process.env["KERNEL_COMPILER"];
if (compiler === undefined) {
  console.error("usage: node scripts/kernel-table.mjs COMPILER (the head of this file says what that is)");
  process.exit(2);
}
const page = join(root, "docs/kernel-statistics.md");

/** @typedef {{ registers: number, spills: number, occupancy: number, unit: string, instructions: number }} Target */
/** @typedef {{ kernel: string, constants: string[], families: string[] }} Variant */
const variants = /** @type {Variant[]} */ (JSON.parse(readFileSync(join(root, "scripts/kernel-variants.json"), "utf8")));

const old = readFileSync(page, "utf8");
const known = new Map(old.split("\n").filter((line) => line.startsWith("| `")).map((line) => [line.split(" | ").slice(0, 2).join(" | "), line]));
const keep = process.argv.includes("--missing");

/** @type {string[]} */
let names = [...(/\n\| kernel \|(.*)\n/.exec(old)?.[1] ?? "").matchAll(/ ([\w-]+) \(registers · ([^·]*) · /g)].map(([, name]) => name ?? "");
/** @type {Map<string, string>} */
const units = new Map();
let driver = "";
/**
 * The row of a variant: the one that is there, or a new one.
 *
 * @param {Variant} variant
 */
async function row(variant) {
  const key = `| \`${variant.kernel}\` | ${variant.constants.join(" ")}`;
  const { text, hash } = kernelSource(variant.kernel);
  const old = known.get(key)?.split(" | ");
  if (keep && old?.at(-1) === `${hash} |`) return [...old.slice(0, 2), variant.families.join(", "), ...old.slice(3)].join(" | ");
  const { targets, driver: by } = await compile(variant, text);
  driver = by;
  if (names.length === 0) names = Object.keys(targets);
  const cells = names.map((name) => {
    const target = targets[name];
    if (!target) return "–";
    units.set(name, target.unit);
    const spilled = target.spills > 0 ? `, ${target.spills} spills` : "";
    return `${target.registers} · ${target.occupancy} · ${target.instructions}${spilled}`;
  });
  return `${key} | ${variant.families.join(", ")} | ${cells.join(" | ")} | ${hash} |`;
}

/** @type {string[]} */
const rows = [];
let next = 0;
// Several at once: a compiler mostly waits for its processes to start.
const work = async () => {
  while (next < variants.length) {
    const index = next++;
    if (index % 20 === 0) console.error(`${index} of ${variants.length}`);
    rows[index] = await row(/** @type {Variant} */ (variants[index]));
  }
};
await Promise.all(Array.from({ length: 2 * availableParallelism() }, work));

/** @param {string} name */
const unit = (name) => units.get(name) ?? new RegExp(` ${name} \\(registers · ([^·]*) · `).exec(old)?.[1] ?? "";
const heads = names.map((name) => `${name} (registers · ${unit(name)} · instructions)`);
const table = [`| kernel | constants | chosen by | ${heads.join(" | ")} | code |`, `|${" --- |".repeat(4 + names.length)}`, ...rows];
const compiled = `Compiled on ${new Date().toISOString().slice(0, 10)} by ${driver}.`;
const before = readFileSync(page, "utf8").split("\n| kernel |")[0] ?? "";
// Where nothing was compiled, rows may still have gone, or have other families.
const head = driver === "" ? before : before.replace(/^Compiled .*$/m, compiled);
writeFileSync(page, `${head}\n${table.join("\n")}\n`);

/**
 * Compiles one variant.
 *
 * @param {Variant} variant
 * @param {string} text
 * @returns {Promise<{ driver: string, targets: Record<string, Target> }>}
 */
async function compile({ kernel, constants }, text) {
  const folder = mkdtempSync(join(tmpdir(), "kernel-"));
  const flat = join(folder, `${kernel}.wgsl`);
  writeFileSync(flat, text);
  const run = promisify(execFile)(compiler ?? "", ["--json", flat, ...constants], { encoding: "utf8", maxBuffer: 1e8 });
  const { stdout } = await run
    .catch((/** @type {{ stderr: string }} */ { stderr }) => {
      throw new Error(`${kernel} ${constants.join(" ")}: ${stderr}`);
    })
    .finally(() => rmSync(folder, { recursive: true }));
  const [first] = /** @type {{ driver: string, targets: Record<string, Target> }[]} */ (JSON.parse(stdout));
  if (!first) throw new Error(`${kernel}: the compiler says nothing`);
  return first;
}
