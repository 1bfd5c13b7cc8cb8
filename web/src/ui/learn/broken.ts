// Checkpoints that are broken on purpose: the embedded model's files, edited here in the page; and what transformers loads of such files.
import type { Given } from "../files.js";
import { lessonText } from "../text/lessons.js";

export type Files = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

/** The embedded model's files. */
const NAMES = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"];

export async function intact(): Promise<Files> {
  const read = NAMES.map(async (name) => {
    const response = await fetch(`./embedded-model/${name}`);
    if (!response.ok) throw new Error(lessonText.parts.fileUnread(`embedded-model/${name}`, response.status));
    return [name, new Uint8Array(await response.arrayBuffer())] as const;
  });
  return new Map(await Promise.all(read));
}

/** Files as a person would give them. */
export function given(files: Files): Given[] {
  return [...files].map(([path, bytes]) => ({ path, file: new File([bytes], path) }));
}

// ---- safetensors

export interface Tensor {
  dtype: string;
  shape: number[];
  bytes: Uint8Array<ArrayBuffer>;
}

export type Tensors = ReadonlyMap<string, Tensor>;

/** Reads a safetensors file. */
export function readTensors(file: Uint8Array<ArrayBuffer>): Tensors {
  const length = Number(new DataView(file.buffer, file.byteOffset, 8).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length))) as Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  const data = file.subarray(8 + length);
  const tensors = Object.entries(header).filter(([name]) => name !== "__metadata__");
  return new Map(tensors.map(([name, { dtype, shape, data_offsets: [from, to] }]) => [name, { dtype, shape, bytes: data.slice(from, to) }]));
}

