// Lesson: where the memory of a training run goes; planned for models of several shapes, and measured on the one that is here.
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import type { EstimateMemory, Settings, ShapeMemory } from "rootstock";
import { bytes, count, percent, short } from "../../numbers.js";
import { Button } from "../../parts/Button.js";
import { NumberField, SelectField, SwitchField } from "../../parts/Field.js";
import { Notice } from "../../parts/Notice.js";
import { device } from "../../state/device.js";
import { change, numberAt, oneAt, textAt } from "../address.js";
import { goTo, LessonFrame, Scene } from "../frame.js";
import { Result } from "../kept.js";
import { Watch } from "../parts/Watch.js";
import { ask, EMBEDDED, inTurn, open } from "../room.js";
import { recipeOf, training, VILLAGE, type Task } from "../training.js";

/** The shapes of models by their config.json; no weights are needed to plan a run. */
const SHAPES = {
  village: {
    name: "The village model",
    config: { model_type: "llama", vocab_size: 512, hidden_size: 128, intermediate_size: 384, num_hidden_layers: 5, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 32, tie_word_embeddings: true },
  },
  smollm2: {
    name: "SmolLM2-135M",
    config: { model_type: "llama", vocab_size: 49152, hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 30, num_attention_heads: 9, num_key_value_heads: 3, head_dim: 64, tie_word_embeddings: true, max_position_embeddings: 8192 },
  },
  qwen: {
    name: "Qwen2.5-0.5B",
    config: { model_type: "qwen2", vocab_size: 151936, hidden_size: 896, intermediate_size: 4864, num_hidden_layers: 24, num_attention_heads: 14, num_key_value_heads: 2, tie_word_embeddings: true, max_position_embeddings: 32768 },
  },
  llama: {
    name: "Llama-3.2-1B",
    config: { model_type: "llama", vocab_size: 128256, hidden_size: 2048, intermediate_size: 8192, num_hidden_layers: 16, num_attention_heads: 32, num_key_value_heads: 8, head_dim: 64, tie_word_embeddings: true, max_position_embeddings: 131072 },
  },
} as const;
type Shape = keyof typeof SHAPES;
const NAMES = Object.keys(SHAPES) as Shape[];

const PARTS = [
  ["weights", "Weights"],
  ["gradients", "Gradients"],
  ["optimizer", "Moments"],
  ["activations", "Activations"],
  ["other", "Other"],
] as const satisfies readonly (readonly [keyof EstimateMemory, string])[];

const OPTIMIZERS = ["adamw_torch", "adamw_8bit", "sgd"] as const;
const measured = training("memory.measured");
/** What was planned for the run that is measured. */
const planned = new Result<EstimateMemory>("memory.planned");

const BATCH = 8;
const TOKENS = 64;

function settings() {
  const method = oneAt("method", ["full", "lora"] as const, "full");
  const batch = numberAt("batch", BATCH, 1, 256);
  const tokens = numberAt("tokens", TOKENS, 8, 8192);
  const optim = oneAt("optim", OPTIMIZERS, "adamw_torch");
  const bits = method === "lora" ? oneAt("bits", ["16", "8", "4"] as const, "16") : "16";
  const checkpointing = textAt("checkpointing", "") === "1";
  const own: Settings = { finetuning_type: method, per_device_train_batch_size: batch, optim, gradient_checkpointing: checkpointing, ...(method === "lora" ? { lora_rank: 8 } : {}), ...(bits === "16" ? {} : { quantization_bit: Number(bits) }) };
  // As long as the device has to work for a step of it; only the memory is looked at.
  const task: Task = { name: "Lesson: memory", base: EMBEDDED, data: VILLAGE, recipe: recipeOf({ ...own, max_steps: 2, learning_rate: 1e-4 }) };
  return { method, batch, tokens, optim, bits, checkpointing, own, task };
}

