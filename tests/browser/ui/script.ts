// A worker by script: figures that look like those of the village model. Nothing is computed here, and nothing of this is in
// the product; the address chooses what is told (`?gpu=none`, `?base=broken`, `?base=evil`, `?fits=no`,
// `?runs=none`, `?runs=live`, `?data=long`, `?steps=5000`, `?answers=same`, `?storage=refused`, `?slowed=hidden`).
import type { Base, BaseSource, CallOptions, Delta, Estimate, Event, Preview, Replies, Report, Request, Run, RunMethod, Settings } from "rootstock";
import { Fault } from "rootstock";
import type { Engine } from "../../../web/src/ui/state/engine.js";
import { answer, broken, deltas, losses, ready, runEvents, tokens } from "./figures.js";

const asked = new URLSearchParams(location.search);
const gpu = asked.get("gpu") !== "none";

/** What the script remembers between requests. */
const now = {
  report: { broken, evil: { ...ready, model_type: "llama\u001b[2J\u202e" } }[asked.get("base") ?? ""] ?? ready,
  runs: {
    none: [],
    live: [run("live-1", "full", false)],
  }[asked.get("runs") ?? ""] ?? [run("village-1", "full", true), run("pirate-1", "lora", false)],
  /** Where the open base comes from. */
  source: { kind: "embedded" } as BaseSource,
  stopped: false,
  skipped: false,
  held: null as (() => void) | null,
};

type Kind = Request["kind"];
type Answers = { [K in Kind]: (request: Extract<Request, { kind: K }>, options: CallOptions) => Replies[K] | Promise<Replies[K]> };

