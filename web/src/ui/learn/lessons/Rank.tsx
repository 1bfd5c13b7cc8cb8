// Lesson: how much rank an update needs. LoRA of several ranks; the singular values of a full update; the same update cut to a rank.
import { useEffect, useMemo } from "preact/hooks";
import { computed, useSignal } from "@preact/signals";
import type { Settings, Truncated } from "rootstock";
import type { Line } from "../../charts/Chart.js";
import type { Points } from "../../charts/points.js";
import { bytes, count, figures, percent } from "../../numbers.js";
import { Button } from "../../parts/Button.js";
import { NumberField } from "../../parts/Field.js";
import { Notice } from "../../parts/Notice.js";
import { device } from "../../state/device.js";
import { change, numberAt } from "../address.js";
import { heldOut } from "../data.js";
import { goTo, LessonFrame, Scene } from "../frame.js";
import { Result } from "../kept.js";
import { Plot } from "../parts/Plot.js";
import { Watch } from "../parts/Watch.js";
import { answer, ask, bare, EMBEDDED, exchange, inTurn, look, meanLoss, open } from "../room.js";
import { recipeOf, training, VILLAGE, type Task } from "../training.js";

const STEPS = 40;
const BATCH = 16;
const ASKED = 4;
const RANKS = [1, 2, 4, 8, 16, 32] as const;

const loras = RANKS.map((rank) => training(`rank.${rank}`));
const full = training("rank.full");

/** Mean loss of the held-out answers. */
const bases = new Result<number>("rank.base");
const losses = RANKS.map((rank) => new Result<number>(`rank.loss.${rank}`));
interface Spectrum {
  /** The matrix whose update is largest against itself. */
  name: string;
  values: number[];
  loss: number;
}
const spectrum = new Result<Spectrum>("rank.spectrum");
interface Cut extends Truncated {
  loss: number;
  said: string;
}
const cuts = RANKS.map((rank) => new Result<Cut>(`rank.cut.${rank}`));

const LORA: readonly Line[] = [{ name: "LoRA of this rank", token: "bark", dots: true }, { name: "the full update cut to this rank", token: "leaf", dots: true }];
const VALUES: readonly Line[] = [{ name: "singular value", token: "leaf" }];

function settings() {
  const steps = numberAt("steps", STEPS, 1, 400);
  const asked = numberAt("asked", ASKED, 1, 24);
  const recipe = recipeOf({ max_steps: steps, per_device_train_batch_size: numberAt("batch", BATCH, 1, 64) });
  const task = (name: string, more: Settings): Task => ({ name, base: EMBEDDED, data: VILLAGE, recipe: { ...recipe, ...more } });
  return {
    steps,
    asked,
    recipe,
    lora: (rank: number) => task(`Lesson: rank ${rank}`, { finetuning_type: "lora", lora_rank: rank, lora_alpha: 2 * rank, learning_rate: numberAt("rate", 5e-3, 0, 10) }),
    full: task("Lesson: the full update", { learning_rate: 1e-3 }),
  };
}

/** The mean loss of held-out answers; within a turn. */
async function heldOutLoss(which: "adapted" | "tuned", asked: number, recipe: Settings): Promise<number> {
  const all: number[] = [];
  for (const { question, answer: expected } of await heldOut("village", asked)) {
    all.push(meanLoss(await look(which, exchange(question, expected), recipe, 0), ({ trained }) => trained));
  }
  return all.reduce((sum, loss) => sum + loss, 0) / Math.max(1, all.length);
}

