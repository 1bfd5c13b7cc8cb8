// Matrix products of jax-js and TensorFlow.js on WebGPU, timed. Loaded by the page that run.mjs serves.
import { defaultDevice, init, jit, numpy as np } from "@jax-js/jax";
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-webgpu";
import { runs } from "./kernels.js";

export { makeKernel, runKernel } from "./kernels.js";

/** A product of a training step: x·Wᵀ (forward), dy·W (input) or dyᵀ·x (weight). The result is (m, n), the contraction k long. */

/** Numbers in [-1, 1) that repeat. */
function numbers(length) {
  return Float32Array.from({ length }, (_, i) => ((i * 7919) % 2003) / 1001.5 - 1);
}

/** The operands as they lie in memory: [rows, columns] of each, and which is transposed. */
function operands({ kind, m, n, k }) {
  if (kind === "forward") return { a: [m, k], b: [n, k], ta: false, tb: true };
  if (kind === "input") return { a: [m, k], b: [k, n], ta: false, tb: false };
  return { a: [k, m], b: [k, n], ta: true, tb: false };
}

/** The first number of the result, in f64. */
function first({ k, m, n }, { ta, tb }, a, b) {
  let sum = 0;
  for (let i = 0; i < k; i++) sum += a[ta ? i * m : i] * b[tb ? i : i * n];
  return sum;
}

/** Seconds a product: rounds of as many as fill half a second or more, each until all its results are there; their median. */
async function time(shape, product, ready) {
  const { a, b } = operands(shape);
  const want = first(shape, operands(shape), numbers(a[0] * a[1]), numbers(b[0] * b[1]));
  const got = (await product().data())[0];
  if (Math.abs(got - want) > 1e-3 * Math.sqrt(shape.k)) throw new Error(`the product is wrong: ${got} instead of ${want}`);
  const round = async (count) => {
    const begun = performance.now();
    // All are kept until all are there: jax-js computes lazily, and not at all what nobody asks for.
    const results = Array.from({ length: count }, product);
    await ready(results);
    const seconds = (performance.now() - begun) / 1000;
    for (const result of results) result.dispose();
    return seconds;
  };
  const count = Math.min(50, Math.max(2, Math.ceil(0.5 / (await round(1)))));
  const times = [];
  for (let i = 0; i < 3; i++) times.push((await round(count)) / count);
  return times.sort((x, y) => x - y)[1];
}

/** TensorFlow.js, eager, its WebGPU backend. */
export async function tensorflow(shape) {
  await tf.setBackend("webgpu");
  const { a, b, ta, tb } = operands(shape);
  const [x, y] = [tf.tensor2d(numbers(a[0] * a[1]), a), tf.tensor2d(numbers(b[0] * b[1]), b)];
  const seconds = await time(shape, () => tf.matMul(x, y, ta, tb), (results) => results.at(-1).data());
  x.dispose();
  y.dispose();
  return seconds;
}

/** A product of jax-js, compiled by jit, its WebGPU backend: `run` computes it so many times, `once` gives one, for whoever wants its numbers. */
export async function jaxProduct(shape) {
  const found = await init("webgpu");
  if (!found.includes("webgpu")) throw new Error("jax-js finds no WebGPU here");
  defaultDevice("webgpu");
  const { a, b, ta, tb } = operands(shape);
  const [x, y] = [np.array(numbers(a[0] * a[1])).reshape(a), np.array(numbers(b[0] * b[1])).reshape(b)];
  const product = jit((x, y) => np.matmul(ta ? x.transpose() : x, tb ? y.transpose() : y));
  const once = () => product(x.ref, y.ref);
  const ready = (results) => Promise.all(results.map((z) => z.blockUntilReady()));
  const run = async (count) => {
    const results = Array.from({ length: count }, once);
    await ready(results);
    for (const result of results) result.dispose();
  };
  const dispose = () => {
    x.dispose();
    y.dispose();
  };
  return { once, ready, run, dispose };
}

/** Seconds of a product of jax-js. */
export async function jax(shape) {
  const { once, ready, dispose } = await jaxProduct(shape);
  const seconds = await time(shape, once, ready);
  dispose();
  return seconds;
}

/** A product of jax-js as processor.mjs runs it. */
export async function makeJax({ name, shape }) {
  const { run } = await jaxProduct(shape);
  await run(1);
  runs[name] = run;
}
