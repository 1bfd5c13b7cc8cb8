// The whole model in the browser: the same fixtures that the native tests read, through wgpu's WebGPU backend.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/lib/host.mjs";
import { expect, test } from "./harness.js";

/** What `golden_self_test` of the wasm build answers, as JSON. */
interface Report {
  adapter: string;
  comparisons: { name: string; error: number; tolerance: number }[];
}

const folder = "golden/llama";
const names = readdirSync(join(root, "tests/fixtures", folder));

/** No tolerance may be loosened beyond this one, relative to the reference's largest value. */
const cap = 1e-4;

test("a model computes what transformers computes", async ({ rootstock }) => {
  const report = JSON.parse(String(await rootstock.call("golden_self_test", { folder, names }))) as Report;
  const compared = report.comparisons.map(({ name }) => name);
  expect(compared).toEqual(expect.arrayContaining(["logits", "loss", "gradients"]));
  for (const { name, error, tolerance } of report.comparisons) {
    console.log(`  ${report.adapter}: ${name} within ${error.toExponential(1)} (allowed ${tolerance.toExponential(1)})`);
    expect(tolerance, name).toBeLessThanOrEqual(cap);
    expect(error, name).toBeLessThanOrEqual(tolerance);
  }
});
