// @ts-check
// The validator's sentences in Chinese: each is known by a pattern of src/validate, and each pattern has one.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../scripts/lib/host.mjs";

const LITERAL = String.raw`"((?:[^"\\]|\\[\s\S])*)"`;

/**
 * A literal as Rust and TypeScript read it.
 * @param {string} literal
 */
const read = (literal) => literal.replaceAll(/\\\n\s*/g, "").replaceAll(/\\(.)/g, "$1");

/** The patterns of the rules: of `said!`, and whole sentences without values. */
function patterns() {
  /** @type {Set<string>} */
  const found = new Set();
  const folder = join(root, "src/validate");
  for (const name of readdirSync(folder).filter((name) => name.endsWith(".rs") && !["said.rs", "code.rs", "docs.rs"].includes(name))) {
    const code = readFileSync(join(folder, name), "utf8").split("#[cfg(test)]")[0] ?? "";
    for (const before of [String.raw`said!\(\s*`, String.raw`let message =\s*`, String.raw`Finding::new\(\s*Code::\w+,\s*`, String.raw`(?:0|1) => `]) {
      for (const match of code.matchAll(new RegExp(before + LITERAL, "g"))) found.add(read(match[1] ?? ""));
    }
    found.delete("is"); // a word within a sentence
  }
  return found;
}

/** The patterns that the catalogue knows. */
function known() {
  const code = readFileSync(join(root, "web/src/ui/text/zh/sentences.ts"), "utf8").split("export const sentences")[1] ?? "";
  return [...code.matchAll(new RegExp(String.raw`^  (?:${LITERAL}|'([^']*(?:\\'[^']*)*)'):`, "gm"))].map((match) => read(match[1] ?? match[2] ?? ""));
}

/** Composed of another sentence, or of another library's words: shown as they are, below what the finding's code says. */
const COMPOSED = /^(\{\}|\{reason\}|\{message\})|^the base cannot be used: |^$/;

void test("every sentence of the catalogue is one of the validator's", () => {
  const all = patterns();
  assert.ok(all.size > 120, `${all.size} patterns were found in src/validate`);
  assert.deepEqual(known().filter((pattern) => !all.has(pattern)), []);
});

void test("every sentence of the validator is in the catalogue, or is composed of another", () => {
  const there = new Set(known());
  assert.deepEqual([...patterns()].filter((pattern) => !there.has(pattern) && !COMPOSED.test(pattern)), []);
});
