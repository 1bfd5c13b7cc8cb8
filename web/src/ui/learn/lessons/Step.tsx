// Lesson: one step of training taken apart, then a loop of them with learning rates from nothing to divergence; batch and accumulation.
import { useMemo } from "preact/hooks";
import { computed, useSignal } from "@preact/signals";
import type { SeenToken, Settings } from "rootstock";
import type { Line } from "../../charts/Chart.js";
import { overlay } from "../../charts/overlay.js";
import { bytes, count, figures, percent } from "../../numbers.js";
import { Button } from "../../parts/Button.js";
import { Choice } from "../../parts/Choice.js";
import { NumberField } from "../../parts/Field.js";
import { FaultNotice } from "../../parts/FaultNotice.js";
import { Scale } from "../../parts/Scale.js";
import { device } from "../../state/device.js";
import { saidOf, type Said } from "../../state/faults.js";
import { lessonText } from "../../text/lessons.js";
import { change, numberAt, oneAt } from "../address.js";
import { goTo, LessonFrame, Scene, Why } from "../frame.js";
import { Result } from "../kept.js";
import { Plot } from "../parts/Plot.js";
import { Strip } from "../parts/Strip.js";
import { Watch } from "../parts/Watch.js";
import { ask, bare, EMBEDDED, exchange, inTurn, look, meanLoss, open } from "../room.js";
import { recipeOf, training, VILLAGE, type Task } from "../training.js";

const STEPS = 12;
const BATCH = 8;
const CLIP = 1;

/** From "nothing happens" to numbers that no float can hold. */
const RATES = ["1e-6", "1e-4", "1e-3", "1e-2", "1e-1", "1", "1e25"] as const;
type Rate = (typeof RATES)[number];
const TOKENS: Record<Rate, string> = { "1e-6": "slate", "1e-4": "edge", "1e-3": "leaf", "1e-2": "bark", "1e-1": "rust", "1": "ink", "1e25": "heat-6" };
const LINES: readonly Line[] = RATES.map((rate) => ({ name: rate, token: TOKENS[rate] }));
const loops = Object.fromEntries(RATES.map((rate) => [rate, training(`step.loop.${rate}`)])) as Record<Rate, ReturnType<typeof training>>;

/** The same samples a step, cut in different ways. */
const CUTS = [1, 2, 4] as const;
const cuts = CUTS.map((parts) => training(`step.cut.${parts}`));

const single = training("step.one");
const PARTS = ["forward", "loss", "gradient", "update"] as const;

interface Taken {
  before: SeenToken[];
  after: SeenToken[];
  /** Frobenius norms over all matrices. */
  moved: number;
  weights: number;
}
const taken = new Result<Taken>("step.taken");
const EXAMPLE = exchange("Where is Emma at work?", "Emma works at the studio.");

function settings() {
  const steps = numberAt("steps", STEPS, 2, 200);
  const batch = numberAt("batch", BATCH, 4, 64);
  const clip = numberAt("clip", CLIP, 0, 1e9);
  const rate = oneAt("rate", RATES, "1e-3");
  const recipe = recipeOf({ per_device_train_batch_size: batch, lr_scheduler_type: "constant", warmup_ratio: 0, max_grad_norm: clip, max_steps: steps });
  const task = (name: string, more: Settings): Task => ({ name, base: EMBEDDED, data: VILLAGE, recipe: { ...recipe, ...more } });
  return {
    steps,
    batch,
    clip,
    rate,
    one: task("Lesson: one step", { learning_rate: Number(rate), max_steps: 1 }),
    loop: (rate: Rate) => task(`Lesson: rate ${rate}`, { learning_rate: Number(rate) }),
    cut: (parts: number) => task(`Lesson: ${count(batch / parts)} at once, ${count(parts)} times`, { learning_rate: 1e-3, max_steps: 3, per_device_train_batch_size: Math.max(1, Math.round(batch / parts)), gradient_accumulation_steps: parts }),
  };
}

