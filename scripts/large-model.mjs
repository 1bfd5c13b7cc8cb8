// Models of real sizes with random weights, taken through the program and through the page in Chromium, and how much memory each step held.
//   node scripts/large-model.mjs                        SmolLM2-135M's shape in the page: opened as files, validated to the last number, trained for a step
//                                                       with all parameters and with LoRA, written and merged
//   node scripts/large-model.mjs qwen3-1.7b             Qwen3-1.7B's shape: LoRA beside 4 bits, two steps of 512 tokens, by the program and in the page
//   … [native|page] [TOKENS]                            only one of the two, with fewer tokens a step
// `npm run build:web` and `cargo build --release` come first. Without a GPU it takes minutes. The model lies in target/large-model; `--keep` leaves it there.
import { chromium } from "@playwright/test";
import { spawn } from "node:child_process";
import { copyFileSync, createWriteStream, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findChromium, root } from "./lib/host.mjs";
import { serve } from "./lib/serve.mjs";

/**
 * @typedef {object} Sizes
 * @property {number} hidden_size
 * @property {number} intermediate_size
 * @property {number} num_hidden_layers
 * @property {number} num_attention_heads
 * @property {number} num_key_value_heads
 * @property {number} head_dim
 * @property {number} vocab_size
 */

const SHAPES = {
  "smollm2-135m": {
    sizes: { hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 30, num_attention_heads: 9, num_key_value_heads: 3, head_dim: 64, vocab_size: 49152 },
    config: {},
    norms: false,
  },
  "qwen3-1.7b": {
    sizes: { hidden_size: 2048, intermediate_size: 6144, num_hidden_layers: 28, num_attention_heads: 16, num_key_value_heads: 8, head_dim: 128, vocab_size: 151936 },
    config: { model_type: "qwen3", architectures: ["Qwen3ForCausalLM"], rope_theta: 1e6, rms_norm_eps: 1e-6, max_position_embeddings: 40960 },
    norms: true,
  },
};
/** What wasm memory may grow to, whatever the model's size. */
const MOST_WASM = 300e6;
/** What docs/quantization.md promises of a LoRA run beside Qwen3-1.7B in 4 bits, 512 tokens a step. */
const MOST_GPU = 1.9 * 2 ** 30;

const words = process.argv.slice(2);
const shapeName = words.find((word) => word in SHAPES) ?? "smollm2-135m";
const shape = SHAPES[/** @type {keyof typeof SHAPES} */ (shapeName)];
const tokens = Number(words.find((word) => /^\d+$/.test(word)) ?? 512);
const unknown = words.filter((word) => !(word in SHAPES) && !["native", "page", "--keep", String(tokens)].includes(word));
if (unknown.length > 0) {
  console.error(`what is ${unknown.join(" ")}? The shapes are ${Object.keys(SHAPES).join(", ")}`);
  process.exit(2);
}
const folder = join(root, "target/large-model", shapeName);
const embedded = join(root, "assets/embedded-model");
/** A text of more tokens than two steps take, a sentence a line. */
const text = Array.from({ length: 2 * tokens }, (_, i) => `Lena keeps the ${i + 3} bees by the old mill of the village.\n`).join("");

/** LoRA beside 4 bits, as the promise has it. */
const few = {
  stage: "pt",
  finetuning_type: "lora",
  lora_rank: 8,
  quantization_bit: 4,
  gradient_checkpointing: true,
  cutoff_len: tokens,
  per_device_train_batch_size: 1,
  gradient_accumulation_steps: 1,
  max_steps: 2,
  logging_steps: 1,
  save_strategy: "no",
};

const path = join(folder, "model.safetensors");
if (!existsSync(path)) await make();
console.log(`${shapeName}: ${(statSync(path).size / 1e9).toFixed(2)} GB of bfloat16`);
let fine = true;
if (shapeName === "smollm2-135m") {
  fine = await inPage(wholeJourney);
} else {
  if (!words.includes("page")) fine = (await natively()) && fine;
  if (!words.includes("native")) fine = (await inPage(fewBits)) && fine;
}
if (!words.includes("--keep")) rmSync(folder, { recursive: true });
process.exitCode = fine ? 0 : 1;

