// Lesson: an adapter is a part. Its strength while the model answers; two adapters on one base; merged or apart; on the wrong base.
import { useEffect, useMemo } from "preact/hooks";
import { computed, signal, useSignal } from "@preact/signals";
import type { AdapterPart, Settings } from "rootstock";
import type { Line } from "../../charts/Chart.js";
import type { Points } from "../../charts/points.js";
import { count, figures } from "../../numbers.js";
import { Button } from "../../parts/Button.js";
import { NumberField } from "../../parts/Field.js";
import { RemarkWords } from "../../parts/English.js";
import { FaultNotice } from "../../parts/FaultNotice.js";
import { Notice } from "../../parts/Notice.js";
import { device } from "../../state/device.js";
import { saidOf, type Said as Fault } from "../../state/faults.js";
import { lessonText } from "../../text/lessons.js";
import { change, numberAt, textAt } from "../address.js";
import { asTransformers, broken, given, intact } from "../broken.js";
import { heldOut, source } from "../data.js";
import { goTo, LessonFrame, Scene, Why } from "../frame.js";
import { Result } from "../kept.js";
import { Plot } from "../parts/Plot.js";
import { Watch } from "../parts/Watch.js";
import { answer, ask, EMBEDDED, exchange, inTurn, look, meanLoss, open, openFiles } from "../room.js";
import { recipeOf, training, type Task } from "../training.js";

const STEPS = 60;
const BATCH = 16;
const QUESTION = "Where does Anna live?";
const LONGEST = 24;

const pirate = training("strength.pirate");
const newcomers = training("strength.newcomers");

interface Said {
  /** Strengths of the two adapters. */
  pirate: number;
  newcomers: number;
  said: string;
  /** Mean loss of a held-out answer in the pirate's voice. */
  loss: number;
}

/** Everything that was tried, by strengths. */
const tried = new Result<Said[]>("strength.tried");
interface Apart {
  /** The largest difference of a token's loss between the merged model and base and adapter apart. */
  difference: number;
}
const merged = new Result<Apart>("strength.merged");
interface Wrong {
  notes: string[];
  said: string;
  loss: number;
}
const wrong = new Result<Wrong>("strength.wrong");

/** A chart is drawn anew for other lines, so these stay while the language does. */
const lines = computed<readonly Line[]>(() => [{ name: lessonText.strength.plot.line, token: "bark", dots: true }]);

function settings() {
  const steps = numberAt("steps", STEPS, 1, 400);
  const recipe = recipeOf({ finetuning_type: "lora", lora_rank: 8, learning_rate: numberAt("rate", 5e-3, 0, 10), max_steps: steps, per_device_train_batch_size: numberAt("batch", BATCH, 1, 64) });
  const tasks: Record<"pirate" | "newcomers", Task> = {
    pirate: { name: "Lesson: a pirate’s voice", base: EMBEDDED, data: source("pirate"), recipe },
    newcomers: { name: "Lesson: newcomers", base: EMBEDDED, data: source("newcomers"), recipe },
  };
  return { steps, tasks, recipe, question: textAt("q", QUESTION), first: numberAt("pirate", 1, 0, 2), second: numberAt("newcomers", 0, 0, 2) };
}

/** The mean loss of a held-out answer of the pirate; within a turn. */
async function pirateLoss(which: "adapted", recipe: Settings): Promise<number> {
  const [one] = (await heldOut("pirate", 2)).slice(1);
  if (!one) throw new Error(lessonText.strength.noQuestion);
  return meanLoss(await look(which, exchange(one.question, one.answer), recipe, 0), ({ trained }) => trained);
}

const asking = signal(false);

