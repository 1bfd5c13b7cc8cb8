// Greedy answers by llama.cpp, in the package node-llama-cpp: node llama.mjs MODEL.gguf COUNT [--lora ADAPTER.gguf] < prompts.json
// `prompts.json` is a list of texts or of lists of token ids; the output is a list of {"ids", "text"}. One thread: more of them wait for
// each other by spinning, which costs minutes on a machine that does something else, too.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "../lib/host.mjs";

/** @typedef {{ evaluate(ids: number[], options: { temperature: number }): AsyncIterable<number> }} Sequence */
/** @typedef {{ getSequence(): Sequence, dispose(): Promise<void> }} Context */
/**
 * @typedef {object} Model
 * @property {(text: string, special: boolean) => number[]} tokenize
 * @property {(ids: number[]) => string} detokenize
 * @property {(id: number) => boolean} isEogToken
 * @property {(options: object) => Promise<Context>} createContext
 */
/** @typedef {{ getLlama(options: object): Promise<{ loadModel(options: { modelPath: string }): Promise<Model> }> }} Package */

const place = createRequire(join(root, "real-models", "llama.cpp", "package.json"));
const llamaCpp = /** @type {Package} */ (await import(pathToFileURL(place.resolve("node-llama-cpp")).href));
const [file = "", count, flag, adapter] = process.argv.slice(2);
const llama = await llamaCpp.getLlama({ gpu: false, build: "never", logLevel: "error", maxThreads: 1 });
const model = await llama.loadModel({ modelPath: file });
const lora = flag === "--lora" ? { lora: { adapters: [{ filePath: adapter, scale: 1 }] } } : {};
const made = [];
for (const prompt of /** @type {(string | number[])[]} */ (JSON.parse(readFileSync(0, "utf8")))) {
  const context = await model.createContext({ contextSize: 512, batchSize: 512, threads: 1, ...lora });
  /** @type {number[]} */
  const ids = [];
  const asked = typeof prompt === "string" ? model.tokenize(prompt, true) : prompt;
  for await (const token of context.getSequence().evaluate(asked, { temperature: 0 })) {
    if (model.isEogToken(token) || ids.length >= Number(count)) break;
    ids.push(token);
  }
  made.push({ asked: [...asked], ids, text: model.detokenize(ids) });
  await context.dispose();
}
console.log(JSON.stringify(made));
process.exit(0);
