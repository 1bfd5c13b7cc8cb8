// The scripted worker's figures.
import type { Delta, Event, Report, Rewards, TokenLoss, Which } from "rootstock";

export const ready: Report = {
  verdict: "ready",
  kind: "model",
  model_type: "llama",
  parameters: 1_051_776,
  lora_targets: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
  findings: [{ code: "no_generation_config", severity: "info", message: "there is no generation_config.json; transformers derives one from config.json", pattern: "there is no generation_config.json; transformers derives one from config.json", values: [], file: "generation_config.json", tensor: null, repair: null }],
};

export const broken: Report = {
  ...ready,
  verdict: "repairable",
  findings: [
    {
      code: "missing_head",
      severity: "error",
      message:
        "there is no lm_head.weight, and config.json says that it is not the embedding (tie_word_embeddings); transformers would make a random head, with a loss near ln(512) = 6.24, and only warn",
      pattern:
        "there is no lm_head.weight, and config.json {declared} (tie_word_embeddings); transformers would make a random head, with a loss near ln({}) = {chance:.2}, and only warn",
      values: ["says that it is not the embedding", "512", "6.24"],
      file: "config.json",
      tensor: "lm_head.weight",
      repair: "in config.json set tie_word_embeddings to true",
    },
    {
      code: "no_chat_template",
      severity: "warning",
      message: "There is no chat template: conversations would be written as plain User: and Assistant: lines.",
      pattern: null,
      values: [],
      file: "tokenizer_config.json",
      tensor: null,
      repair: "write the template that the tokenizer's special tokens belong to",
    },
    ...ready.findings,
  ],
};

const words = ["Who", " lives", " in", " the", " red", " house", "?", "\n", "Anna", " lives", " in", " the", " red", " house", ".", "<end>"];

export const tokens = words.map((text, index) => ({ text, trained: index > 7 }));

export function losses(which: Which): TokenLoss[] {
  const size = which === "base" ? 6.5 : 2;
  return words.map((text, index) => ({ text, loss: index === 0 ? null : size * Math.abs(Math.sin(index * 2)) }));
}

const modules = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"];

export function deltas(): Delta[] {
  const layer = (index: number) =>
    modules.map((module, at) => ({
      name: `model.layers.${index}.${module}.weight`,
      layer: index,
      module,
      delta_norm: 0.05 * (1 + index) * (1 + Math.abs(Math.sin(at * 3 + index))),
      weight_norm: 4.1,
      singular_values: Array.from({ length: 64 }, (_, value) => 0.3 * Math.exp(-value / 9)),
      shape: [128, 128],
    }));
  return [0, 1, 2, 3, 4, 5].flatMap(layer);
}

/** What a run of preferences tells of its answers, at a share of its steps. */
function rewards(share: number): Rewards {
  return { chosen: 1.6 * share, rejected: -1.1 * share, accuracy: Math.min(1, 0.5 + share) };
}

/** What a run tells of one step. */
export function* runEvents(step: number, total: number, compares = false): Generator<Event> {
  const noise = Math.sin(step * 12.9898) * 0.08;
  yield {
    kind: "step",
    line: {
      current_steps: step,
      total_steps: total,
      loss: 0.3 + 2.4 * Math.exp(-step / (total / 5)) + noise,
      grad_norm: 1.2 + 6 * noise,
      lr: 1e-3 * (0.5 + 0.5 * Math.cos((Math.PI * step) / total)),
      epoch: (3 * step) / total,
      tokens_per_second: 1840 + 900 * noise,
      remaining_seconds: total - step,
      memory_bytes: 46e6,
      rewards: compares ? rewards(step / total) : null,
    },
  };
  if (step % Math.ceil(total / 3) === 0) yield { kind: "evaluation", line: { current_steps: step, eval_loss: 0.45 + 2 * Math.exp(-step / (total / 4)), rewards: compares ? rewards(step / total) : null } };
  if (step % 20 === 0) {
    yield { kind: "saved", step };
    yield* answer(step, "Anna lives in the red house.");
  }
}

/** An answer as it is written, word by word. */
export function* answer(step: number, text: string): Generator<Event> {
  const prompt = "Where is Emma at work?";
  yield { kind: "writing", step, prompt, text: "" };
  for (const word of text.split(/(?= )/)) yield { kind: "writing", step, prompt, text: word };
  yield { kind: "sample", line: { step, prompt, text, finish: "stop" } };
}