export function Memory() {
  const { method, batch, tokens, optim, bits, checkpointing, own, task } = settings();
  const plans = useSignal<Partial<Record<Shape, ShapeMemory>>>({});
  const fault = useSignal<string | null>(null);
  measured.follow(task);
  const key = JSON.stringify([own, tokens]);
  useEffect(() => {
    if (!device.value) return;
    let current = true;
    const timer = setTimeout(() => {
      inTurn(async () => {
        for (const shape of NAMES) {
          if (!current) return;
          const found = await ask({ kind: "shape_memory", config: JSON.stringify(SHAPES[shape].config), recipe: own, tokens });
          if (current) plans.value = { ...plans.peek(), [shape]: found };
        }
        fault.value = null;
      }).catch((error: unknown) => (fault.value = error instanceof Error ? error.message : String(error)));
    }, 200);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [key, device.value]);
  const plan = planned.of(task);
  const peak = measured.ended.value?.peak_bytes ?? null;
  const largest = plans.value.smollm2;
  return (
    <LessonFrame
      prediction={{
        question: `SmolLM2-135M is trained with ${method === "full" ? "all its parameters" : "LoRA of rank 8"}, ${count(batch)} examples of ${count(tokens)} tokens a step. What takes most of the memory?`,
        options: PARTS.slice(0, 4).map(([part, name]) => [part, name] as const),
        came: largest ? (PARTS.slice(0, 4).toSorted(([a], [b]) => largest.memory[b] - largest.memory[a])[0]?.[0] ?? null) : null,
      }}
      doing={
        <Scene>
          <p>
            The trainer plans a run before it allocates anything, for any shape of model: these are its plans, no rules of thumb. Change one thing at a
            time and see which part moves.
          </p>
          <div class="settings">
            <SelectField name="Method" help="What is trained." value={method} options={[["full", "All parameters"], ["lora", "LoRA, rank 8"]] as const} onChange={(value) => change({ method: value === "full" ? null : value })} />
            {method === "lora" && <SelectField name="Base" help="How the weights that do not learn are kept." value={bits} options={[["16", "16 bits"], ["8", "8 bits"], ["4", "4 bits (NF4)"]] as const} onChange={(value) => change({ bits: value === "16" ? null : value })} />}
            <NumberField name="Examples a step" help="The batch." value={batch} least={1} most={256} whole onChange={(value) => change({ batch: value === null || value === BATCH ? null : String(value) })} />
            <NumberField name="Tokens an example" help="Its length; the village’s have about 25." value={tokens} least={8} most={8192} whole onChange={(value) => change({ tokens: value === null || value === TOKENS ? null : String(value) })} />
            <SelectField name="Optimiser" help="AdamW keeps two moments for each trained number; in 8 bits they take a quarter; SGD keeps none." value={optim} options={[["adamw_torch", "AdamW"], ["adamw_8bit", "AdamW, 8 bits"], ["sgd", "SGD"]] as const} onChange={(value) => change({ optim: value === "adamw_torch" ? null : value })} />
            <SwitchField name="Gradient checkpointing" help="Forgets activations and computes them again when they are needed: less memory, about a third more time." value={checkpointing} onChange={(value) => change({ checkpointing: value ? "1" : null })} />
          </div>
          {fault.value !== null && <Notice kind="error">{fault.value}</Notice>}
          <Bars plans={plans.value} />
        </Scene>
      }
      seeing={
        <Scene>
          <h3>Planned, then measured</h3>
          <p>The village model is here, so its plan can be held against a run: two steps with these settings, on the village’s questions.</p>
          <div class="row">
            <Button kind="first" disabled={!device.value || measured.busy || measured.phase.value === "done"} onPress={async () => {
              fault.value = null;
              try {
                await inTurn(async () => {
                  await open(task.base);
                  await ask({ kind: "prepare", data: task.data, evaluation: null, recipe: task.recipe, first: 0, count: 0 });
                  planned.set(task, (await ask({ kind: "estimate", recipe: task.recipe, samples: null })).memory);
                });
                await measured.train(task);
                goTo("explain");
              } catch (error) {
                fault.value = error instanceof Error ? error.message : String(error);
              }
            }}>
              Measure it
            </Button>
          </div>
          <Watch name="Two steps" run={measured} steps={2} />
          {plan && peak !== null && (
            <dl class="figures">
              <div>
                <dt>Planned at most</dt>
                <dd>{bytes(plan.peak)}</dd>
              </div>
              <div>
                <dt>Measured at most</dt>
                <dd>{bytes(peak)}</dd>
              </div>
              <div>
                <dt>Measured / planned</dt>
                <dd>{percent(peak / plan.peak)}</dd>
              </div>
            </dl>
          )}
        </Scene>
      }
      explaining={
        <Scene>
          <p>
            Weights are there once. Whatever is trained has a gradient of its size and, with AdamW, two moments: full fine-tuning in 32 bits takes 16 bytes a
            parameter before the first example is read. LoRA trains so little that these almost vanish, and keeps the frozen weights in 16 bits.
          </p>
          <p>
            Activations are what the forward pass has to remember for the backward pass; they grow with examples and tokens and do not care how much is
            trained. That is why LoRA alone does not help with long texts, and checkpointing, a smaller batch with accumulation, or a shorter cut does. A base in
            8 or 4 bits (QLoRA) makes the weights smaller still, and a little wrong.
          </p>
        </Scene>
      }
    />
  );
}

function Bars({ plans }: { plans: Partial<Record<Shape, ShapeMemory>> }) {
  const all = NAMES.flatMap((shape) => (plans[shape] ? [{ shape, ...plans[shape] }] : []));
  if (all.length === 0) return null;
  return (
    <div class="stack">
      {all.map(({ shape, memory }) => (
        <div key={shape} class="stack tight">
          <span>
            {SHAPES[shape].name}: <strong class="number">{bytes(memory.peak)}</strong>
          </span>
          <div class="bar" aria-hidden="true">
            {PARTS.map(([part]) => (
              <span key={part} data-part={part} style={{ inlineSize: `${(100 * memory[part]) / memory.peak}%` }} />
            ))}
          </div>
        </div>
      ))}
      <div class="scroll" tabIndex={0} role="region" aria-label="Memory by part">
        <table class="answers-table">
          <caption>GPU memory as planned</caption>
          <thead>
            <tr>
              <th scope="col">Model</th>
              <th scope="col" class="number">Parameters</th>
              <th scope="col" class="number">Trained</th>
              {PARTS.map(([part, name]) => (
                <th key={part} scope="col" class="number">
                  <span class="swatch" data-part={part} />
                  {name}
                </th>
              ))}
              <th scope="col" class="number">Together</th>
            </tr>
          </thead>
          <tbody>
            {all.map(({ shape, parameters, trainable, memory }) => (
              <tr key={shape}>
                <th scope="row">{SHAPES[shape].name}</th>
                <td class="number">{short(parameters)}</td>
                <td class="number">{short(trainable)}</td>
                {PARTS.map(([part]) => (
                  <td key={part} class="number">{bytes(memory[part])}</td>
                ))}
                <td class="number">{bytes(memory.peak)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}