export function Strength() {
  const { steps, tasks, recipe, question, first, second } = settings();
  const fault = useSignal<Fault | null>(null);
  const doing = useSignal<string | null>(null);
  pirate.follow(tasks.pirate);
  newcomers.follow(tasks.newcomers);
  const key = { question, tasks };
  const all = tried.of(key) ?? [];
  const now = all.find((one) => one.pirate === first && one.newcomers === second) ?? null;
  const points = useMemo(
    () =>
      computed<Points>(() => {
        const along = (tried.of(key) ?? []).filter((one) => one.newcomers === 0).toSorted((a, b) => a.pirate - b.pirate);
        return [along.map((one) => one.pirate), along.map(({ loss }) => loss)];
      }),
    [JSON.stringify(key)],
  );
  const ready = pirate.phase.value === "done";
  const during = async (what: string, work: () => Promise<void>) => {
    fault.value = null;
    doing.value = what;
    asking.value = true;
    try {
      await inTurn(work);
    } catch (error) {
      fault.value = saidOf(error);
    } finally {
      doing.value = null;
      asking.value = false;
    }
  };
  const sayAt = (first: number, second: number) =>
    during(lessonText.strength.askingIt, async () => {
      await open(EMBEDDED);
      const parts: AdapterPart[] = [{ id: pirate.id ?? "", strength: first }];
      if (second > 0) parts.push({ id: newcomers.id ?? "", strength: second });
      await ask({ kind: "adapt", parts });
      const said = await answer("adapted", question, LONGEST);
      const loss = await pirateLoss("adapted", recipe);
      tried.set(key, [...(tried.of(key) ?? []).filter((one) => one.pirate !== first || one.newcomers !== second), { pirate: first, newcomers: second, said, loss }]);
    });
  useEffect(() => {
    if (!ready || now || asking.peek() || (second > 0 && newcomers.phase.value !== "done")) return;
    const timer = setTimeout(() => void sayAt(first, second), 250);
    return () => clearTimeout(timer);
  }, [ready, first, second, question, now, asking.value, newcomers.phase.value]);
  const train = async (run: typeof pirate, task: Task) => {
    await run.train(task);
    if (run.phase.peek() === "done") goTo("see");
  };
  const at2 = all.find((one) => one.pirate === 2 && one.newcomers === 0);
  const at1 = all.find((one) => one.pirate === 1 && one.newcomers === 0);
  const apart = merged.of(tasks.pirate);
  const elsewhere = wrong.of({ question, task: tasks.pirate });
  const words = lessonText.strength;
  return (
    <LessonFrame
      prediction={{
        question: words.predict,
        options: [
          ["better", words.options.better],
          ["same", words.options.same],
          ["worse", words.options.worse],
        ],
        came: at1 && at2 ? (Math.abs(at2.loss - at1.loss) < 0.05 ? "same" : at2.loss < at1.loss ? "better" : "worse") : null,
      }}
      doing={
        <Scene>
          <p>{words.trainTwo(count(steps))}</p>
          <div class="settings">
            <NumberField name={lessonText.parts.steps} help={words.stepsHelp} value={steps} least={1} most={400} whole onChange={(value) => change({ steps: value === null || value === STEPS ? null : String(value) })} />
          </div>
          <div class="row">
            <Button kind="first" disabled={!device.value || pirate.busy || ready} onPress={() => train(pirate, tasks.pirate)}>
              {words.trainPirate}
            </Button>
            <Button disabled={!device.value || newcomers.busy || newcomers.phase.value === "done"} onPress={() => train(newcomers, tasks.newcomers)}>
              {words.trainNewcomers}
            </Button>
          </div>
          <Watch name={words.thePirate} run={pirate} steps={steps} />
          <Watch name={words.theNewcomers} run={newcomers} steps={steps} />
        </Scene>
      }
      seeing={
        ready ? (
          <>
            <Scene>
              <div class="two">
                <Slider name="pirate" label={words.strengthOf.pirate} value={first} disabled={false} />
                <Slider name="newcomers" label={words.strengthOf.newcomers} value={second} disabled={newcomers.phase.value !== "done"} />
              </div>
              <div class="label-above">
                <label for="strength-q">{lessonText.parts.question}</label>
                <input id="strength-q" type="text" autocomplete="off" value={question} onChange={({ currentTarget }) => change({ q: currentTarget.value })} />
              </div>
              <p class="said-now" aria-live="polite">
                {now ? now.said.trim() || lessonText.parts.empty : "…"}
              </p>
              {doing.value !== null && <p class="soft">{lessonText.parts.doing(doing.value)}</p>}
              {fault.value !== null && <FaultNotice of={fault.value} />}
              <div class="row">
                <Button disabled={asking.value} onPress={async () => {
                  for (const strength of [0, 0.5, 1, 1.5, 2]) {
                    if (!(tried.of(key) ?? []).some((one) => one.pirate === strength && one.newcomers === 0)) await sayAt(strength, 0);
                  }
                }}>
                  {words.tryAll}
                </Button>
              </div>
            </Scene>
            <Scene>
              <Plot
                title={words.plot.title}
                about={words.plot.about}
                lines={lines.value}
                points={points}
                x={words.plot.x}
                explain={(strength, [loss]) => words.plot.point(strength, figures(loss ?? 0))}
              />
              <Table all={all} />
            </Scene>
            <Scene>
              <h3>{words.merged}</h3>
              <p>{words.mergedText}</p>
              <div class="row">
                <Button disabled={asking.value || apart !== null} onPress={() => during(words.merging, async () => {
                  await open(EMBEDDED);
                  await pirate.use();
                  const sample = exchange(question, "Arr! Anna lives in the red house, matey!");
                  const before = await look("tuned", sample, recipe, 0);
                  const { id } = await ask({ kind: "merge" });
                  await ask({ kind: "tuned", id });
                  const after = await look("tuned", sample, recipe, 0);
                  await pirate.use();
                  await ask({ kind: "tuned", id: pirate.id ?? "" });
                  await ask({ kind: "remove", id });
                  merged.set(tasks.pirate, { difference: Math.max(...before.map(({ loss }, index) => Math.abs((loss ?? 0) - (after[index]?.loss ?? 0)))) });
                })}>
                  {words.merge}
                </Button>
              </div>
              {apart && (
                <p>
                  {words.difference[0]}
                  <strong class="number">{figures(apart.difference)}</strong>
                  {words.difference[1]}
                </p>
              )}
              <h3>{words.wrongBase}</h3>
              <p>{words.wrongBaseText}</p>
              <div class="row">
                <Button disabled={asking.value || elsewhere !== null} onPress={() => during(words.tryingWrong, async () => {
                  const files = await intact();
                  const loaded = asTransformers(broken(files, ["keys"]), files);
                  if (!("files" in loaded)) return;
                  await openFiles(words.wrongBaseName, given(loaded.files));
                  const notes = await ask({ kind: "adapt", parts: [{ id: pirate.id ?? "", strength: 1 }] });
                  wrong.set({ question, task: tasks.pirate }, { notes, said: await answer("adapted", question, LONGEST), loss: await pirateLoss("adapted", recipe) });
                })}>
                  {words.putOnWrong}
                </Button>
              </div>
              {elsewhere && (
                <Notice kind="warning">
                  {words.wrongSays(elsewhere.said.trim(), elsewhere.loss.toFixed(3))}
                  {elsewhere.notes.map((note) => (
                    <small key={note}>
                      <RemarkWords>{note}</RemarkWords>
                    </small>
                  ))}
                </Notice>
              )}
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

function Slider({ name, label, value, disabled }: { name: string; label: string; value: number; disabled: boolean }) {
  return (
    <div class="label-above">
      <label for={`strength-${name}`}>
        {label}: <strong class="number">{value}</strong>
      </label>
      <input id={`strength-${name}`} type="range" min={0} max={2} step={0.25} value={value} disabled={disabled} onInput={({ currentTarget }) => change({ [name]: currentTarget.value })} />
    </div>
  );
}

function Table({ all }: { all: readonly Said[] }) {
  const words = lessonText.strength.table;
  return (
    <div class="scroll tall" tabIndex={0} role="region" aria-label={words.label}>
      <table>
        <caption>{words.caption}</caption>
        <thead>
          <tr>
            <th scope="col" class="number">{words.pirate}</th>
            <th scope="col" class="number">{words.newcomers}</th>
            <th scope="col">{words.answer}</th>
            <th scope="col" class="number">{words.loss}</th>
          </tr>
        </thead>
        <tbody>
          {all.toSorted((a, b) => a.newcomers - b.newcomers || a.pirate - b.pirate).map((one) => (
            <tr key={`${one.pirate} ${one.newcomers}`}>
              <td class="number">{one.pirate}</td>
              <td class="number">{one.newcomers}</td>
              <td>{one.said.trim() || lessonText.parts.empty}</td>
              <td class="number">{one.loss.toFixed(3)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
