// Lesson: how much rank an update needs. LoRA of several ranks; the singular values of a full update; the same update cut to a rank.
import { useEffect, useMemo } from "preact/hooks";
import { computed, useSignal } from "@preact/signals";
import type { Settings, Truncated } from "rootstock";
import type { Line } from "../../charts/Chart.js";
import type { Points } from "../../charts/points.js";
import { bytes, count, figures, percent } from "../../numbers.js";
import { Button } from "../../parts/Button.js";
import { NumberField } from "../../parts/Field.js";
import { FaultNotice } from "../../parts/FaultNotice.js";
import { device } from "../../state/device.js";
import { saidOf, type Said } from "../../state/faults.js";
import { lessonText } from "../../text/lessons.js";
import { change, numberAt } from "../address.js";
import { heldOut } from "../data.js";
import { goTo, LessonFrame, Scene, Why } from "../frame.js";
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


/** A chart is drawn anew for other lines, so these stay while the language does. */
const rankLines = computed<readonly Line[]>(() => [
  { name: lessonText.rank.byRank.lora, token: "bark", dots: true },
  { name: lessonText.rank.byRank.cut, token: "leaf", dots: true },
]);
const spectrumLines = computed<readonly Line[]>(() => [{ name: lessonText.rank.spectrum.line, token: "leaf" }]);

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
  const fault = useSignal<Said | null>(null);
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
      fault.value = saidOf(error);
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
  const trainRank = (index: number) => during(lessonText.rank.ofRank(RANKS[index] ?? 0), async () => {
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
  const trainFull = () => during(lessonText.rank.theFullUpdate, async () => {
    await measureBase();
    await full.train(whole);
    if (full.phase.peek() !== "done") return;
    await inTurn(async () => {
      await open(EMBEDDED);
      await full.use();
      const deltas = (await ask({ kind: "deltas" })).filter(({ singular_values, layer }) => singular_values.length > 0 && layer !== null);
      const largest = deltas.toSorted((a, b) => b.delta_norm / b.weight_norm - a.delta_norm / a.weight_norm)[0];
      if (!largest) throw new Error(lessonText.rank.nothingChanged);
      spectrum.set({ asked, task: whole }, { name: largest.name, values: largest.singular_values, loss: await heldOutLoss("tuned", asked, recipe) });
    });
    goTo("see");
  });
  const cutNow = (index: number) => during(lessonText.rank.cutting(RANKS[index] ?? 0), async () => {
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
  const words = lessonText.rank;
  const best = Math.min(...found.flatMap((loss) => (loss === null ? [] : [loss])));
  const enough = base === null ? -1 : found.findIndex((loss) => loss !== null && base - loss >= 0.9 * (base - best));
  const all = found.every((loss) => loss !== null);
  return (
    <LessonFrame
      prediction={{
        question: words.predict,
        options: [
          ["1", words.ofRank(1)],
          ["2", words.ofRank(2)],
          ["4", words.ofRank(4)],
          ["8", words.ofRank(8)],
          ["16", words.orMore(16)],
        ],
        came: all && enough >= 0 ? String(Math.min(RANKS[enough] ?? 16, 16)) : null,
      }}
      doing={
        <Scene>
          <p>{words.doIt(count(steps))}</p>
          <div class="settings">
            <NumberField name={lessonText.parts.steps} help={lessonText.parts.stepsOfEach} value={steps} least={1} most={400} whole onChange={(value) => change({ steps: value === null || value === STEPS ? null : String(value) })} />
          </div>
          <div class="row">
            {RANKS.map((rank, index) => (
              <Button key={rank} disabled={!device.value || running || found[index] !== null} onPress={() => trainRank(index)}>
                {words.ofRank(rank)}
              </Button>
            ))}
            <Button kind="first" disabled={!device.value || running || known !== null} onPress={trainFull}>
              {words.allParameters}
            </Button>
          </div>
          {RANKS.filter((_, index) => loras[index]?.phase.value !== "none").map((rank) => {
            const run = loras[RANKS.indexOf(rank)];
            return run && <Watch key={rank} name={words.ofRank(rank)} run={run} steps={steps} />;
          })}
          <Watch name={words.allParameters} run={full} steps={steps} />
          {busyWith.value !== null && <p class="soft">{lessonText.parts.doing(busyWith.value)}</p>}
          {fault.value !== null && <FaultNotice of={fault.value} />}
        </Scene>
      }
      seeing={
        base !== null && (known ?? found.find((loss) => loss !== null)) ? (
          <>
            <Scene>
              <Plot
                title={words.byRank.title}
                about={words.byRank.about(base.toFixed(3), known?.loss.toFixed(3) ?? null)}
                lines={rankLines.value}
                points={points}
                x={words.byRank.x}
                explain={(rank, [lora, cut]) => words.byRank.point(rank, lora?.toFixed(3) ?? null, cut?.toFixed(3) ?? null)}
              />
            </Scene>
            {known && (
              <Scene>
                <Plot
                  title={words.spectrum.title(known.name)}
                  about={words.spectrum.about}
                  lines={spectrumLines.value}
                  points={values}
                  x={words.spectrum.x}
                  explain={(direction, [value]) => {
                    const energy = (upTo: number) => known.values.slice(0, upTo).reduce((sum, one) => sum + one * one, 0);
                    return words.spectrum.point(direction, figures(value ?? 0), percent(energy(direction) / energy(known.values.length)));
                  }}
                />
              </Scene>
            )}
            {known && (
              <Scene>
                <div class="label-above">
                  <label for="rank-cut">
                    {words.cutTo}
                    <strong>{RANKS[at]}</strong>
                  </label>
                  <input id="rank-cut" type="range" min={0} max={RANKS.length - 1} step={1} value={at} aria-valuetext={words.ofRank(RANKS[at] ?? 0)} onInput={({ currentTarget }) => change({ cut: currentTarget.value })} />
                </div>
                {shownCut ? (
                  <dl class="figures">
                    <div>
                      <dt>{words.kept}</dt>
                      <dd>{percent(shownCut.energy)}</dd>
                    </div>
                    <div>
                      <dt>{words.heldOut}</dt>
                      <dd>{shownCut.loss.toFixed(3)}</dd>
                    </div>
                    <div>
                      <dt>{words.numbers}</dt>
                      <dd>{count(shownCut.parameters)}</dd>
                    </div>
                    <div>
                      <dt>{words.file}</dt>
                      <dd>{bytes(shownCut.bytes)}</dd>
                    </div>
                  </dl>
                ) : (
                  <p class="soft">{lessonText.parts.doing(words.cuttingIt)}</p>
                )}
                {shownCut && (
                  <p>
                    {words.answers(shownCut.said.trim())}
                    {shownCut.whole.length > 0 && <small class="line">{words.keptWhole(shownCut.whole.join(", "))}</small>}
                  </p>
                )}
              </Scene>
            )}
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
