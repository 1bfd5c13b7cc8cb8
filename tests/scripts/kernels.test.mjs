// @ts-check
// The table of what GPU compilers make of the kernels is of the kernels as they are.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import assert from "node:assert/strict";
import { test } from "node:test";
import { root } from "../../scripts/lib/host.mjs";
import { kernelSource } from "../../scripts/lib/kernel-source.mjs";

void test("no row of docs/kernel-statistics.md is of a kernel's former code", () => {
  const rows = readFileSync(join(root, "docs/kernel-statistics.md"), "utf8").split("\n").filter((line) => line.startsWith("| `"));
  assert.ok(rows.length > 300, `${rows.length} rows`);
  const stale = rows.filter((row) => {
    const kernel = /^\| `([^`]+)`/.exec(row)?.[1] ?? "";
    return !row.endsWith(` | ${kernelSource(kernel).hash} |`);
  });
  assert.deepEqual(stale, [], "node scripts/kernel-table.mjs COMPILER --missing compiles them anew (docs/kernel-statistics.md)");
});