export function Step() {
  const { steps, batch, clip, rate, one, loop, cut } = settings();
  const fault = useSignal<Said | null>(null);
  const chosen = useSignal<number | null>(null);
  single.follow(one);
  for (const rate of RATES) loops[rate].follow(loop(rate));
  CUTS.forEach((parts, index) => cuts[index]?.follow(cut(parts)));
  const result = taken.of(one);
  const line = single.lines.value[0];
  const shown = result && line ? numberAt("shown", 1, 1, PARTS.length) : 0;
  const busy = [single, ...Object.values(loops), ...cuts].some((run) => run.busy);
  const tried = RATES.filter((rate) => ["done", "failed"].includes(loops[rate].phase.value) && loops[rate].lines.value.length > 0);
  const words = lessonText.step;
  const points = useMemo(() => computed(() => overlay(RATES.map((rate) => loops[rate].lines.value.map(({ current_steps, loss }) => [current_steps, loss] as const)))), []);
  const takeOne = async () => {
    fault.value = null;
    try {
      if (!result) {
        let before: SeenToken[] = [];
        await inTurn(async () => {
          await bare(EMBEDDED);
          before = await look("adapted", EXAMPLE, one.recipe, 0);
        });
        await single.train(one);
        if (single.phase.peek() !== "done") return;
        await inTurn(async () => {
          await open(EMBEDDED);
          await single.use();
          const after = await look("tuned", EXAMPLE, one.recipe, 0);
          const deltas = await ask({ kind: "deltas" });
          const norm = (values: number[]) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
          taken.set(one, { before, after, moved: norm(deltas.map(({ delta_norm }) => delta_norm)), weights: norm(deltas.map(({ weight_norm }) => weight_norm)) });
        });
        change({ shown: null });
      } else {
        change({ shown: String(Math.min(PARTS.length, shown + 1)) });
      }
    } catch (error) {
      fault.value = saidOf(error);
    }
  };
  return (
    <LessonFrame
      prediction={{
        question: words.predict(count(steps)),
        options: [
          ["1e-6", words.options["1e-6"]],
          ["1e-4", words.options["1e-4"]],
          ["1e-3", words.options["1e-3"]],
          ["1e-2", words.options["1e-2"]],
          ["1e-1", words.options["1e-1"]],
          ["1", words.options["1"]],
        ],
        came: tried.length >= 3 ? best(tried) : null,
      }}
      doing={
        <>
          <Scene>
            <h3>{words.apart}</h3>
            <p>{words.apartText(count(batch))}</p>
            <Choice label={words.rate} value={rate} options={RATES.map((one) => [one, one] as const)} onChange={(value) => change({ rate: value === "1e-3" ? null : value, shown: null })} />
            <div class="row">
              <Button kind="first" disabled={!device.value || busy || shown === PARTS.length || single.phase.value === "failed"} onPress={takeOne}>
                {shown < PARTS.length ? words.stepParts[PARTS[shown] ?? "update"] : words.stepDone}
              </Button>
            </div>
            <Watch name={words.oneStep} run={single} steps={1} />
            {fault.value !== null && <FaultNotice of={fault.value} />}
            {result && line && (
              <ol class="step-parts">
                <li>
                  <h4>{words.stepParts.forward}</h4>
                  <p>{words.forwardText(count(batch))}</p>
                  <Strip view={{ name: words.beforeStep, tokens: result.before }} chosen={chosen} heat />
                  <Scale />
                </li>
                {shown >= 2 && (
                  <li>
                    <h4>{words.stepParts.loss}</h4>
                    <Around texts={words.lossText(count(batch), percent(Math.exp(-line.loss)))} values={[line.loss.toFixed(4)]} />
                  </li>
                )}
                {shown >= 3 && (
                  <li>
                    <h4>{words.stepParts.gradient}</h4>
                    <Around
                      texts={words.gradientText(clip > 0 && line.grad_norm > clip ? { limit: figures(clip), factor: figures(clip / line.grad_norm) } : null, figures(clip))}
                      values={[figures(line.grad_norm)]}
                    />
                  </li>
                )}
                {shown >= 4 && (
                  <li>
                    <h4>{words.stepParts.update}</h4>
                    <Around
                      texts={words.updateText(rate, percent(result.moved / result.weights), meanLoss(result.before, ({ trained }) => trained).toFixed(3))}
                      values={[figures(result.moved), meanLoss(result.after, ({ trained }) => trained).toFixed(3)]}
                    />
                    <Strip view={{ name: words.afterStep, tokens: result.after }} chosen={chosen} heat />
                  </li>
                )}
              </ol>
            )}
          </Scene>
          <Scene>
            <h3>{words.loop}</h3>
            <p>{words.loopText(count(steps))}</p>
            <div class="settings">
              <NumberField name={lessonText.parts.steps} help={lessonText.parts.stepsOfEach} value={steps} least={2} most={200} whole onChange={(value) => change({ steps: value === null || value === STEPS ? null : String(value) })} />
              <NumberField name={words.batch} help={words.batchHelp} value={batch} least={4} most={64} whole onChange={(value) => change({ batch: value === null || value === BATCH ? null : String(value) })} />
              <NumberField name={words.clip} help={words.clipHelp} value={clip} least={0} onChange={(value) => change({ clip: value === null || value === CLIP ? null : String(value) })} />
            </div>
            <div class="row">
              {RATES.map((rate) => (
                <Button key={rate} label={words.trainWith(rate)} disabled={!device.value || busy || ["done", "failed"].includes(loops[rate].phase.value)} onPress={async () => {
                  await loops[rate].train(loop(rate));
                  if (tried.length >= 2) goTo("see");
                }}>
                  {rate}
                </Button>
              ))}
              {!busy && Object.values(loops).some((run) => run.phase.value !== "none") && (
                <Button kind="quiet" onPress={async () => {
                  for (const run of Object.values(loops)) await run.forget();
                }}>
                  {lessonText.parts.beginAgain}
                </Button>
              )}
            </div>
            {RATES.filter((rate) => loops[rate].phase.value !== "none").map((rate) => (
              <Watch key={rate} name={words.ofRate(rate)} run={loops[rate]} steps={steps} />
            ))}
          </Scene>
        </>
      }
      seeing={
        tried.length > 0 ? (
          <>
            <Scene>
              <Plot
                title={words.plot.title}
                about={words.plot.about}
                lines={LINES}
                points={points}
                x={words.plot.x}
                most={steps}
                log
                explain={(step, values) => words.plot.point(step, RATES.flatMap((rate, index) => (values[index] === null || values[index] === undefined ? [] : [[rate, figures(values[index])] as const])))}
              />
            </Scene>
            <Scene>
              <h3>{words.pieces}</h3>
              <p>{words.piecesText(count(batch))}</p>
              <div class="row">
                <Button disabled={!device.value || busy || cuts.every((run) => run.phase.value === "done")} onPress={async () => {
                  for (const [index, parts] of CUTS.entries()) await cuts[index]?.train(cut(parts));
                }}>
                  {words.trainPieces}
                </Button>
              </div>
              <div class="scroll" tabIndex={0} role="region" aria-label={words.pieces}>
                <table class="means">
                  <thead>
                    <tr>
                      <th scope="col">{words.times}</th>
                      {[1, 2, 3].map((step) => (
                        <th key={step} scope="col" class="number">
                          {words.lossOf(step)}
                        </th>
                      ))}
                      <th scope="col" class="number">{words.memory}</th>
                    </tr>
                  </thead>
                  <tbody>
                    {CUTS.map((parts, index) => (
                      <tr key={parts}>
                        <th scope="row">
                          {count(Math.max(1, Math.round(batch / parts)))} × {parts}
                        </th>
                        {[0, 1, 2].map((at) => (
                          <td key={at} class="number">{cuts[index]?.lines.value[at]?.loss.toFixed(5) ?? "–"}</td>
                        ))}
                        <td class="number">{cuts[index]?.ended.value?.peak_bytes ? bytes(cuts[index].ended.value.peak_bytes) : "–"}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
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

/** A sentence around its figures. */
function Around({ texts, values }: { texts: readonly string[]; values: readonly string[] }) {
  return (
    <p>
      {texts.map((text, index) => (
        <>
          {text}
          {values[index] !== undefined && <strong class="number">{values[index]}</strong>}
        </>
      ))}
    </p>
  );
}

/** The rate with the lowest last loss; a run that failed has none. */
function best(tried: readonly Rate[]): string {
  const last = (rate: Rate) => (loops[rate].phase.value === "failed" ? Infinity : (loops[rate].lines.value.at(-1)?.loss ?? Infinity));
  return tried.toSorted((a, b) => last(a) - last(b))[0] ?? "";
}