export function Rank() {
  const { steps, asked, recipe, lora, full: whole } = settings();
  const busyWith = useSignal<string | null>(null);
  const fault = useSignal<string | null>(null);
  RANKS.forEach((rank, index) => loras[index]?.follow(lora(rank)));
  full.follow(whole);
  const base = bases.of({ asked });
  const found = RANKS.map((rank, index) => losses[index]?.of({ asked, task: lora(rank) }) ?? null);
  const known = spectrum.of({ asked, task: whole });
  const cut = RANKS.map((rank, index) => cuts[index]?.of({ asked, task: whole, rank }) ?? null);
  const at = Math.round(numberAt("cut", 3, 0, RANKS.length - 1));
  const shownCut = cut[at] ?? null;
  const points = useMemo(() => computed<Points>(() => [[...RANKS], RANKS.map((rank, index) => losses[index]?.of({ asked, task: lora(rank) }) ?? null), RANKS.map((rank, index) => cuts[index]?.of({ asked, task: whole, rank })?.loss ?? null)]), [JSON.stringify([asked, lora(1), whole])]);
  const values = useMemo(() => computed<Points>(() => { const all = spectrum.of({ asked, task: whole })?.values ?? []; return [all.map((_, index) => index + 1), all]; }), [JSON.stringify([asked, whole])]);
  const running = [full, ...loras].some((run) => run.busy) || busyWith.value !== null;
  const during = async (what: string, work: () => Promise<void>) => {
    fault.value = null;
    busyWith.value = what;
    try {
      await work();
    } catch (error) {
      fault.value = error instanceof Error ? error.message : String(error);
    } finally {
      busyWith.value = null;
    }
  };
  const measureBase = async () => {
    if (bases.of({ asked }) !== null) return;
    await inTurn(async () => {
      await bare(EMBEDDED);
      bases.set({ asked }, await heldOutLoss("adapted", asked, recipe));
    });
  };
  const trainRank = (index: number) => during(`Rank ${RANKS[index]}`, async () => {
    const [run, rank] = [loras[index], RANKS[index]];
    if (!run || rank === undefined) return;
    await measureBase();
    await run.train(lora(rank));
    if (run.phase.peek() !== "done") return;
    await inTurn(async () => {
      await open(EMBEDDED);
      await run.use();
      losses[index]?.set({ asked, task: lora(rank) }, await heldOutLoss("tuned", asked, recipe));
    });
  });
  const trainFull = () => during("The full update", async () => {
    await measureBase();
    await full.train(whole);
    if (full.phase.peek() !== "done") return;
    await inTurn(async () => {
      await open(EMBEDDED);
      await full.use();
      const deltas = (await ask({ kind: "deltas" })).filter(({ singular_values, layer }) => singular_values.length > 0 && layer !== null);
      const largest = deltas.toSorted((a, b) => b.delta_norm / b.weight_norm - a.delta_norm / a.weight_norm)[0];
      if (!largest) throw new Error("No matrix changed: take a higher learning rate or more steps.");
      spectrum.set({ asked, task: whole }, { name: largest.name, values: largest.singular_values, loss: await heldOutLoss("tuned", asked, recipe) });
    });
    goTo("see");
  });
  const cutNow = (index: number) => during(`Cutting to rank ${RANKS[index]}`, async () => {
    const rank = RANKS[index];
    if (rank === undefined || cuts[index]?.of({ asked, task: whole, rank })) return;
    await inTurn(async () => {
      await open(EMBEDDED);
      await full.use();
      const truncated = await ask({ kind: "truncate", rank });
      const loss = await heldOutLoss("adapted", asked, recipe);
      const [first] = await heldOut("village", 1);
      cuts[index]?.set({ asked, task: whole, rank }, { ...truncated, loss, said: first ? await answer("adapted", first.question, 20) : "" });
    });
  });
  // A place of the slider that was not computed yet.
  useEffect(() => {
    if (known && full.phase.value === "done" && !shownCut && !running) void cutNow(at);
  }, [at, known, full.phase.value, running]);
  const best = Math.min(...found.flatMap((loss) => (loss === null ? [] : [loss])));
  const enough = base === null ? -1 : found.findIndex((loss) => loss !== null && base - loss >= 0.9 * (base - best));
  const all = found.every((loss) => loss !== null);
  return (
    <LessonFrame
      prediction={{
        question: "A weight matrix of the village model has 128 rows or more. LoRA may change it in as many directions as its rank. From which rank on does it learn the village’s questions about as well (nine tenths of the best) in the same number of steps?",
        options: [
          ["1", "Rank 1"],
          ["2", "Rank 2"],
          ["4", "Rank 4"],
          ["8", "Rank 8"],
          ["16", "Rank 16 or more"],
        ],
        came: all && enough >= 0 ? String(Math.min(RANKS[enough] ?? 16, 16)) : null,
      }}
      doing={
        <Scene>
          <p>Train LoRA with one rank after the other, {count(steps)} steps each; then all parameters, whose update may have any rank.</p>
          <div class="settings">
            <NumberField name="Steps" help="Of each run." value={steps} least={1} most={400} whole onChange={(value) => change({ steps: value === null || value === STEPS ? null : String(value) })} />
          </div>
          <div class="row">
            {RANKS.map((rank, index) => (
              <Button key={rank} disabled={!device.value || running || found[index] !== null} onPress={() => trainRank(index)}>
                Rank {rank}
              </Button>
            ))}
            <Button kind="first" disabled={!device.value || running || known !== null} onPress={trainFull}>
              All parameters
            </Button>
          </div>
          {RANKS.filter((_, index) => loras[index]?.phase.value !== "none").map((rank) => {
            const run = loras[RANKS.indexOf(rank)];
            return run && <Watch key={rank} name={`Rank ${rank}`} run={run} steps={steps} />;
          })}
          <Watch name="All parameters" run={full} steps={steps} />
          {busyWith.value !== null && <p class="soft">{busyWith.value} …</p>}
          {fault.value !== null && <Notice kind="error">{fault.value}</Notice>}
        </Scene>
      }
      seeing={
        base !== null && (known ?? found.find((loss) => loss !== null)) ? (
          <>
            <Scene>
              <Plot
                title="Held-out loss by rank"
                about={`The loss of answers that were not trained on. The base has ${base.toFixed(3)}${known ? `, the full update ${known.loss.toFixed(3)}` : ""}.`}
                lines={LORA}
                points={points}
                x="rank"
                explain={(rank, [lora, cut]) => `Rank ${rank}: ${lora === null || lora === undefined ? "LoRA was not trained" : `LoRA reaches ${lora.toFixed(3)}`}; ${cut === null || cut === undefined ? "the full update was not cut to it" : `the full update cut to it has ${cut.toFixed(3)}`}.`}
              />
            </Scene>
            {known && (
              <Scene>
                <Plot
                  title={`Singular values of the update of ${known.name}`}
                  about="How far the full update goes in each of its directions, the furthest first. A curve that falls fast is an update of few directions."
                  lines={VALUES}
                  points={values}
                  x="direction"
                  explain={(direction, [value]) => {
                    const energy = (upTo: number) => known.values.slice(0, upTo).reduce((sum, one) => sum + one * one, 0);
                    return `Direction ${direction} is ${figures(value ?? 0)} long; the first ${direction} hold ${percent(energy(direction) / energy(known.values.length))} of the update.`;
                  }}
                />
              </Scene>
            )}
            {known && (
              <Scene>
                <div class="label-above">
                  <label for="rank-cut">
                    The full update, cut to rank <strong>{RANKS[at]}</strong>
                  </label>
                  <input id="rank-cut" type="range" min={0} max={RANKS.length - 1} step={1} value={at} aria-valuetext={`rank ${RANKS[at]}`} onInput={({ currentTarget }) => change({ cut: currentTarget.value })} />
                </div>
                {shownCut ? (
                  <dl class="figures">
                    <div>
                      <dt>Kept of the change</dt>
                      <dd>{percent(shownCut.energy)}</dd>
                    </div>
                    <div>
                      <dt>Held-out loss</dt>
                      <dd>{shownCut.loss.toFixed(3)}</dd>
                    </div>
                    <div>
                      <dt>Numbers</dt>
                      <dd>{count(shownCut.parameters)}</dd>
                    </div>
                    <div>
                      <dt>File</dt>
                      <dd>{bytes(shownCut.bytes)}</dd>
                    </div>
                  </dl>
                ) : (
                  <p class="soft">Cutting it …</p>
                )}
                {shownCut && (
                  <p>
                    It answers the first held-out question with “{shownCut.said.trim()}”.
                    {shownCut.whole.length > 0 && <small class="line">Kept whole, as no low rank comes near their change: {shownCut.whole.join(", ")}.</small>}
                  </p>
                )}
              </Scene>
            )}
          </>
        ) : null
      }
      explaining={
        <Scene>
          <p>
            Every matrix is a sum of directions, each with a length: its singular values. What a task adds to a weight often has a few long ones and a tail of
            short ones. A rank of r keeps r directions; LoRA has to find them while it trains, the cut takes the longest of an update that is there.
          </p>
          <p>
            The tail is not nothing: cut too deep, a model forgets details first and the task last. Facts that have nothing to do with each other need more
            directions than a manner of speaking. <code>rootstock extract</code> makes the same cut of any fine-tune and writes it as an adapter.
          </p>
        </Scene>
      }
    />
  );
}
