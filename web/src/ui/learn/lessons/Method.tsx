// Lesson: the same data learned by all parameters and by LoRA, beside each other.
import { useEffect, useMemo } from "preact/hooks";
import { computed, useSignal } from "@preact/signals";
import type { Settings } from "rootstock";
import type { Line } from "../../charts/Chart.js";
import { overlay, type Curve } from "../../charts/overlay.js";
import { dataWords } from "../../names.js";
import { bytes, count, duration, percent } from "../../numbers.js";
import { Button } from "../../parts/Button.js";
import { NumberField, SelectField } from "../../parts/Field.js";
import { Notice } from "../../parts/Notice.js";
import { device } from "../../state/device.js";
import { change, numberAt, oneAt } from "../address.js";
import { DATA, heldOut, source, STORY, type Data } from "../data.js";
import { goTo, LessonFrame, Scene } from "../frame.js";
import { Result } from "../kept.js";
import { Changed, type Change } from "../parts/Changed.js";
import { Plot } from "../parts/Plot.js";
import { Watch } from "../parts/Watch.js";
import { answer, ask, bare, EMBEDDED, exchange, inTurn, look, meanLoss, open } from "../room.js";
import { recipeOf, training, type Task, type Training } from "../training.js";

const STEPS = 60;
const BATCH = 16;
const RANK = 8;
/** Held-out questions that each model is asked. */
const ASKED = 6;
/** The village's answers are short sentences. */
const LONGEST = 24;

const LINES: readonly Line[] = [
  { name: "all parameters", token: "leaf" },
  { name: "LoRA", token: "bark" },
];

const METHODS = ["full", "lora"] as const;
type Method = (typeof METHODS)[number];
const NAMES: Record<Method | "base", string> = { base: "The base", full: "All parameters", lora: "LoRA" };
const runs: Record<Method, Training> = { full: training("method.full"), lora: training("method.lora") };

/** What a model can do. */
interface Judged {
  /** Mean loss a token of the held-out answers. */
  heldOut: number;
  said: { question: string; answer: string; said: string }[];
  /** Mean loss a token of a text of the kind that the base has read. */
  story: number;
}

interface Tuned extends Judged {
  trainable: number;
  changes: Change[];
}

const judged = { base: new Result<Judged>("method.base"), full: new Result<Tuned>("method.full"), lora: new Result<Tuned>("method.lora") };

const right = ({ said }: Judged) => said.filter(({ answer, said }) => said.trim() === answer).length;

function settings() {
  const steps = numberAt("steps", STEPS, 1, 400);
  const rank = numberAt("rank", RANK, 1, 64);
  const data = oneAt("data", DATA, "village");
  const asked = numberAt("asked", ASKED, 1, 24);
  const recipe = recipeOf({ max_steps: steps, per_device_train_batch_size: numberAt("batch", BATCH, 1, 64) });
  const task = (name: string, more: Settings): Task => ({ name, base: EMBEDDED, data: source(data), recipe: { ...recipe, ...more } });
  const tasks: Record<Method, Task> = {
    full: task("Lesson: all parameters", { finetuning_type: "full", learning_rate: numberAt("rate", 1e-3, 0, 10) }),
    lora: task("Lesson: LoRA", { finetuning_type: "lora", lora_rank: rank, learning_rate: numberAt("lora_rate", 5e-3, 0, 10) }),
  };
  return { steps, rank, data, asked, tasks };
}

/** Asks a model everything; within a turn. */
async function judge(which: "adapted" | "tuned", data: Data, asked: number, recipe: Settings): Promise<Judged> {
  const questions = await heldOut(data, asked);
  const said: Judged["said"] = [];
  const losses: number[] = [];
  for (const { question, answer: expected } of questions) {
    const tokens = await look(which, exchange(question, expected), recipe, 0);
    losses.push(meanLoss(tokens, ({ trained }) => trained));
    said.push({ question, answer: expected, said: await answer(which, question, LONGEST) });
  }
  const story = (await ask({ kind: "losses", which, text: STORY })).flatMap(({ loss }) => (loss === null ? [] : [loss]));
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  return { heldOut: mean(losses), said, story: mean(story) };
}

