// Matrix products of a training step in one Chromium: Rootstock's, jax-js's and TensorFlow.js's, in alternation.
//
//     npm install --prefix benchmarks/browser --no-save
//     node scripts/package.mjs build
//     node benchmarks/browser/run.mjs [--rounds 3] [--shape embedded|SmolLM2-135M]
//
// The shapes are those of a full fine-tuning step (src/bench): Rootstock's figures are those of the page's "Speed" view, the peers compute the same
// products from operands that lie in memory as a step has them. What is printed is a table for docs/benchmarks.md.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "vite";
import { root } from "../../scripts/lib/host.mjs";
import { open } from "../chromium.mjs";
import { Figures, option, productOf } from "../lib.mjs";

const rounds = Number(option("rounds", "3"));
const model = option("shape", "SmolLM2-135M");

const out = "target/benchmark-browser";
mkdirSync(join(root, out), { recursive: true });
const entry = join(root, "benchmarks/browser/peers.js");
await build({
  configFile: false,
  root: join(root, "benchmarks/browser"),
  logLevel: "warn",
  build: { outDir: join(root, out), emptyOutDir: true, target: "esnext", lib: { entry, formats: ["es"], fileName: () => "peers.js" } },
});
writeFileSync(join(root, out, "index.html"), "<!doctype html><title>Benchmark</title>");

const { page, speed, close, version } = await open(out);

/** @typedef {{ kind: string, m: number, n: number, k: number }} Product */
/** @typedef {"jax" | "tensorflow"} Peer */

/** Seconds of a product of a peer. */
const theirs = (/** @type {Peer} */ name, /** @type {Product} */ product) =>
  page.evaluate(
    async ({ name, product }) => {
      const path = "/peers.js";
      const peers = /** @type {Record<Peer, (product: Product) => Promise<number>>} */ (await import(path));
      return peers[name](product);
    },
    { name, product },
  );

/** @type {Figures<"rootstock" | Peer>} */
const figures = new Figures();
let device = "";
for (let round = 0; round < rounds; round++) {
  console.error(`round ${round + 1} of ${rounds}: Rootstock`);
  const own = await speed(model);
  device = own.device;
  for (const kernel of own.kernels) {
    const product = productOf(kernel.name, kernel.shape);
    if (product) figures.add(product, "rootstock", kernel.fraction_of_peak * own.peak_flops);
  }
  const peers = /** @type {Peer[]} */ (round % 2 === 0 ? ["jax", "tensorflow"] : ["tensorflow", "jax"]);
  for (const { product } of figures.products.values()) {
    for (const name of peers) {
      console.error(`round ${round + 1} of ${rounds}: ${name}, ${product.key}`);
      figures.add(product, name, (2 * product.m * product.n * product.k) / (await theirs(name, product)));
    }
  }
}
await close();

console.log(`${new Date().toISOString().slice(0, 10)}, Chromium ${version}, ${device}, ${rounds} rounds, medians in GFLOP/s\n`);
console.log("| product, M × N × K | Rootstock | jax-js | TensorFlow.js | against jax-js | against TensorFlow.js |");
console.log("|---|---|---|---|---|---|");
console.log(figures.rows(["rootstock", "jax", "tensorflow"]).join("\n"));