const answers: Answers = {
  device: () =>
    gpu
      ? { name: "Scripted device", family: "other-processor", software: true, f16: false, subgroups: true, max_buffer_bytes: 2 ** 30, max_binding_bytes: 2 ** 27, memory_bytes: null }
      : null,
  tune: () => null,
  measure_kernels: () => null,
  speed: ({ model }) => ({
    device: "Scripted device",
    peak_flops: 160e9,
    peak_bandwidth: 8e9,
    steps: [{ model, method: "full", batch: "32 × 64", tokens_per_second: 5141, utilisation: 0.21 }],
    answers: [{ model, tokens_per_second: 12.5, fraction_of_bandwidth: 0.4 }],
    kernels: [{ name: "linear_forward subgroup.f32", shape: "2048 × 384 × 128", count: 5, share: 0.3, fraction_of_peak: 0.33 }],
    text: "Scripted device\n5141 tokens/s",
  }),
  open: ({ source }, { files = [] }) => {
    if (source.kind === "files" && !files.some(({ path }) => path === "config.json")) {
      throw new Error("There is no config.json in the chosen files.");
    }
    now.source = source;
    return base(nameOf(source), now.report);
  },
  validate: () => ({ ...now.report, loss: 1.234 }),
  repair: () => {
    now.report = ready;
    return { base: base("village, repaired", ready), done: ["config.json: tie_word_embeddings is true now."], id: "repaired-1" };
  },
  examples: () => [
    { name: "village", about: "Questions about the people of a village.", records: 1000, held_out: "village_held_out", asked: [{ question: "Where is Emma at work?", answer: "Emma works at the studio." }] },
    { name: "pirate", about: "The same answers in a pirate's voice.", records: 375, held_out: "pirate_held_out", asked: [{ question: "Who likes fish best?", answer: "Arr, that be Otto." }] },
    { name: "newcomers", about: "Two people who have just moved in.", records: 100, held_out: "newcomers_held_out", asked: [] },
  ],
  columns: ({ file }) => (file.name.endsWith(".txt") ? [] : ((file.text ?? "").split("\n", 1)[0] ?? "").split(",")),
  prepare: ({ data, first, count, recipe }): Preview => {
    const odd = data.kind === "files" ? data.files.find(({ text, columns }) => text?.startsWith("frage,") && !columns) : undefined;
    if (odd) throw new Error(`${odd.name}: found the fields frage, antwort; expected instruction and output.`);
    const wrong = data.kind === "files" ? data.files.find(({ text }) => text?.includes("{broken")) : undefined;
    if (wrong) throw new Fault("not_json", `${wrong.name}, line 1: this is not JSON (expected a string at column 2).`, { file: wrong.name, line: 1 });
    if (asked.get("data") === "long") {
      const long = Array.from({ length: 128 }, (_, index) => ({ text: `token${index}`, trained: index > 9 }));
      const shown = [{ tokens: long, trained: 118, truncated: true, line: 1, answers: [] }];
      return { records: 1, samples: 1, evaluation_samples: 0, tokens: 128, trained: 118, truncated: 1, dropped: 0, longest: 128, needs: 300, notices: [], shown };
    }
    const pair = [
      { role: "preferred", end: Math.floor(tokens.length / 2) },
      { role: "rejected", end: tokens.length },
    ];
    const shown = Array.from({ length: count }, (_, index) => ({ tokens, trained: 8, truncated: index === 2, line: first + index + 1, answers: recipe["stage"] === "dpo" ? pair : [] }));
    return { records: 1000, samples: 1000, evaluation_samples: 143, tokens: 22_110, trained: 9_820, truncated: 3, dropped: 0, longest: 41, needs: 41, notices: [], shown };
  },
  measure: () => null,
  estimate: ({ recipe, samples }): Estimate => {
    const lora = recipe["finetuning_type"] === "lora";
    const half = recipe["bf16"] === true;
    const fits = asked.get("fits") !== "no" || recipe["gradient_checkpointing"] === true;
    return {
      trainable: lora ? Number(recipe["lora_rank"] ?? 8) * 5_280 : 1_051_776,
      parameters: 1_051_776,
      memory: { weights: 4.2e6, gradients: lora ? 2e5 : 4.2e6, optimizer: lora ? 4e5 : 8.4e6, activations: half ? 14e6 : 28e6, other: 1e6, peak: peakOf(recipe) },
      available: fits ? 1e9 : 40e6,
      fits,
      obstacle: fits ? null : "It needs 46.0 MB, and this device offers 40.0 MB.",
      suggestions: fits ? [] : [{ words: "Compute activations again (gradient_checkpointing): 31.0 MB", set: { gradient_checkpointing: true } }],
      steps: 189,
      storage_bytes: 14.7e6,
      seconds: 190,
      answers: samples && samples.every > 0 ? samples.prompts.length * (1 + Math.ceil(189 / samples.every)) : 0,
      answer_seconds: 30,
      notices: [],
    };
  },
  keys: () => [],
  read_recipe: ({ yaml }) => {
    if (!yaml.includes(":")) throw new Error("recipe.yaml, line 1: a key and a value are expected.");
    return { recipe: { finetuning_type: "lora", lora_rank: 16 }, notes: ["report_to is not used here."] };
  },
  write_recipe: ({ recipe }) => Object.entries(recipe).map(([key, value]) => `${key}: ${value}\n`).join(""),
  train: ({ recipe }, { on }) => train(on ?? (() => undefined), 0, recipe["stage"] === "dpo"),
  go_on: (_, { on }) => train(on ?? (() => undefined), 40),
  pause: () => {
    now.held = () => undefined;
    return null;
  },
  resume: () => release(),
  stop: () => {
    now.stopped = true;
    return release();
  },
  save: () => null,
  skip: () => {
    now.skipped = true;
    return null;
  },
  runs: () => now.runs,
  describe: ({ id, name, notes }) => {
    now.runs = now.runs.map((one) => (one.id === id ? { ...one, name: name || one.name, notes } : one));
    return now.runs.find((one) => one.id === id) ?? run(id, "full", true);
  },
  log: ({ id }) => logOf(id),
  remove: ({ id }) => {
    now.runs = now.runs.filter((one) => one.id !== id);
    return null;
  },
  storage: () => ({
    usage: 29.4e6,
    quota: 60e9,
    persistent: false,
    worker_bytes: null,
    refused: asked.get("storage") === "refused" ? "the browser refuses its private storage" : null,
  }),
  tuned: ({ id }) => now.runs.find((one) => one.id === id) ?? run(id, "full", true),
  chat: async ({ which, messages, sampling }, { on, signal }) => {
    const drawn = sampling.temperature > 0 && asked.get("answers") !== "same" ? ` Draw ${sampling.seed}.` : "";
    const answer = (which === "base" ? "the red house . one day Anna went to the" : `Anna lives in the red house. (${messages.length})`) + drawn;
    for (const text of answer.split(/(?= )/)) {
      if (signal?.aborted) break;
      await Promise.resolve();
      on?.({ kind: "text", text });
    }
    return { text: answer, tokens: 9, tokens_per_second: 30, finish: "stop" };
  },
  losses: ({ which }) => losses(which),
  evaluate: () => ({ loss: 0.084, perplexity: 1.088, tokens: 1204, samples: 117 }),
  look: ({ which }) => losses(which).map(({ text, loss }, index) => ({ text, loss, trained: index > 7, likeliest: loss === null ? [] : [{ text, probability: Math.exp(-loss) }] })),
  adapt: ({ parts }) => (parts.some(({ strength }) => strength > 1) ? ["pirate-1 was made on other weights than these."] : []),
  truncate: () => ({ energy: 0.5, parameters: 5_280, bytes: 21_120, whole: [] }),
  shape_memory: () => ({ parameters: 1_051_776, trainable: 1_051_776, memory: { weights: 4.2e6, gradients: 4.2e6, optimizer: 8.4e6, activations: 28e6, other: 1e6, peak: 46e6 } }),
  deltas: (): Delta[] => deltas(),
  adopt: ({ name }, { files = [] }) => {
    if (!files.some(({ path }) => path === "adapter_config.json")) throw new Error(`${name}: there is no adapter_config.json in it.`);
    const adopted = { ...run("adopted-1", "lora", true), name, source: now.source, base: nameOf(now.source) };
    now.runs = [adopted, ...now.runs];
    return adopted;
  },
  merge: () => {
    const merged = run("merged-1", "merge", true);
    now.runs = [merged, ...now.runs];
    return merged;
  },
  files: () => [
    { name: "config.json", bytes: 2, path: ["runs", "village-2", "config.json"] },
    { name: "model.safetensors", bytes: 8, path: ["runs", "village-2", "model.safetensors"] },
  ],
  held_out: ({ which }) => ({ loss: which === "base" ? 2.5 : 0.412, samples: 64, held_out: true }),
  gguf: ({ id, outtype, alone }) => ({
    file: { name: `${id}.${alone === true ? "adapter" : outtype.toUpperCase()}.gguf`, bytes: 8, path: ["kept", id, "gguf", "model.gguf"] },
    remarks: [],
  }),
  drop_gguf: () => null,
  cancel: () => null,
};