/** Writes the model: the village's tokenizer and random weights, 16 MB at a time. */
async function make() {
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(embedded)) if (name !== "model.safetensors") copyFileSync(join(embedded, name), join(folder, name));
  const config = /** @type {Record<string, unknown>} */ (JSON.parse(readFileSync(join(embedded, "config.json"), "utf8")));
  Object.assign(config, shape.sizes, shape.config, { dtype: "bfloat16", tie_word_embeddings: true });
  delete config["torch_dtype"];
  delete config["rope_parameters"];
  writeFileSync(join(folder, "config.json"), `${JSON.stringify(config, null, 2)}\n`);

  /** @type {Sizes} */
  const { hidden_size: hidden, intermediate_size: inner, num_key_value_heads: kv, num_attention_heads: heads, head_dim: width, ...rest } = shape.sizes;
  /** @type {[string, number[]][]} */
  const shapes = [
    ["model.embed_tokens.weight", [rest.vocab_size, hidden]],
    ["model.norm.weight", [hidden]],
  ];
  for (let layer = 0; layer < rest.num_hidden_layers; layer++) {
    const of = (/** @type {string} */ name, /** @type {number[]} */ shape) => shapes.push([`model.layers.${layer}.${name}.weight`, shape]);
    of("input_layernorm", [hidden]);
    of("self_attn.q_proj", [heads * width, hidden]);
    of("self_attn.k_proj", [kv * width, hidden]);
    of("self_attn.v_proj", [kv * width, hidden]);
    of("self_attn.o_proj", [hidden, heads * width]);
    if (shape.norms) {
      of("self_attn.q_norm", [width]);
      of("self_attn.k_norm", [width]);
    }
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
  const json = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([json, Buffer.alloc((8 - (json.length % 8)) % 8, " ")]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const file = createWriteStream(path);
  file.write(length);
  file.write(padded);
  let state = 42;
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  for (const [name, shape] of shapes) {
    const norm = name.endsWith("norm.weight");
    for (let left = count(shape); left > 0; ) {
      const numbers = new Uint16Array(Math.min(left, 8 << 20));
      left -= numbers.length;
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
  }
  await new Promise((resolve) => file.end(() => resolve(null)));
}

/** The program's run beside 4 bits. Says how much GPU memory was planned and held, and the process itself. */
async function natively() {
  const program = ["release", "debug"].map((profile) => join(root, "target", profile, "rootstock")).find(existsSync);
  if (program === undefined) throw new Error("there is no rootstock to run; build it first: cargo build --release");
  const data = join(folder, "text.txt");
  writeFileSync(data, text);
  const out = join(folder, "out");
  const recipe = join(folder, "recipe.yaml");
  const keys = { model_name_or_path: folder, dataset: data, output_dir: out, overwrite_output_dir: true, ...few };
  writeFileSync(recipe, Object.entries(keys).map(([key, value]) => `${key}: ${value}\n`).join(""));
  /** @type {Record<string, unknown>[]} */
  const events = [];
  let resident = 0;
  const began = performance.now();
  await new Promise((resolve, reject) => {
    const child = spawn(program, ["train", recipe, "--json"], { stdio: ["ignore", "pipe", "inherit"] });
    const watch = setInterval(() => {
      const status = join("/proc", String(child.pid), "status");
      const found = existsSync(status) ? /VmHWM:\s+(\d+)/.exec(readFileSync(status, "utf8")) : null;
      resident = Math.max(resident, Number(found?.[1] ?? 0) * 1024);
    }, 500);
    let rest = "";
    child.stdout.on("data", (piece) => {
      const lines = (rest + String(piece)).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const event = /** @type {Record<string, unknown>} */ (JSON.parse(line));
        events.push(event);
        const seconds = ((performance.now() - began) / 1000).toFixed(1);
        if (event["event"] !== "notice") console.log(`  ${seconds} s: ${line}`);
      }
    });
    child.on("close", (code) => {
      clearInterval(watch);
      if (code === 0) resolve(null);
      else reject(new Error(`rootstock ended with ${code}`));
    });
  });
  const peak = Number(events.find((event) => event["event"] === "end")?.["peak_bytes"]);
  const planned = Number(events.find((event) => event["event"] === "start")?.["peak_bytes"] ?? NaN);
  console.log(`natively: ${gib(peak)} of GPU memory at most (planned ${gib(planned)}), the process ${gib(resident)} at most (on a software device GPU memory is in it)`);
  return peak <= MOST_GPU;
}

/** @param {number} bytes */
function gib(bytes) {
  return `${(bytes / 2 ** 30).toFixed(3)} GiB`;
}

/**
 * Opens the page with the model's files at hand.
 *
 * @param {(step: Step) => Promise<boolean>} journey
 */
async function inPage(journey) {
  const { origin, close } = await serve([["/", "web/dist"]]);
  const browser = await chromium.launch({
    executablePath: findChromium() ?? "",
    args: ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--enable-unsafe-webgpu"],
  });
  const page = await browser.newPage();
  page.on("console", (message) => console.log(`[${message.type()}] ${message.text()}`));
  page.setDefaultTimeout(3_600_000);
  await page.goto(origin);
  await page.waitForFunction(() => "rootstock" in globalThis);
  await page.evaluate(() => {
    const input = document.createElement("input");
    Object.assign(input, { type: "file", multiple: true, id: "large" });
    document.body.append(input);
  });
  await page.locator("#large").setInputFiles(readdirSync(folder).filter((name) => statSync(join(folder, name)).isFile()).map((name) => join(folder, name)));

  let most = 0;
  /** @type {Step} */
  const step = async (request) => {
    const done = await page.evaluate(async (request) => {
      const client = /** @type {{ rootstock: import("rootstock").Rootstock }} */ (/** @type {unknown} */ (globalThis)).rootstock;
      const input = /** @type {HTMLInputElement} */ (document.querySelector("#large"));
      const files = Array.from(input.files ?? [], (file) => ({ path: file.name, file }));
      /** @type {import("rootstock").Event[]} */
      const events = [];
      /** @type {number[]} */
      const times = [];
      const began = performance.now();
      const reply = await client.call(request, {
        files,
        on: (event) => {
          events.push(event);
          times.push((performance.now() - began) / 1000);
        },
      });
      const { worker_bytes } = await client.call({ kind: "storage" });
      return { reply, events, times, seconds: (performance.now() - began) / 1000, worker_bytes: worker_bytes ?? 0 };
    }, request);
    most = Math.max(most, done.worker_bytes);
    console.log(`${request.kind}: ${done.seconds.toFixed(1)} s, worker ${(done.worker_bytes / 1e6).toFixed(0)} MB`);
    for (const [at, event] of done.events.entries()) {
      if (event.kind !== "step") continue;
      const { current_steps: number, loss, memory_bytes: memory } = event.line;
      console.log(`  step ${number} after ${(done.times[at] ?? 0).toFixed(1)} s: loss ${loss.toFixed(3)}, GPU ${gib(memory ?? 0)}`);
    }
    return done;
  };
  const opened = await step({ kind: "open", source: { kind: "files", name: shapeName } });
  console.log(JSON.stringify(/** @type {import("rootstock").Base} */ (opened.reply).report));
  const done = await journey(step);
  await browser.close();
  close();
  const within = most < MOST_WASM;
  console.log(`at most ${(most / 1e6).toFixed(0)} MB of wasm memory: ${within ? "within" : "more than"} ${MOST_WASM / 1e6} MB`);
  return done && within;
}

/**
 * @typedef {object} Answer
 * @property {unknown} reply
 * @property {import("rootstock").Event[]} events
 * @typedef {(request: import("rootstock").Request) => Promise<Answer>} Step
 */

/**
 * Everything that the page does with a model.
 *
 * @param {Step} step
 */
async function wholeJourney(step) {
  await step({ kind: "validate" });
  const common = { stage: "pt", cutoff_len: 16, max_steps: 1, logging_steps: 1, save_strategy: "no" };
  const data = { kind: /** @type {const} */ ("files"), files: [{ name: "text.txt", text: "Lena keeps the bees by the old mill.\n" }] };
  for (const recipe of [{ ...common, finetuning_type: "full" }, { ...common, finetuning_type: "lora", lora_rank: 8 }]) {
    console.log(recipe.finetuning_type);
    await train(step, data, recipe);
    await step({ kind: "losses", which: "tuned", text: "Lena keeps the bees." });
  }
  await step({ kind: "merge" });
  const kept = /** @type {import("rootstock").Run[]} */ ((await step({ kind: "runs" })).reply);
  for (const run of kept) console.log(`  ${run.name}: ${(run.bytes / 1e6).toFixed(0)} MB`);
  return true;
}

/**
 * LoRA beside 4 bits; says whether the GPU's memory keeps the promise.
 *
 * @param {Step} step
 */
async function fewBits(step) {
  const lines = await train(step, { kind: "files", files: [{ name: "text.txt", text }] }, few);
  return lines.every(({ memory_bytes: memory }) => (memory ?? Infinity) <= MOST_GPU);
}

/**
 * Prepares, estimates and trains.
 *
 * @param {Step} step
 * @param {import("rootstock").DataSource} data
 * @param {import("rootstock").Settings} recipe
 */
async function train(step, data, recipe) {
  await step({ kind: "prepare", data, evaluation: null, recipe, first: 0, count: 0 });
  const estimate = await step({ kind: "estimate", recipe, samples: null });
  console.log(`  ${JSON.stringify(estimate.reply)}`);
  const trained = await step({ kind: "train", recipe, samples: { every: 0, prompts: [], max_new_tokens: 1 } });
  const lines = trained.events.flatMap((event) => (event.kind === "step" ? [event.line] : []));
  if (lines.length === 0 || !lines.every(({ loss }) => Number.isFinite(loss))) throw new Error("the run took no step");
  return lines;
}