/** Writes a safetensors file. */
export function writeTensors(tensors: Tensors): Uint8Array<ArrayBuffer> {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let at = 0;
  for (const [name, { dtype, shape, bytes }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  let text = JSON.stringify(header);
  text += " ".repeat((8 - (text.length % 8)) % 8); // the format aligns its data
  const head = new TextEncoder().encode(text);
  const file = new Uint8Array(8 + head.length + at);
  new DataView(file.buffer).setBigUint64(0, BigInt(head.length), true);
  file.set(head, 8);
  let place = 8 + head.length;
  for (const { bytes } of tensors.values()) {
    file.set(bytes, place);
    place += bytes.length;
  }
  return file;
}

const utf8 = (value: unknown): Uint8Array<ArrayBuffer> => new TextEncoder().encode(JSON.stringify(value, null, 2) + "\n");
const json = (files: Files, name: string) => JSON.parse(new TextDecoder().decode(files.get(name))) as Record<string, unknown>;

/** Tokens that a model knows, by its config.json. */
export function vocabularyOf(files: Files): number {
  return Number(json(files, "config.json")["vocab_size"]);
}

// ---- what is broken

export const BREAKS = ["config", "keys", "head", "shard", "tokenizer", "adapter"] as const;
export type Break = (typeof BREAKS)[number];

type Apply = (files: Map<string, Uint8Array<ArrayBuffer>>) => void;

const WEIGHTS = "model.safetensors";

/** In the order in which they are applied: the last replaces everything. */
const APPLY: Record<Break, Apply> = {
  config: (files) => files.delete("config.json"),
  keys: (files) => {
    const tensors = readTensors(files.get(WEIGHTS) as Uint8Array<ArrayBuffer>);
    files.set(WEIGHTS, writeTensors(new Map([...tensors].map(([name, tensor]) => [`module.${name}`, tensor]))));
  },
  head: (files) => {
    if (files.has("config.json")) files.set("config.json", utf8({ ...json(files, "config.json"), tie_word_embeddings: false }));
  },
  shard: (files) => {
    const all = [...readTensors(files.get(WEIGHTS) as Uint8Array<ArrayBuffer>)];
    const half = Math.ceil(all.length / 2);
    const name = (part: number) => `model-0000${part}-of-00002.safetensors`;
    files.delete(WEIGHTS);
    files.set(name(1), writeTensors(new Map(all.slice(0, half))));
    const total = all.reduce((sum, [, { bytes }]) => sum + bytes.length, 0);
    const map = Object.fromEntries(all.map(([tensor], index) => [tensor, name(index < half ? 1 : 2)]));
    files.set(`${WEIGHTS}.index.json`, utf8({ metadata: { total_size: total }, weight_map: map }));
  },
  tokenizer: (files) => {
    for (const name of ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]) files.delete(name);
  },
  adapter: (files) => {
    const tensors = new Map<string, Tensor>();
    for (const [name, { shape }] of readTensors(wholeWeights(files))) {
      const module = /^(?:module\.)?(.*q_proj)\.weight$/.exec(name)?.[1];
      const [rows = 0, cols = 0] = shape;
      if (module === undefined) continue;
      tensors.set(`base_model.model.${module}.lora_A.weight`, { dtype: "F32", shape: [4, cols], bytes: floats(4 * cols, normal(rows)) });
      tensors.set(`base_model.model.${module}.lora_B.weight`, { dtype: "F32", shape: [rows, 4], bytes: new Uint8Array(4 * 4 * rows) });
    }
    for (const name of [...files.keys()]) if (/^(config|generation_config)\.json$|safetensors/.test(name)) files.delete(name);
    files.set("adapter_model.safetensors", writeTensors(tensors));
    files.set("adapter_config.json", utf8({ peft_type: "LORA", task_type: "CAUSAL_LM", base_model_name_or_path: "village-model", r: 4, lora_alpha: 8, lora_dropout: 0, bias: "none", target_modules: ["q_proj"] }));
  },
};

function wholeWeights(files: Files): Uint8Array<ArrayBuffer> {
  return (files.get(WEIGHTS) ?? files.get("model-00001-of-00002.safetensors")) as Uint8Array<ArrayBuffer>;
}

/** The model with all of these broken. */
export function broken(files: Files, breaks: readonly Break[]): Files {
  const copy = new Map(files);
  for (const name of BREAKS) if (breaks.includes(name)) APPLY[name](copy);
  return copy;
}

// ---- what transformers makes of it

export type Loaded =
  /** It ends with an error. */
  | { refuses: string }
  /** It loads; `random` names what it has made up, `of` how many tensors the model has. */
  | { files: Files; random: string[]; of: number; says: string };

/**
 * What transformers loads: tensors that it does not find under the names it expects are made up, matrices from a normal distribution of
 * deviation `initializer_range`, norms as ones. Tensors under other names are left out. The rules are those of transformers 4.57 and 5.
 */
export function asTransformers(files: Files, whole: Files): Loaded {
  if (files.has("adapter_config.json")) {
    return { refuses: "Unrecognized model. Should have a `model_type` key in its config.json. – With PEFT installed it looks for the base “village-model”, which is not there." };
  }
  if (!files.has("config.json")) return { refuses: "does not appear to have a file named config.json" };
  if (files.has(`${WEIGHTS}.index.json`)) return { refuses: "FileNotFoundError: No such file or directory: model-00002-of-00002.safetensors" };
  if (!files.has("tokenizer.json")) {
    return { refuses: "The model loads; its tokenizer does not: Couldn't instantiate the backend tokenizer. Without one no text becomes tokens." };
  }
  const config = json(files, "config.json");
  const found = readTensors(wholeWeights(files));
  const expected = new Map(readTensors(wholeWeights(whole)));
  const embedding = expected.get("model.embed_tokens.weight");
  if (config["tie_word_embeddings"] === false && embedding) expected.set("lm_head.weight", embedding);
  const deviation = Number(config["initializer_range"] ?? 0.02);
  const random: string[] = [];
  const tensors = [...expected].map(([name, { dtype, shape, bytes }], index): [string, Tensor] => {
    const known = found.get(name);
    if (known) return [name, known];
    random.push(name);
    const draw = /norm\.weight$/.test(name) ? () => 1 : normal(index + 1, deviation);
    return [name, { dtype, shape, bytes: dtype === "BF16" ? halves(bytes.length / 2, draw) : floats(bytes.length / 4, draw) }];
  });
  const says = random.length > 0 ? `Some weights of LlamaForCausalLM were not initialized from the model checkpoint and are newly initialized: ${random.slice(0, 2).join(", ")}${random.length > 2 ? ", …" : ""}` : "nothing";
  return { files: new Map([...files, [WEIGHTS, writeTensors(new Map(tensors))]]), random, of: expected.size, says };
}

/** Draws from a normal distribution, the same ones for the same seed. */
export function normal(seed: number, deviation = 0.02): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => deviation * Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

function floats(count: number, draw: () => number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Float32Array.from({ length: count }, draw).buffer);
}

/** As bfloat16, which is the upper half of a float. */
function halves(count: number, draw: () => number): Uint8Array<ArrayBuffer> {
  const wide = new Uint32Array(Float32Array.from({ length: count }, draw).buffer);
  return new Uint8Array(Uint16Array.from(wide, (bits) => (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16).buffer);
}