export function Method() {
  const { steps, rank, data, asked, tasks } = settings();
  const asking = useSignal<string | null>(null);
  const fault = useSignal<string | null>(null);
  for (const method of METHODS) runs[method].follow(tasks[method]);
  const results = {
    base: judged.base.of({ data, asked }),
    full: judged.full.of({ asked, task: tasks.full }),
    lora: judged.lora.of({ asked, task: tasks.lora }),
  };
  const points = useMemo(() => computed(() => overlay(METHODS.map((method) => curveOf(runs[method])))), []);
  const busy = METHODS.some((method) => runs[method].busy) || asking.value !== null;

  const judgeAll = async () => {
    if (asking.peek() !== null) return;
    fault.value = null;
    try {
      if (!judged.base.of({ data, asked })) {
        asking.value = "Asking the base";
        await inTurn(async () => {
          await bare(EMBEDDED);
          judged.base.set({ data, asked }, await judge("adapted", data, asked, tasks.full.recipe));
        });
      }
      for (const method of METHODS) {
        const task = tasks[method];
        if (runs[method].phase.peek() !== "done" || judged[method].of({ asked, task })) continue;
        asking.value = `Asking: ${NAMES[method]}`;
        await inTurn(async () => {
          await open(EMBEDDED);
          await runs[method].use();
          const known = await judge("tuned", data, asked, task.recipe);
          const deltas = await ask({ kind: "deltas" });
          await ask({ kind: "prepare", data: task.data, evaluation: null, recipe: task.recipe, first: 0, count: 0 });
          const { trainable } = await ask({ kind: "estimate", recipe: task.recipe, samples: null });
          const changes = deltas.map(({ layer, module, delta_norm, weight_norm }) => ({ layer, module, share: weight_norm > 0 ? delta_norm / weight_norm : 0 }));
          judged[method].set({ asked, task }, { ...known, trainable, changes });
        });
      }
      goTo("see");
    } catch (error) {
      fault.value = error instanceof Error ? error.message : String(error);
    } finally {
      asking.value = null;
    }
  };
  const train = async () => {
    for (const method of METHODS) {
      await runs[method].train(tasks[method]);
      if (runs[method].phase.peek() !== "done") return;
    }
    await judgeAll();
  };
  // Runs that a reload has kept, and whose models were not asked yet.
  const done = METHODS.every((method) => runs[method].phase.value === "done");
  useEffect(() => {
    if (done && asking.peek() === null && !(results.full && results.lora && results.base)) void judgeAll();
  }, [done, data, asked]);

  return (
    <LessonFrame
      prediction={{
        question: `Two models begin as the same base and see the same examples in the same order, ${count(steps)} steps long. One trains all its parameters; the other a LoRA adapter of rank ${rank}, a few in a hundred as many. Which answers more questions that neither has seen?`,
        options: [
          ["full", "The one that trains everything"],
          ["lora", "The one with LoRA"],
          ["same", "About the same: at most one answer apart"],
        ],
        came: results.full && results.lora ? more(right(results.full), right(results.lora)) : null,
      }}
      doing={
        <Scene>
          <p>
            Both are trained here, one after the other, and asked {count(asked)} held-out questions. The learning rates are those that suit each method: {tasks.full.recipe["learning_rate"]} for all
            parameters, {tasks.lora.recipe["learning_rate"]} for LoRA.
          </p>
          <div class="settings">
            <SelectField name="Data" help="What both learn." value={data} options={DATA.map((name) => [name, dataWords(name)] as const)} onChange={(value) => change({ data: value === "village" ? null : value })} />
            <NumberField name="Steps" help="For each of the two." value={steps} least={1} most={400} whole onChange={(value) => change({ steps: value === null || value === STEPS ? null : String(value) })} />
            <NumberField name="Rank" help="Of LoRA: how many directions it has in each weight matrix." value={rank} least={1} most={64} whole onChange={(value) => change({ rank: value === null || value === RANK ? null : String(value) })} />
          </div>
          <div class="row">
            <Button kind="first" disabled={!device.value || busy || done} onPress={train}>
              {METHODS.some((method) => runs[method].phase.value === "interrupted") ? "Go on" : "Train both"}
            </Button>
            {!busy && METHODS.some((method) => runs[method].phase.value !== "none") && (
              <Button
                kind="quiet"
                onPress={async () => {
                  for (const method of METHODS) await runs[method].forget();
                }}
              >
                Begin again
              </Button>
            )}
          </div>
          <div class="two">
            {METHODS.map((method) => (
              <Watch key={method} name={NAMES[method]} run={runs[method]} steps={steps} />
            ))}
          </div>
          {asking.value !== null && <p class="soft">{asking.value} …</p>}
          {fault.value !== null && <Notice kind="error">{fault.value}</Notice>}
          <Loss points={points} steps={steps} />
        </Scene>
      }
      seeing={
        results.base && results.full && results.lora ? (
          <>
            <Scene>
              <Table base={results.base} tuned={{ full: results.full, lora: results.lora }} asked={asked} />
            </Scene>
            <Scene>
              <Said results={{ base: results.base, full: results.full, lora: results.lora }} />
            </Scene>
            <Scene>
              <p>Where the weights changed. LoRA changes the matrices that it has an adapter for, and leaves norms and embedding as they were.</p>
              <div class="stack">
                {METHODS.map((method) => (
                  <Changed key={method} name={NAMES[method]} changes={(results[method] as Tuned).changes} most={Math.max(...METHODS.flatMap((one) => (results[one] as Tuned).changes.map(({ share }) => share)))} />
                ))}
              </div>
            </Scene>
          </>
        ) : null
      }
      explaining={
        <Scene>
          <p>
            Full fine-tuning moves every number of the model, and needs a gradient and two moments for each: four times the weights in memory before
            the first activation. LoRA leaves the weights alone and adds to each matrix the product of two thin ones, B·A. Only those have
            gradients and moments, and only those are in the file that you take home; it works on this base and no other.
          </p>
          <p>
            A thin update is often enough because what a task asks for moves the weights in few directions; how few is the lesson on rank. What is
            forgotten shows in the last line of the table: the loss on a text of the kind that the base had read. A model that learns one thing long
            enough loses others, with either method.
          </p>
        </Scene>
      }
    />
  );
}