export const script: Engine = {
  read: () => Promise.resolve(new Uint8Array(8)),
  call: async <R extends Request>(request: R, options: CallOptions = {}) => {
    await Promise.resolve();
    const answer = answers[request.kind] as (request: Request, options: CallOptions) => Replies[R["kind"]] | Promise<Replies[R["kind"]]>;
    return answer(request, options);
  },
};

/** What a run takes: less with activations that are recomputed or in 16 bits, and beside a base in fewer bits. */
function peakOf(recipe: Settings): number {
  const bits = recipe["quantization_bit"];
  return (recipe["gradient_checkpointing"] === true ? 31e6 : recipe["bf16"] === true ? 32e6 : 46e6) - (bits === 8 ? 1e6 : bits === 4 ? 2e6 : 0);
}

function nameOf(source: BaseSource): string {
  switch (source.kind) {
    case "embedded":
      return "village";
    case "files":
      return source.name;
    case "url":
      return source.url;
    case "run":
    case "grown":
      return source.id;
  }
}

function release(): null {
  now.held?.();
  now.held = null;
  return null;
}

/** The log of a stored run: the events of one, in a moment. */
function logOf(id: string): Replies["log"] {
  const log: Replies["log"] = { lines: [], evaluations: [], answers: [] };
  for (let step = 1; step <= 60; step += 1) {
    for (const event of runEvents(step, 60)) {
      if (event.kind === "step") log.lines.push({ ...event.line, loss: event.line.loss * (id === "pirate-1" ? 1.5 : 1) });
      if (event.kind === "evaluation") log.evaluations.push(event.line);
      if (event.kind === "sample") log.answers.push(event.line);
    }
  }
  return log;
}

