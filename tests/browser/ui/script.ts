// A worker by script: figures that look like those of the village model. Nothing is computed here, and nothing of this is in
// the product; the address chooses what is told (`?gpu=none`, `?base=broken`, `?base=evil`, `?fits=no`,
// `?runs=none`, `?runs=live`, `?data=long`, `?steps=5000`).
import type { CallOptions } from "../../../web/src/client.js";
import type { Base, BaseSource, Delta, Event, Estimate, Preview, Replies, Report, Request, Run, RunMethod } from "../../../web/src/messages.js";
import type { Engine } from "../../../web/src/ui/state/engine.js";
import { broken, deltas, losses, ready, runEvents, tokens } from "./figures.js";

const asked = new URLSearchParams(location.search);
const gpu = asked.get("gpu") !== "none";

/** What the script remembers between requests. */
const now = {
  report: { broken, evil: { ...ready, model_type: "llama\u001b[2J\u202e" } }[asked.get("base") ?? ""] ?? ready,
  runs: {
    none: [],
    live: [run("live-1", "full", false)],
  }[asked.get("runs") ?? ""] ?? [run("village-1", "full", true), run("pirate-1", "lora", false)],
  stopped: false,
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
    return base(nameOf(source), now.report);
  },
  validate: () => ({ ...now.report, loss: 1.234 }),
  repair: () => {
    now.report = ready;
    return { base: base("village, repaired", ready), done: ["config.json: tie_word_embeddings is true now."], id: "repaired-1" };
  },
  examples: () => [
    { name: "village", about: "Questions about the people of a village.", records: 1000, held_out: "village_held_out" },
    { name: "pirate", about: "The same answers in a pirate's voice.", records: 375, held_out: "pirate_held_out" },
    { name: "newcomers", about: "Two people who have just moved in.", records: 100, held_out: "newcomers_held_out" },
  ],
  prepare: ({ data, first, count }): Preview => {
    const wrong = data.kind === "files" ? data.files.find(({ text }) => text.includes("{broken")) : undefined;
    if (wrong) throw new Error(`${wrong.name}, line 1: this is not JSON (expected a string at column 2).`);
    if (asked.get("data") === "long") {
      const long = Array.from({ length: 128 }, (_, index) => ({ text: `token${index}`, trained: index > 9 }));
      const shown = [{ tokens: long, trained: 118, truncated: true, line: 1 }];
      return { records: 1, samples: 1, evaluation_samples: 0, tokens: 128, trained: 118, truncated: 1, dropped: 0, longest: 128, notices: [], shown };
    }
    const shown = Array.from({ length: count }, (_, index) => ({ tokens, trained: 8, truncated: index === 2, line: first + index + 1 }));
    return { records: 1000, samples: 1000, evaluation_samples: 143, tokens: 22_110, trained: 9_820, truncated: 3, dropped: 0, longest: 41, notices: [], shown };
  },
  measure: () => null,
  estimate: ({ recipe }): Estimate => {
    const lora = recipe["finetuning_type"] === "lora";
    const fits = asked.get("fits") !== "no" || recipe["gradient_checkpointing"] === true;
    return {
      trainable: lora ? Number(recipe["lora_rank"] ?? 8) * 5_280 : 1_051_776,
      parameters: 1_051_776,
      memory: { weights: 4.2e6, gradients: lora ? 2e5 : 4.2e6, optimizer: lora ? 4e5 : 8.4e6, activations: 28e6, other: 1e6, peak: 46e6 },
      available: fits ? 1e9 : 40e6,
      fits,
      obstacle: fits ? null : "It needs 46.0 MB, and this device offers 40.0 MB.",
      suggestions: fits ? [] : [{ words: "Compute activations again (gradient_checkpointing): 31.0 MB", set: { gradient_checkpointing: true } }],
      steps: 189,
      storage_bytes: 14.7e6,
      seconds: 190,
      notices: [],
    };
  },
  keys: () => [],
  read_recipe: ({ yaml }) => {
    if (!yaml.includes(":")) throw new Error("recipe.yaml, line 1: a key and a value are expected.");
    return { recipe: { finetuning_type: "lora", lora_rank: 16 }, notes: ["report_to is not used here."] };
  },
  write_recipe: ({ recipe }) => Object.entries(recipe).map(([key, value]) => `${key}: ${value}\n`).join(""),
  train: (_, { on }) => train(on ?? (() => undefined)),
  go_on: (_, { on }) => train(on ?? (() => undefined)),
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
  runs: () => now.runs,
  remove: ({ id }) => {
    now.runs = now.runs.filter((one) => one.id !== id);
    return null;
  },
  storage: () => ({ usage: 29.4e6, quota: 60e9, persistent: false, worker_bytes: null }),
  tuned: ({ id }) => now.runs.find((one) => one.id === id) ?? run(id, "full", true),
  chat: async ({ which, messages }, { on, signal }) => {
    const answer = which === "base" ? "the red house . one day Anna went to the" : `Anna lives in the red house. (${messages.length})`;
    for (const text of answer.split(/(?= )/)) {
      if (signal?.aborted) break;
      await Promise.resolve();
      on?.({ kind: "text", text });
    }
    return { text: answer, tokens: 9, tokens_per_second: 30, finish: "stop" };
  },
  losses: ({ which }) => losses(which),
  deltas: (): Delta[] => deltas(),
  merge: () => {
    const merged = run("merged-1", "merge", true);
    now.runs = [merged, ...now.runs];
    return merged;
  },
  files: () => [
    { name: "config.json", bytes: 2, path: ["runs", "village-2", "config.json"] },
    { name: "model.safetensors", bytes: 8, path: ["runs", "village-2", "model.safetensors"] },
  ],
  cancel: () => null,
};

