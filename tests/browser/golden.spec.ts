// A whole model in the browser, through wgpu's WebGPU backend, against the fixtures that the native tests read too: what
// transformers computed, see tests/fixtures/golden/README.md.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/lib/host.mjs";
import { expect, test } from "./harness.js";

/** What `loss_and_gradients` of the wasm build answers. */
interface Answer {
  loss: number;
  grad_norm: number;
  gradients: Record<string, Float32Array>;
}

interface Golden {
  sequences: { input_ids: number[]; labels: number[] }[];
  batch: { sequences: number[]; loss: number; grad_norm: number };
}

/** The native tests' tolerance: largest error over the tensor's largest magnitude. Rounding stays below 3e-6. */
const tolerance = 2e-5;

const model = ["config.json", "model.safetensors"];

// Between them they run most kernels: SwiGLU and GELU, full and sliding attention, a head of its own and a tied one.
for (const architecture of ["llama", "gemma3"]) {
  test(`${architecture}: loss and every gradient equal transformers'`, async ({ rootstock }) => {
    const folder = `golden/${architecture}`;
    const golden = JSON.parse(read(folder, "golden.json").toString()) as Golden;
    const samples = JSON.stringify(golden.batch.sequences.map((index) => golden.sequences[index]));
    const given = { files: { folder, names: model }, args: [samples] };
    const answer = (await rootstock.call("loss_and_gradients", given)) as Answer;

    const reference = goldenGradients(folder);
    expect(Object.keys(answer.gradients).sort()).toEqual([...reference.keys()].sort());
    const errors = new Map([
      ["loss", Math.abs(answer.loss / golden.batch.loss - 1)],
      ["grad_norm", Math.abs(answer.grad_norm / golden.batch.grad_norm - 1)],
    ]);
    for (const [name, want] of reference) errors.set(name, difference(answer.gradients[name], want));

    const worst = Math.max(...errors.values());
    console.log(`  ${errors.size} numbers and tensors within ${worst.toExponential(1)} of transformers`);
    for (const [name, error] of errors) expect(error, name).toBeLessThanOrEqual(tolerance);
  });
}

test("sums across lanes by subgroup operations: the same loss and gradients", async ({ rootstock }) => {
  const folder = "golden/llama";
  const golden = JSON.parse(read(folder, "golden.json").toString()) as Golden;
  const samples = JSON.stringify(golden.batch.sequences.map((index) => golden.sequences[index]));
  // A browser's software device gets them only when it is asked to; without subgroups it would refuse.
  const run = (tuning: string) => rootstock.call("loss_and_gradients", { files: { folder, names: model }, args: [samples, tuning] }) as Promise<Answer>;
  const trees = await run("row_lanes=16");
  const subgroups = await run("row_lanes=16,sums_in_subgroups=true,maxima_in_subgroups=true,vectors_in_subgroups=true");
  expect(Math.abs(subgroups.loss / golden.batch.loss - 1)).toBeLessThanOrEqual(tolerance);
  let sameBits = true;
  for (const [name, want] of goldenGradients(folder)) {
    expect(difference(subgroups.gradients[name], want), name).toBeLessThanOrEqual(tolerance);
    sameBits &&= trees.gradients[name]?.every((value, i) => value === subgroups.gradients[name]?.[i]) ?? false;
  }
  expect(sameBits, "the sums were made in another order").toBe(false);
});

test("what is wrong with a model or a sample is said", async ({ rootstock }) => {
  const folder = "golden/llama";
  const call = (names: string[], samples: unknown) =>
    rootstock.call("loss_and_gradients", { files: { folder, names }, args: [JSON.stringify(samples)] });
  await expect(call(["model.safetensors"], [])).rejects.toThrow(/config\.json/);
  await expect(call(model, [{ input_ids: [1_000_000], labels: [-100] }])).rejects.toThrow(/1000000/);
  await expect(call(model, [{ input_ids: [1, 2], labels: [2] }])).rejects.toThrow(/labels/);
  await expect(call(model, [])).rejects.toThrow(/no token/);
});

function read(folder: string, name: string): Buffer {
  return readFileSync(join(root, "tests/fixtures", folder, name));
}

/** The gradients in golden.safetensors (8 bytes of header length, a JSON header, then the numbers), by the parameter's name. */
function goldenGradients(folder: string): Map<string, Float32Array> {
  const bytes = read(folder, "golden.safetensors");
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, start)) as Record<string, { data_offsets: [number, number] }>;
  const gradients = new Map<string, Float32Array>();
  for (const [name, { data_offsets }] of Object.entries(header)) {
    if (!name.startsWith("grad/")) continue;
    const [from, to] = data_offsets;
    gradients.set(name.slice("grad/".length), new Float32Array(new Uint8Array(bytes.subarray(start + from, start + to)).buffer));
  }
  return gradients;
}

/** Largest difference over the largest magnitude; infinite where the lengths differ or a number is missing. */
function difference(got: Float32Array | undefined, want: Float32Array): number {
  if (got?.length !== want.length) return Infinity;
  const scale = want.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1e-12);
  const worst = want.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (got[i] ?? NaN))), 0);
  return Number.isNaN(worst) ? Infinity : worst / scale;
}