function curveOf(run: Training): Curve {
  return run.lines.value.map(({ current_steps, loss }) => [current_steps, loss] as const);
}

function more(full: number, lora: number): string {
  return Math.abs(full - lora) <= 1 ? "same" : full > lora ? "full" : "lora";
}

function Loss({ points, steps }: { points: Parameters<typeof Plot>[0]["points"]; steps: number }) {
  return (
    <Plot
      title="Training loss"
      about="How much the right answers surprise each model while it learns; lower is better."
      lines={LINES}
      points={points}
      x="step"
      most={steps}
      explain={(step, [full, lora]) => {
        const say = (name: string, value: number | null | undefined) => (value === null || value === undefined ? `${name} has no value` : `${name} has ${value.toFixed(3)} nats a token, a probability of ${percent(Math.exp(-value))} for the right one`);
        return `Step ${step}: ${say("the model that trains everything", full)}; ${say("LoRA", lora)}.`;
      }}
    />
  );
}

function Table({ base, tuned, asked }: { base: Judged; tuned: Record<Method, Tuned>; asked: number }) {
  const rows: [string, string, Record<Method, string>][] = [
    ["Right answers, word for word", `${right(base)} of ${asked}`, each((method) => `${right(tuned[method])} of ${asked}`)],
    ["Held-out loss", base.heldOut.toFixed(3), each((method) => tuned[method].heldOut.toFixed(3))],
    ["Parameters that learn", "–", each((method) => count(tuned[method].trainable))],
    ["GPU memory at most", "–", each((method) => known(runs[method].ended.value?.peak_bytes, bytes))],
    ["What you take home", "–", each((method) => known(runs[method].ended.value?.run.result_bytes, bytes))],
    ["Time", "–", each((method) => known(runs[method].ended.value?.seconds, duration))],
    ["Loss on a village text, which neither trained on", base.story.toFixed(3), each((method) => tuned[method].story.toFixed(3))],
  ];
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="The two models compared">
      <table class="means">
        <caption>The same data, both ways</caption>
        <thead>
          <tr>
            <td />
            {(["base", ...METHODS] as const).map((name) => (
              <th key={name} scope="col" class="number">
                {NAMES[name]}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, of, values]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="number">{of}</td>
              {METHODS.map((method) => (
                <td key={method} class="number">
                  {values[method]}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const each = (of: (method: Method) => string): Record<Method, string> => ({ full: of("full"), lora: of("lora") });
const known = (value: number | null | undefined, format: (value: number) => string) => (value === null || value === undefined ? "–" : format(value));

function Said({ results }: { results: Record<Method | "base", Judged> }) {
  const all = ["base", ...METHODS] as const;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="What each model answers">
      <table class="answers-table">
        <caption>Questions that none of them has seen</caption>
        <thead>
          <tr>
            <th scope="col">Question</th>
            <th scope="col">Right</th>
            {all.map((name) => (
              <th key={name} scope="col">
                {NAMES[name]}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {results.base.said.map(({ question, answer }, index) => (
            <tr key={question}>
              <th scope="row">{question}</th>
              <td>{answer}</td>
              {all.map((name) => {
                const said = results[name].said[index]?.said.trim() ?? "";
                return (
                  <td key={name} data-right={said === answer || undefined}>
                    {said === answer && <span aria-label="right">✓ </span>}
                    {said || "(nothing)"}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