export const script: Engine = {
  call: async <R extends Request>(request: R, options: CallOptions = {}) => {
    await Promise.resolve();
    const answer = answers[request.kind] as (request: Request, options: CallOptions) => Replies[R["kind"]] | Promise<Replies[R["kind"]]>;
    return answer(request, options);
  },
};

function nameOf(source: BaseSource): string {
  switch (source.kind) {
    case "embedded":
      return "village";
    case "files":
      return source.name;
    case "url":
      return source.url;
    case "run":
      return source.id;
  }
}

function release(): null {
  now.held?.();
  now.held = null;
  return null;
}

async function train(on: (event: Event) => void): Promise<Replies["train"]> {
  now.stopped = false;
  const total = Number(asked.get("steps") ?? 60);
  on({ kind: "progress", progress: { what: "Loading weights", done: 1e6, total: 2.1e6, unit: "bytes" } });
  let step = 0;
  while (step < total && !now.stopped) {
    step += 1;
    if (step % 10 === 1) await new Promise((resolve) => setTimeout(resolve, Number(asked.get("wait") ?? 5)));
    if (now.held) {
      on({ kind: "paused", step: step - 1 });
      await new Promise<void>((resolve) => (now.held = resolve));
    }
    for (const event of runEvents(step, total)) on(event);
  }
  const result = run("village-2", "full", true);
  now.runs = [result, ...now.runs];
  return { run: result, finished: step === total, train_loss: 0.6, eval_loss: 0.49, seconds: 61, tokens_per_second: 1840, peak_bytes: 46e6 };
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
  };
}

function run(id: string, method: RunMethod, finished: boolean): Run {
  return {
    id,
    name: id,
    folder: id,
    method,
    base: "village",
    bytes: 14_700_000,
    step: finished ? 189 : 40,
    steps: 189,
    finished,
    usable: true,
    live: id === "live-1",
    model: method !== "lora",
    created: Date.UTC(2026, 10, 24, 9, 30),
    loss: 0.412,
  };
}
