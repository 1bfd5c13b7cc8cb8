// A llama of the size of SmolLM2-135M with random weights, taken through the page in Chromium: opened as files, validated to the last
// number, trained for a step with all parameters and with LoRA, written and merged. Prints how much memory the worker held. `npm run build:web` comes first; it takes minutes
// where SwiftShader computes, needs 4 GB of memory, and leaves the model in target/large-model.
import { chromium } from "@playwright/test";
import { copyFileSync, createWriteStream, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findChromium, root } from "./lib/host.mjs";
import { serve } from "./lib/serve.mjs";

const folder = join(root, "target/large-model");
const embedded = join(root, "assets/embedded-model");
const sizes = {
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  head_dim: 64,
  vocab_size: 49152,
  tie_word_embeddings: true,
};
/** What wasm memory may grow to, whatever the model's size. */
const mostBytes = 300e6;

if (!existsSync(join(folder, "model.safetensors"))) await make();
await run();

async function make() {
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(embedded)) if (name !== "model.safetensors") copyFileSync(join(embedded, name), join(folder, name));
  const config = /** @type {Record<string, unknown>} */ (JSON.parse(readFileSync(join(embedded, "config.json"), "utf8")));
  Object.assign(config, sizes, { dtype: "bfloat16" });
  delete config["torch_dtype"];
  writeFileSync(join(folder, "config.json"), `${JSON.stringify(config, null, 2)}\n`);

  const { hidden_size: hidden, intermediate_size: inner, num_key_value_heads: kv, head_dim: width } = sizes;
  /** @type {[string, number[]][]} */
  const shapes = [
    ["model.embed_tokens.weight", [sizes.vocab_size, hidden]],
    ["model.norm.weight", [hidden]],
  ];
  for (let layer = 0; layer < sizes.num_hidden_layers; layer++) {
    const of = (/** @type {string} */ name, /** @type {number[]} */ shape) => shapes.push([`model.layers.${layer}.${name}.weight`, shape]);
    of("input_layernorm", [hidden]);
    of("self_attn.q_proj", [hidden, hidden]);
    of("self_attn.k_proj", [kv * width, hidden]);
    of("self_attn.v_proj", [kv * width, hidden]);
    of("self_attn.o_proj", [hidden, hidden]);
    of("post_attention_layernorm", [hidden]);
    of("mlp.gate_proj", [inner, hidden]);
    of("mlp.up_proj", [inner, hidden]);
    of("mlp.down_proj", [hidden, inner]);
  }
  shapes.sort(([a], [b]) => (a < b ? -1 : 1));
  /** @type {Record<string, object>} */
  const header = { __metadata__: { format: "pt" } };
  let offset = 0;
  const count = (/** @type {number[]} */ shape) => shape.reduce((product, n) => product * n, 1);
  for (const [name, shape] of shapes) {
    header[name] = { dtype: "BF16", shape, data_offsets: [offset, offset + 2 * count(shape)] };
    offset += 2 * count(shape);
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, " ")]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const file = createWriteStream(join(folder, "model.safetensors"));
  file.write(length);
  file.write(padded);
  let state = 42;
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  for (const [name, shape] of shapes) {
    const numbers = new Uint16Array(count(shape));
    const norm = name.endsWith("norm.weight");
    for (let i = 0; i < numbers.length; i++) {
      // xorshift32 (Marsaglia 2003)
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      float[0] = norm ? 1 : (state / 2 ** 31) * 0.04;
      numbers[i] = (bits[0] ?? 0) >>> 16;
    }
    if (!file.write(Buffer.from(numbers.buffer))) await new Promise((resolve) => file.once("drain", () => resolve(null)));
  }
  await new Promise((resolve) => file.end(() => resolve(null)));
}

async function run() {
  const { origin, close } = await serve([["/", "web/dist"]]);
  const browser = await chromium.launch({
    executablePath: findChromium() ?? "",
    args: ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--enable-unsafe-webgpu"],
  });
  const page = await browser.newPage();
  page.on("console", (message) => console.log(`[${message.type()}] ${message.text()}`));
  page.setDefaultTimeout(1_800_000);
  await page.goto(origin);
  await page.waitForFunction(() => "rootstock" in globalThis);
  await page.evaluate(() => {
    const input = document.createElement("input");
    Object.assign(input, { type: "file", multiple: true, id: "large" });
    document.body.append(input);
  });
  await page.locator("#large").setInputFiles(readdirSync(folder).map((name) => join(folder, name)));

  const ask = (/** @type {import("rootstock").Request} */ request) =>
    page.evaluate(async (request) => {
      const client = /** @type {{ rootstock: import("rootstock").Rootstock }} */ (/** @type {unknown} */ (globalThis)).rootstock;
      const input = /** @type {HTMLInputElement} */ (document.querySelector("#large"));
      const files = Array.from(input.files ?? [], (file) => ({ path: file.name, file }));
      /** @type {import("rootstock").Event[]} */
      const events = [];
      const began = performance.now();
      const reply = await client.call(request, { files, on: (event) => events.push(event) });
      const { worker_bytes } = await client.call({ kind: "storage" });
      return { reply, events, seconds: (performance.now() - began) / 1000, worker_bytes: worker_bytes ?? 0 };
    }, request);
  let most = 0;
  const step = async (/** @type {import("rootstock").Request} */ request) => {
    const done = await ask(request);
    most = Math.max(most, done.worker_bytes);
    console.log(`${request.kind}: ${done.seconds.toFixed(1)} s, worker ${(done.worker_bytes / 1e6).toFixed(0)} MB`);
    return done;
  };

  const opened = await step({ kind: "open", source: { kind: "files", name: "large-model" } });
  console.log(JSON.stringify(/** @type {import("rootstock").Base} */ (opened.reply).report));
  await step({ kind: "validate" });
  const common = { stage: "pt", cutoff_len: 16, max_steps: 1, logging_steps: 1, save_strategy: "no" };
  const data = { kind: /** @type {const} */ ("files"), files: [{ name: "text.txt", text: "Lena keeps the bees by the old mill.\n" }] };
  for (const recipe of [{ ...common, finetuning_type: "full" }, { ...common, finetuning_type: "lora", lora_rank: 8 }]) {
    console.log(recipe.finetuning_type);
    await step({ kind: "prepare", data, evaluation: null, recipe, first: 0, count: 0 });
    await step({ kind: "estimate", recipe, samples: null });
    const trained = await step({ kind: "train", recipe, samples: { every: 0, prompts: [], max_new_tokens: 1 } });
    const lines = trained.events.flatMap((event) => (event.kind === "step" ? [event.line] : []));
    if (!lines.some(({ loss }) => Number.isFinite(loss))) throw new Error("the run took no step");
    for (const { loss, memory_bytes } of lines) console.log(`  loss ${loss.toFixed(3)}, GPU ${((memory_bytes ?? 0) / 1e6).toFixed(0)} MB`);
    await step({ kind: "losses", which: "tuned", text: "Lena keeps the bees." });
  }
  await step({ kind: "merge" });
  const kept = /** @type {import("rootstock").Run[]} */ ((await step({ kind: "runs" })).reply);
  for (const run of kept) console.log(`  ${run.name}: ${(run.bytes / 1e6).toFixed(0)} MB`);
  await browser.close();
  close();
  const within = most < mostBytes;
  console.log(`at most ${(most / 1e6).toFixed(0)} MB of wasm memory: ${within ? "within" : "more than"} ${mostBytes / 1e6} MB`);
  process.exitCode = within ? 0 : 1;
}
