// Lesson: an adapter is a part. Its strength while the model answers; two adapters on one base; merged or apart; on the wrong base.
import { useEffect, useMemo } from "preact/hooks";
import { computed, signal, useSignal } from "@preact/signals";
import type { AdapterPart, Settings } from "rootstock";
import type { Line } from "../../charts/Chart.js";
import type { Points } from "../../charts/points.js";
import { count, figures } from "../../numbers.js";
import { Button } from "../../parts/Button.js";
import { NumberField } from "../../parts/Field.js";
import { Notice } from "../../parts/Notice.js";
import { device } from "../../state/device.js";
import { change, numberAt, textAt } from "../address.js";
import { asTransformers, broken, given, intact } from "../broken.js";
import { heldOut, source } from "../data.js";
import { goTo, LessonFrame, Scene } from "../frame.js";
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
const LINES: readonly Line[] = [{ name: "loss of a pirate’s answer", token: "bark", dots: true }];

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
  if (!one) throw new Error("There is no held-out question of the pirate’s.");
  return meanLoss(await look(which, exchange(one.question, one.answer), recipe, 0), ({ trained }) => trained);
}

const asking = signal(false);

export function Strength() {
  const { steps, tasks, recipe, question, first, second } = settings();
  const fault = useSignal<string | null>(null);
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
      fault.value = error instanceof Error ? error.message : String(error);
    } finally {
      doing.value = null;
      asking.value = false;
    }
  };
  const sayAt = (first: number, second: number) =>
    during("Asking it", async () => {
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
  return (
    <LessonFrame
      prediction={{
        question: "An adapter is trained that makes the model answer like a pirate. Then it is added to the base twice as strong as it was trained. Does it predict a pirate’s answers better than at its own strength?",
        options: [
          ["better", "Better: more pirate is more pirate"],
          ["same", "About the same"],
          ["worse", "Worse"],
        ],
        came: at1 && at2 ? (Math.abs(at2.loss - at1.loss) < 0.05 ? "same" : at2.loss < at1.loss ? "better" : "worse") : null,
      }}
      doing={
        <Scene>
          <p>Train two adapters on the same base, {count(steps)} steps each: one for a pirate’s voice, one for two people who have just moved in.</p>
          <div class="settings">
            <NumberField name="Steps" help="Of each adapter." value={steps} least={1} most={400} whole onChange={(value) => change({ steps: value === null || value === STEPS ? null : String(value) })} />
          </div>
          <div class="row">
            <Button kind="first" disabled={!device.value || pirate.busy || ready} onPress={() => train(pirate, tasks.pirate)}>
              Train the pirate
            </Button>
            <Button disabled={!device.value || newcomers.busy || newcomers.phase.value === "done"} onPress={() => train(newcomers, tasks.newcomers)}>
              Train the newcomers
            </Button>
          </div>
          <Watch name="The pirate" run={pirate} steps={steps} />
          <Watch name="The newcomers" run={newcomers} steps={steps} />
        </Scene>
      }
      seeing={
        ready ? (
          <>
            <Scene>
              <div class="two">
                <Slider name="pirate" label="Strength of the pirate" value={first} disabled={false} />
                <Slider name="newcomers" label="Strength of the newcomers" value={second} disabled={newcomers.phase.value !== "done"} />
              </div>
              <div class="label-above">
                <label for="strength-q">Question</label>
                <input id="strength-q" type="text" autocomplete="off" value={question} onChange={({ currentTarget }) => change({ q: currentTarget.value })} />
              </div>
              <p class="said-now" aria-live="polite">
                {now ? now.said.trim() || "(nothing)" : "…"}
              </p>
              {doing.value !== null && <p class="soft">{doing.value} …</p>}
              {fault.value !== null && <Notice kind="error">{fault.value}</Notice>}
              <div class="row">
                <Button disabled={asking.value} onPress={async () => {
                  for (const strength of [0, 0.5, 1, 1.5, 2]) {
                    if (!(tried.of(key) ?? []).some((one) => one.pirate === strength && one.newcomers === 0)) await sayAt(strength, 0);
                  }
                }}>
                  Try 0, ½, 1, 1½ and 2
                </Button>
              </div>
            </Scene>
            <Scene>
              <Plot
                title="A pirate’s answer by strength"
                about="The loss of a held-out answer in the pirate’s voice, for the strengths that were tried."
                lines={LINES}
                points={points}
                x="strength"
                explain={(strength, [loss]) => `At strength ${strength} the answer has a loss of ${figures(loss ?? 0)}.`}
              />
              <Table all={all} />
            </Scene>
            <Scene>
              <h3>Merged or apart</h3>
              <p>Merging adds B·A to the weights for good. Is the merged model the same?</p>
              <div class="row">
                <Button disabled={asking.value || apart !== null} onPress={() => during("Merging", async () => {
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
                  Merge and compare
                </Button>
              </div>
              {apart && <p>The loss of no token differs by more than <strong class="number">{figures(apart.difference)}</strong>: the merged weights are rounded to the base’s 16 bits.</p>}
              <h3>On the wrong base</h3>
              <p>The same adapter on a base of the same shape with other weights: random ones.</p>
              <div class="row">
                <Button disabled={asking.value || elsewhere !== null} onPress={() => during("Trying the wrong base", async () => {
                  const files = await intact();
                  const loaded = asTransformers(broken(files, ["keys"]), files);
                  if (!("files" in loaded)) return;
                  await openFiles("a base of random weights", given(loaded.files));
                  const notes = await ask({ kind: "adapt", parts: [{ id: pirate.id ?? "", strength: 1 }] });
                  wrong.set({ question, task: tasks.pirate }, { notes, said: await answer("adapted", question, LONGEST), loss: await pirateLoss("adapted", recipe) });
                })}>
                  Put it on the wrong base
                </Button>
              </div>
              {elsewhere && (
                <Notice kind="warning">
                  It answers “{elsewhere.said.trim()}”, with a loss of {elsewhere.loss.toFixed(3)}.
                  {elsewhere.notes.map((note) => (
                    <small key={note}>{note}</small>
                  ))}
                </Notice>
              )}
            </Scene>
          </>
        ) : null
      }
      explaining={
        <Scene>
          <p>
            An adapter is an addition: W + s·B·A. At s = 0 the base is there unchanged, whatever was trained. Between 0 and 1 the change comes in gradually; beyond
            1 the model goes where it never was in training, and its voice turns into a tic before it turns into noise.
          </p>
          <p>
            Two adapters can be added on one base, and each disturbs the other a little, since neither knew of it. The shapes of any base of the same
            architecture fit, which is the danger: on other weights the sum means nothing. Adapters of this trainer carry a fingerprint of their base, and so it can say so.
          </p>
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
  return (
    <div class="scroll tall" tabIndex={0} role="region" aria-label="What it said at each strength">
      <table>
        <caption>What it said</caption>
        <thead>
          <tr>
            <th scope="col" class="number">Pirate</th>
            <th scope="col" class="number">Newcomers</th>
            <th scope="col">Answer</th>
            <th scope="col" class="number">Loss of a pirate’s answer</th>
          </tr>
        </thead>
        <tbody>
          {all.toSorted((a, b) => a.newcomers - b.newcomers || a.pirate - b.pirate).map((one) => (
            <tr key={`${one.pirate} ${one.newcomers}`}>
              <td class="number">{one.pirate}</td>
              <td class="number">{one.newcomers}</td>
              <td>{one.said.trim() || "(nothing)"}</td>
              <td class="number">{one.loss.toFixed(3)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