async function train(on: (event: Event) => void, from: number, compares = false): Promise<Replies["train"]> {
  now.stopped = false;
  now.skipped = false;
  const total = Number(asked.get("steps") ?? 60);
  on({ kind: "progress", progress: { what: "Compiling kernels for this device", done: 12, total: 48, unit: "kernels" } });
  // `?hold=compiling` and `?hold=answer` stay there until the run is stopped or the answer skipped.
  if (asked.get("hold") === "compiling") await until(() => now.stopped);
  on({ kind: "started", run: from > 0 ? "pirate-1" : "village-2", step: from, steps: total, lines: [], evaluations: [], answers: [] });
  if (from === 0) {
    for (const event of answer(0, "the red house . one day Emma went to the")) {
      if (asked.get("hold") === "answer" && event.kind === "sample") await until(() => now.skipped);
      on(event.kind === "sample" && now.skipped ? { ...event, line: { ...event.line, finish: "skipped" } } : event);
    }
  }
  let step = from;
  while (step < total && !now.stopped) {
    step += 1;
    if (step % 10 === 1) await new Promise((resolve) => setTimeout(resolve, Number(asked.get("wait") ?? 5)));
    if (now.held) {
      on({ kind: "paused", step: step - 1 });
      await new Promise<void>((resolve) => (now.held = resolve));
    }
    for (const event of runEvents(step, total, compares)) {
      const slowed = event.kind === "step" && document.hidden && asked.get("slowed") === "hidden";
      on(slowed ? { ...event, line: { ...event.line, tokens_per_second: 0.4 * event.line.tokens_per_second } } : event);
    }
  }
  const result = run("village-2", "full", true);
  now.runs = [result, ...now.runs];
  return { run: result, finished: step === total, train_loss: 0.6, eval_loss: 0.49, seconds: 61, tokens_per_second: 1840, peak_bytes: 46e6 };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

function base(name: string, report: Report): Base {
  return {
    name,
    report,
    files: [
      { name: "config.json", bytes: 795 },
      { name: "model.safetensors", bytes: 2_104_984 },
      { name: "tokenizer.json", bytes: 21_534 },
      { name: "tokenizer_config.json", bytes: 890 },
    ],
    config: { hidden_size: 128, num_hidden_layers: 6, num_attention_heads: 4, vocab_size: 512, dtype: "float16", tie_word_embeddings: true },
    chat_template: true,
    village: name.startsWith("village"),
  };
}

function run(id: string, method: RunMethod, finished: boolean): Run {
  return {
    id,
    name: id,
    source: { kind: "embedded" },
    folder: id,
    method,
    base: "village",
    bytes: 14_700_000,
    result_bytes: 4_200_000,
    step: finished ? 189 : 40,
    steps: 189,
    finished,
    usable: true,
    live: id === "live-1",
    model: method !== "lora",
    created: Date.UTC(2026, 10, 24, 9, 30),
    train_loss: 0.31,
    eval_loss: 0.412,
    seconds: 61,
    recipe: { finetuning_type: method, learning_rate: method === "lora" ? 5e-3 : 1e-3, num_train_epochs: 3 },
    data: method === "lora" ? "pirate" : "village",
    notes: "",
  };
}
