// @ts-check
// README.md and its translations say the same: headings, commands, links and figures are compared, words are not.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../scripts/lib/host.mjs";

/**
 * What a readme has in every language, in its order.
 * @param {string} text
 */
function bones(text) {
  /** @type {string[]} */
  const headings = [];
  /** @type {string[]} */
  const blocks = [];
  /** @type {string[]} */
  const rows = [];
  const prose = text.replaceAll(/^```(\w*)\n([\s\S]*?)^```$/gm, (/** @type {string} */ _, /** @type {string} */ language, /** @type {string} */ code) => {
    // Comments are in the reader's language.
    blocks.push(`${language}\n${code.replaceAll(/ +# .*$/gm, "")}`);
    return "";
  });
  for (const line of prose.split("\n")) {
    const heading = /^(#+) /.exec(line);
    if (heading?.[1]) headings.push(heading[1]);
    const row = /^\| (`[^|]*`) \|/.exec(line);
    if (row?.[1]) rows.push(row[1]);
  }
  const all = (/** @type {RegExp} */ what) => [...prose.matchAll(what)].map((match) => match[1] ?? "").sort();
  return { headings, blocks, rows, links: all(/\]\(([^)]+)\)/g).filter((link) => !/^README[.\w]*\.md$/.test(link)), code: all(/`([^`\n]+)`/g) };
}

/** @param {string} name */
const read = (name) => readFileSync(join(root, name), "utf8");

void test("the Chinese README has what the English one has", () => {
  const [english, chinese] = [bones(read("README.md")), bones(read("README.zh.md"))];
  for (const part of /** @type {const} */ (["headings", "blocks", "rows", "links", "code"])) {
    assert.deepEqual(chinese[part], english[part], `README.zh.md and README.md differ in their ${part}: what was changed in one belongs into the other`);
  }
  assert.ok(english.headings.length > 5 && english.rows.length > 10 && english.links.length > 20, "something was compared");
});

void test("each README leads to the other", () => {
  assert.match(read("README.md"), /\[中文\]\(README\.zh\.md\)/);
  assert.match(read("README.zh.md"), /\[English\]\(README\.md\)/);
});
