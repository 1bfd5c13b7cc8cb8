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
import { FaultNotice } from "../../parts/FaultNotice.js";
import { device } from "../../state/device.js";
import { saidOf, type Said } from "../../state/faults.js";
import { lessonText } from "../../text/lessons.js";
import { change, numberAt, oneAt } from "../address.js";
import { DATA, heldOut, source, STORY, type Asked, type Data } from "../data.js";
import { goTo, LessonFrame, Scene, Why } from "../frame.js";
import { Result } from "../kept.js";
import { Changed, type Change } from "../parts/Changed.js";
import { Figures, type Figure } from "../parts/Figures.js";
import { Plot } from "../parts/Plot.js";
import { Watch } from "../parts/Watch.js";
import { answer, ask, bare, EMBEDDED, exchange, inTurn, look, meanLoss, open } from "../room.js";
import { recipeOf, training, trainTogether, type Task, type Training } from "../training.js";

const STEPS = 60;
const BATCH = 16;
const RANK = 8;
/** Held-out questions that each model is asked. */
const ASKED = 6;
/** How often both are asked while they train, beside the time before the first step. */
const ROUNDS = 3;
/** The village's answers are short sentences. */
const LONGEST = 24;

const METHODS = ["full", "lora"] as const;
type Method = (typeof METHODS)[number];
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
  const fault = useSignal<Said | null>(null);
  for (const method of METHODS) runs[method].follow(tasks[method]);
  const results = {
    base: judged.base.of({ data, asked }),
    full: judged.full.of({ asked, task: tasks.full }),
    lora: judged.lora.of({ asked, task: tasks.lora }),
  };
  const points = useMemo(() => computed(() => overlay(METHODS.map((method) => curveOf(runs[method])))), []);
  const words = lessonText.method;
  const busy = METHODS.some((method) => runs[method].busy) || asking.value !== null;

  const judgeAll = async () => {
    if (asking.peek() !== null) return;
    fault.value = null;
    try {
      if (!judged.base.of({ data, asked })) {
        asking.value = words.askingBase;
        await inTurn(async () => {
          await bare(EMBEDDED);
          judged.base.set({ data, asked }, await judge("adapted", data, asked, tasks.full.recipe));
        });
      }
      for (const method of METHODS) {
        const task = tasks[method];
        if (runs[method].phase.peek() !== "done" || judged[method].of({ asked, task })) continue;
        asking.value = words.asking(words.names[method]);
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
      fault.value = saidOf(error);
    } finally {
      asking.value = null;
    }
  };
  const questions = useSignal<readonly Asked[]>([]);
  useEffect(() => {
    heldOut(data, asked).then(
      (found) => (questions.value = found),
      (error: unknown) => (fault.value = saidOf(error)),
    );
  }, [data, asked]);
  const train = async () => {
    const prompts = (await heldOut(data, asked)).map(({ question }) => question);
    await trainTogether(
      METHODS.map((method) => [runs[method], tasks[method]] as const),
      { every: Math.ceil(steps / ROUNDS), prompts, max_new_tokens: LONGEST },
    );
    if (METHODS.every((method) => runs[method].phase.peek() === "done")) await judgeAll();
  };
  // Runs that a reload has kept, and whose models were not asked yet.
  const done = METHODS.every((method) => runs[method].phase.value === "done");
  useEffect(() => {
    if (done && asking.peek() === null && !(results.full && results.lora && results.base)) void judgeAll();
  }, [done, data, asked]);

  return (
    <LessonFrame
      prediction={{
        question: words.predict(count(steps), rank),
        options: [
          ["full", words.options.full],
          ["lora", words.options.lora],
          ["same", words.options.same],
        ],
        came: results.full && results.lora ? more(right(results.full), right(results.lora)) : null,
      }}
      doing={
        <Scene>
          <p>{words.both(count(asked), String(tasks.full.recipe["learning_rate"]), String(tasks.lora.recipe["learning_rate"]))}</p>
          <div class="settings">
            <SelectField name={words.data} help={words.dataHelp} value={data} options={DATA.map((name) => [name, dataWords(name)] as const)} onChange={(value) => change({ data: value === "village" ? null : value })} />
            <NumberField name={lessonText.parts.steps} help={words.stepsHelp} value={steps} least={1} most={400} whole onChange={(value) => change({ steps: value === null || value === STEPS ? null : String(value) })} />
            <NumberField name={words.rank} help={words.rankHelp} value={rank} least={1} most={64} whole onChange={(value) => change({ rank: value === null || value === RANK ? null : String(value) })} />
          </div>
          <div class="row">
            <Button kind="first" disabled={!device.value || busy || done} onPress={train}>
              {METHODS.some((method) => runs[method].phase.value === "interrupted") ? lessonText.parts.goOn : words.trainBoth}
            </Button>
            {!busy && METHODS.some((method) => runs[method].phase.value !== "none") && (
              <Button
                kind="quiet"
                onPress={async () => {
                  for (const method of METHODS) await runs[method].forget();
                }}
              >
                {lessonText.parts.beginAgain}
              </Button>
            )}
          </div>
          <div class="two">
            {METHODS.map((method) => (
              <Watch key={method} name={words.names[method]} run={runs[method]} steps={steps} stops={false} />
            ))}
          </div>
          {METHODS.some((method) => runs[method].phase.value === "running") && (
            <div class="row">
              <Button onPress={() => runs.full.stop()}>{words.stopBoth}</Button>
            </div>
          )}
          <Live questions={questions.value} trainable={{ full: results.full?.trainable, lora: results.lora?.trainable }} />
          {asking.value !== null && <p class="soft">{lessonText.parts.doing(asking.value)}</p>}
          {fault.value !== null && <FaultNotice of={fault.value} />}
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
              <p>{words.changed}</p>
              <div class="stack">
                {METHODS.map((method) => (
                  <Changed key={method} name={words.names[method]} changes={(results[method] as Tuned).changes} most={Math.max(...METHODS.flatMap((one) => (results[one] as Tuned).changes.map(({ share }) => share)))} />
                ))}
              </div>
            </Scene>
          </>
        ) : null
      }
      explaining={
        <Scene>
          <Why paragraphs={words.why} />
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

/** Right answers of the last round, of as many. */
function rightNow(run: Training, questions: readonly Asked[]): string {
  const round = run.answers.value.at(-1)?.step;
  if (round === undefined) return "–";
  const said = run.answers.value.filter(({ step }) => step === round);
  const good = said.filter(({ prompt, text }) => questions.some(({ question, answer }) => question === prompt && text.trim() === answer)).length;
  return lessonText.method.live.rightAfter(good, said.length, round);
}

/** Both runs as they train. */
function Live({ questions, trainable }: { questions: readonly Asked[]; trainable: Record<Method, number | undefined> }) {
  if (METHODS.every((method) => runs[method].lines.value.length === 0 && runs[method].answers.value.length === 0)) return null;
  const words = lessonText.method.live;
  const last = (method: Method) => runs[method].lines.value.at(-1);
  const rows: Figure[] = [
    [words.step, each((method) => known(last(method)?.current_steps ?? 0, count))],
    [words.loss, each((method) => known(last(method)?.loss, (loss) => loss.toFixed(3)))],
    [words.right, each((method) => rightNow(runs[method], questions))],
    [words.parameters, each((method) => known(trainable[method] ?? runs[method].trainable.value, count))],
    [words.memory, each((method) => known(runs[method].ended.value?.peak_bytes ?? last(method)?.memory_bytes, bytes))],
    [words.file, each((method) => (runs[method].ended.value?.finished ? known(runs[method].ended.value?.run.result_bytes, bytes) : words.atTheEnd))],
  ];
  return <Figures label={words.caption} caption={words.caption} heads={METHODS.map((method) => lessonText.method.names[method])} rows={rows} />;
}

/** A chart is drawn anew for other lines, so these stay while the language does. */
const lines = computed<readonly Line[]>(() => {
  const { full, lora } = lessonText.method.plot.lines;
  return [
    { name: full, token: "leaf" },
    { name: lora, token: "bark" },
  ];
});

function Loss({ points, steps }: { points: Parameters<typeof Plot>[0]["points"]; steps: number }) {
  const words = lessonText.method.plot;
  return (
    <Plot
      title={words.title}
      about={words.about}
      lines={lines.value}
      points={points}
      x={words.x}
      most={steps}
      explain={(step, [full, lora]) => {
        const say = (name: string, value: number | null | undefined) => (value === null || value === undefined ? words.none(name) : words.value(name, value.toFixed(3), percent(Math.exp(-value))));
        return words.point(step, say(words.of.full, full), say(words.of.lora, lora));
      }}
    />
  );
}

function Table({ base, tuned, asked }: { base: Judged; tuned: Record<Method, Tuned>; asked: number }) {
  const { names, table: words } = lessonText.method;
  const rows: Figure[] = [
    [words.right, [words.of(right(base), asked), ...each((method) => words.of(right(tuned[method]), asked))]],
    [words.heldOut, [base.heldOut.toFixed(3), ...each((method) => tuned[method].heldOut.toFixed(3))]],
    [words.parameters, ["–", ...each((method) => count(tuned[method].trainable))]],
    [words.memory, ["–", ...each((method) => known(runs[method].ended.value?.peak_bytes, bytes))]],
    [words.file, ["–", ...each((method) => known(runs[method].ended.value?.run.result_bytes, bytes))]],
    [words.time, ["–", ...each((method) => known(runs[method].ended.value?.seconds, duration))]],
    [words.story, [base.story.toFixed(3), ...each((method) => tuned[method].story.toFixed(3))]],
  ];
  return <Figures label={words.label} caption={words.caption} heads={(["base", ...METHODS] as const).map((name) => names[name])} rows={rows} />;
}

const each = (of: (method: Method) => string): string[] => METHODS.map(of);
const known = (value: number | null | undefined, format: (value: number) => string) => (value === null || value === undefined ? "–" : format(value));

function Said({ results }: { results: Record<Method | "base", Judged> }) {
  const { names, said: words } = lessonText.method;
  const all = ["base", ...METHODS] as const;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={words.label}>
      <table class="answers-table">
        <caption>{words.caption}</caption>
        <thead>
          <tr>
            <th scope="col">{words.question}</th>
            <th scope="col">{words.right}</th>
            {all.map((name) => (
              <th key={name} scope="col">
                {names[name]}
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
