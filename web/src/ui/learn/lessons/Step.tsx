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
import { Notice } from "../../parts/Notice.js";
import { Scale } from "../../parts/Scale.js";
import { device } from "../../state/device.js";
import { change, numberAt, oneAt } from "../address.js";
import { goTo, LessonFrame, Scene } from "../frame.js";
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
const PART_WORDS = { forward: "Forward", loss: "Loss", gradient: "Gradient", update: "Update" };

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
  const fault = useSignal<string | null>(null);
  const chosen = useSignal<number | null>(null);
  single.follow(one);
  for (const rate of RATES) loops[rate].follow(loop(rate));
  CUTS.forEach((parts, index) => cuts[index]?.follow(cut(parts)));
  const result = taken.of(one);
  const line = single.lines.value[0];
  const shown = result && line ? numberAt("shown", 1, 1, PARTS.length) : 0;
  const busy = [single, ...Object.values(loops), ...cuts].some((run) => run.busy);
  const tried = RATES.filter((rate) => ["done", "failed"].includes(loops[rate].phase.value) && loops[rate].lines.value.length > 0);
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
      fault.value = error instanceof Error ? error.message : String(error);
    }
  };
  return (
    <LessonFrame
      prediction={{
        question: `A step moves every weight against its gradient, and the learning rate says how far. The same ${count(steps)} steps with different rates: after which one is the loss lowest?`,
        options: [
          ["1e-6", "0.000001"],
          ["1e-4", "0.0001"],
          ["1e-3", "0.001"],
          ["1e-2", "0.01"],
          ["1e-1", "0.1"],
          ["1", "1: the further the faster"],
        ],
        came: tried.length >= 3 ? best(tried) : null,
      }}
      doing={
        <>
          <Scene>
            <h3>One step, taken apart</h3>
            <p>
              A step has four parts. The model reads {count(batch)} examples and says how probable each next token is (forward). Minus the logarithm of what it gave the
              right ones is the loss. The gradient says for every weight which way the loss grows. The update moves the weights the other way.
            </p>
            <Choice label="Learning rate" value={rate} options={RATES.map((one) => [one, one] as const)} onChange={(value) => change({ rate: value === "1e-3" ? null : value, shown: null })} />
            <div class="row">
              <Button kind="first" disabled={!device.value || busy || shown === PARTS.length || single.phase.value === "failed"} onPress={takeOne}>
                {shown === 0 ? "Forward" : shown < PARTS.length ? PART_WORDS[PARTS[shown] ?? "update"] : "The step is done"}
              </Button>
            </div>
            <Watch name="One step" run={single} steps={1} />
            {fault.value !== null && <Notice kind="error">{fault.value}</Notice>}
            {result && line && (
              <ol class="step-parts">
                <li>
                  <h4>Forward</h4>
                  <p>What the base thinks of one example that is not among the {count(batch)}; the stronger the colour, the less it expected the token.</p>
                  <Strip view={{ name: "Before the step", tokens: result.before }} chosen={chosen} heat />
                  <Scale />
                </li>
                {shown >= 2 && (
                  <li>
                    <h4>Loss</h4>
                    <p>
                      The mean over the learned tokens of the {count(batch)} examples is <strong class="number">{line.loss.toFixed(4)}</strong>: on average the right token had a probability of{" "}
                      {percent(Math.exp(-line.loss))}.
                    </p>
                  </li>
                )}
                {shown >= 3 && (
                  <li>
                    <h4>Gradient</h4>
                    <p>
                      All gradients together are <strong class="number">{figures(line.grad_norm)}</strong> long.{" "}
                      {clip > 0 && line.grad_norm > clip ? `That is more than ${figures(clip)}: they are clipped, all by the same factor ${figures(clip / line.grad_norm)}, so that one odd batch cannot throw the model far.` : `That is no more than the limit of ${figures(clip)}, so nothing is clipped.`}
                    </p>
                  </li>
                )}
                {shown >= 4 && (
                  <li>
                    <h4>Update</h4>
                    <p>
                      With a rate of {rate} the weights move by <strong class="number">{figures(result.moved)}</strong>, {percent(result.moved / result.weights)} of their own length. On the example above the loss of the answer was{" "}
                      {meanLoss(result.before, ({ trained }) => trained).toFixed(3)} and is <strong class="number">{meanLoss(result.after, ({ trained }) => trained).toFixed(3)}</strong>.
                    </p>
                    <Strip view={{ name: "After the step", tokens: result.after }} chosen={chosen} heat />
                  </li>
                )}
              </ol>
            )}
          </Scene>
          <Scene>
            <h3>A loop of steps</h3>
            <p>Train {count(steps)} steps with one rate after the other. At the last one numbers grow beyond what a float can hold.</p>
            <div class="settings">
              <NumberField name="Steps" help="Of each run." value={steps} least={2} most={200} whole onChange={(value) => change({ steps: value === null || value === STEPS ? null : String(value) })} />
              <NumberField name="Examples a step" help="The batch: more make a steadier gradient and a slower step." value={batch} least={4} most={64} whole onChange={(value) => change({ batch: value === null || value === BATCH ? null : String(value) })} />
              <NumberField name="Clip at" help="The longest that all gradients together may be; 0 clips nothing." value={clip} least={0} onChange={(value) => change({ clip: value === null || value === CLIP ? null : String(value) })} />
            </div>
            <div class="row">
              {RATES.map((rate) => (
                <Button key={rate} label={`Train with a rate of ${rate}`} disabled={!device.value || busy || ["done", "failed"].includes(loops[rate].phase.value)} onPress={async () => {
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
                  Begin again
                </Button>
              )}
            </div>
            {RATES.filter((rate) => loops[rate].phase.value !== "none").map((rate) => (
              <Watch key={rate} name={`Rate ${rate}`} run={loops[rate]} steps={steps} />
            ))}
          </Scene>
        </>
      }
      seeing={
        tried.length > 0 ? (
          <>
            <Scene>
              <Plot
                title="Loss by learning rate"
                about="One curve for each rate that was tried; a falling curve learns, a flat one does nothing, a rising one diverges."
                lines={LINES}
                points={points}
                x="step"
                most={steps}
                log
                explain={(step, values) => `Step ${step}: ${RATES.flatMap((rate, index) => (values[index] === null || values[index] === undefined ? [] : [`rate ${rate} has ${figures(values[index])}`])).join(", ")}.`}
              />
            </Scene>
            <Scene>
              <h3>The same step in pieces</h3>
              <p>
                {count(batch)} examples at once, or a half or a quarter of them at a time with their gradients added up before the update (accumulation): the same losses, less memory.
              </p>
              <div class="row">
                <Button disabled={!device.value || busy || cuts.every((run) => run.phase.value === "done")} onPress={async () => {
                  for (const [index, parts] of CUTS.entries()) await cuts[index]?.train(cut(parts));
                }}>
                  Train all three
                </Button>
              </div>
              <div class="scroll" tabIndex={0} role="region" aria-label="The same step in pieces">
                <table class="means">
                  <thead>
                    <tr>
                      <th scope="col">Examples × times</th>
                      <th scope="col" class="number">Loss of step 1</th>
                      <th scope="col" class="number">Loss of step 2</th>
                      <th scope="col" class="number">Loss of step 3</th>
                      <th scope="col" class="number">GPU memory at most</th>
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
          <p>
            The gradient is true where the weights are; a step away it is another one. A rate that is too small wastes steps: the weights hardly move. One
            that is too large jumps over the valley, lands where the loss is higher, and jumps further. AdamW moves every weight by about the rate, whatever
            its gradient’s size, so the rate must be small against the weights themselves.
          </p>
          <p>
            When numbers outgrow what a float holds, the loss is no number any more. The trainer then leaves the weights as they were before that step, ends
            the run and says at which step it happened; without that guard the whole model would be NaN, and every later step with it.
          </p>
        </Scene>
      }
    />
  );
}

/** The rate with the lowest last loss; a run that failed has none. */
function best(tried: readonly Rate[]): string {
  const last = (rate: Rate) => (loops[rate].phase.value === "failed" ? Infinity : (loops[rate].lines.value.at(-1)?.loss ?? Infinity));
  return tried.toSorted((a, b) => last(a) - last(b))[0] ?? "";
}
