// Lesson: where the memory of a training run goes; planned for models of several shapes, and measured on the one that is here.
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import type { EstimateMemory, Settings, ShapeMemory } from "rootstock";
import { bytes, count, percent, short } from "../../numbers.js";
import { Button } from "../../parts/Button.js";
import { NumberField, SelectField, SwitchField } from "../../parts/Field.js";
import { FaultNotice } from "../../parts/FaultNotice.js";
import { device } from "../../state/device.js";
import { saidOf, type Said } from "../../state/faults.js";
import { lessonText } from "../../text/lessons.js";
import { change, numberAt, oneAt, textAt } from "../address.js";
import { goTo, LessonFrame, Scene, Why } from "../frame.js";
import { Result } from "../kept.js";
import { Watch } from "../parts/Watch.js";
import { ask, EMBEDDED, inTurn, open } from "../room.js";
import { recipeOf, training, VILLAGE, type Task } from "../training.js";

/** The shapes of models by their config.json; no weights are needed to plan a run. */
const SHAPES = {
  village: {
    name: null, // a text of the catalogue
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

const nameOf = (shape: Shape): string => SHAPES[shape].name ?? lessonText.memory.village;

const PARTS = ["weights", "gradients", "optimizer", "activations", "other"] as const satisfies readonly (keyof EstimateMemory)[];

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
  const half = textAt("half", "") === "1";
  const own: Settings = { finetuning_type: method, per_device_train_batch_size: batch, optim, gradient_checkpointing: checkpointing, bf16: half, ...(method === "lora" ? { lora_rank: 8 } : {}), ...(bits === "16" ? {} : { quantization_bit: Number(bits) }) };
  // As long as the device has to work for a step of it; only the memory is looked at.
  const task: Task = { name: "Lesson: memory", base: EMBEDDED, data: VILLAGE, recipe: recipeOf({ ...own, max_steps: 2, learning_rate: 1e-4 }) };
  return { method, batch, tokens, optim, bits, checkpointing, half, own, task };
}

export function Memory() {
  const { method, batch, tokens, optim, bits, checkpointing, half, own, task } = settings();
  const plans = useSignal<Partial<Record<Shape, ShapeMemory>>>({});
  const fault = useSignal<Said | null>(null);
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
      }).catch((error: unknown) => (fault.value = saidOf(error)));
    }, 200);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [key, device.value]);
  const plan = planned.of(task);
  const peak = measured.ended.value?.peak_bytes ?? null;
  const largest = plans.value.smollm2;
  const words = lessonText.memory;
  return (
    <LessonFrame
      prediction={{
        question: words.predict(method === "full", count(batch), count(tokens)),
        options: PARTS.slice(0, 4).map((part) => [part, words.parts[part]] as const),
        came: largest ? (PARTS.slice(0, 4).toSorted((a, b) => largest.memory[b] - largest.memory[a])[0] ?? null) : null,
      }}
      doing={
        <Scene>
          <p>{words.plans}</p>
          <div class="settings">
            <SelectField name={words.method} help={words.methodHelp} value={method} options={[["full", words.methods.full], ["lora", words.methods.lora]] as const} onChange={(value) => change({ method: value === "full" ? null : value })} />
            {method === "lora" && <SelectField name={words.base} help={words.baseHelp} value={bits} options={(["16", "8", "4"] as const).map((one) => [one, words.bits[one]] as const)} onChange={(value) => change({ bits: value === "16" ? null : value })} />}
            <NumberField name={words.batch} help={words.batchHelp} value={batch} least={1} most={256} whole onChange={(value) => change({ batch: value === null || value === BATCH ? null : String(value) })} />
            <NumberField name={words.tokens} help={words.tokensHelp} value={tokens} least={8} most={8192} whole onChange={(value) => change({ tokens: value === null || value === TOKENS ? null : String(value) })} />
            <SelectField name={words.optimiser} help={words.optimiserHelp} value={optim} options={OPTIMIZERS.map((one) => [one, words.optimisers[one]] as const)} onChange={(value) => change({ optim: value === "adamw_torch" ? null : value })} />
            <SwitchField name={words.checkpointing} help={words.checkpointingHelp} value={checkpointing} onChange={(value) => change({ checkpointing: value ? "1" : null })} />
            <SwitchField name={words.half} help={words.halfHelp} value={half} onChange={(value) => change({ half: value ? "1" : null })} />
          </div>
          {fault.value !== null && <FaultNotice of={fault.value} />}
          <Bars plans={plans.value} />
        </Scene>
      }
      seeing={
        <Scene>
          <h3>{words.planned}</h3>
          <p>{words.plannedText}</p>
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
                fault.value = saidOf(error);
              }
            }}>
              {words.measure}
            </Button>
          </div>
          <Watch name={words.twoSteps} run={measured} steps={2} />
          {plan && peak !== null && (
            <dl class="figures">
              <div>
                <dt>{words.plannedAtMost}</dt>
                <dd>{bytes(plan.peak)}</dd>
              </div>
              <div>
                <dt>{words.measuredAtMost}</dt>
                <dd>{bytes(peak)}</dd>
              </div>
              <div>
                <dt>{words.ratio}</dt>
                <dd>{percent(peak / plan.peak)}</dd>
              </div>
            </dl>
          )}
        </Scene>
      }
      explaining={
        <Scene>
          <Why paragraphs={words.why} />
        </Scene>
      }
    />
  );
}

function Bars({ plans }: { plans: Partial<Record<Shape, ShapeMemory>> }) {
  const all = NAMES.flatMap((shape) => (plans[shape] ? [{ shape, ...plans[shape] }] : []));
  if (all.length === 0) return null;
  const words = lessonText.memory;
  return (
    <div class="stack">
      {all.map(({ shape, memory }) => (
        <div key={shape} class="stack tight">
          <span>
            {words.sum(nameOf(shape))}
            <strong class="number">{bytes(memory.peak)}</strong>
          </span>
          <div class="bar" aria-hidden="true">
            {PARTS.map((part) => (
              <span key={part} data-part={part} style={{ inlineSize: `${(100 * memory[part]) / memory.peak}%` }} />
            ))}
          </div>
        </div>
      ))}
      <div class="scroll" tabIndex={0} role="region" aria-label={words.table.label}>
        <table class="answers-table">
          <caption>{words.table.caption}</caption>
          <thead>
            <tr>
              <th scope="col">{words.table.model}</th>
              <th scope="col" class="number">{words.table.parameters}</th>
              <th scope="col" class="number">{words.table.trained}</th>
              {PARTS.map((part) => (
                <th key={part} scope="col" class="number">
                  <span class="swatch" data-part={part} />
                  {words.parts[part]}
                </th>
              ))}
              <th scope="col" class="number">{words.table.together}</th>
            </tr>
          </thead>
          <tbody>
            {all.map(({ shape, parameters, trainable, memory }) => (
              <tr key={shape}>
                <th scope="row">{nameOf(shape)}</th>
                <td class="number">{short(parameters)}</td>
                <td class="number">{short(trainable)}</td>
                {PARTS.map((part) => (
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
