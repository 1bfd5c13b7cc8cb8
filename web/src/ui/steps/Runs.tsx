import { useEffect, useMemo, useState } from "preact/hooks";
import { signal, useSignal } from "@preact/signals";
import type { Run, RunLog, Settings } from "rootstock";
import { Chart, type Line } from "../charts/Chart.js";
import { overlay, smooth, type Curve } from "../charts/overlay.js";
import type { Points } from "../charts/points.js";
import { dataWords, modelWords } from "../names.js";
import { figures } from "../numbers.js";
import { Button } from "../parts/Button.js";
import { Choice } from "../parts/Choice.js";
import { Replay } from "../parts/Recorded.js";
import { Delete, Outcome, RunName, Steps } from "../parts/RunList.js";
import { go } from "../route.js";
import { describeRun, runs } from "../state/base.js";
import { ask } from "../state/engine.js";
import { failed, say } from "../state/faults.js";
import { takeRecording } from "../state/record.js";
import { takeSettings } from "../state/recipe.js";
import { choose } from "../state/tuned.js";
import { text } from "../text/index.js";

/** Colours of the curves, by the order in which runs were chosen. */
const TOKENS = ["leaf", "slate", "bark", "rust", "ink"] as const;
/** Runs shown at first. */
const FIRST = 3;

const logs = signal<ReadonlyMap<string, RunLog>>(new Map());
const chosen = signal<readonly string[] | null>(null);
const smoothing = signal(0);

/** The stored runs beside each other: what differs, what came of it, their curves. */
export function Runs() {
  const list = runs.value.filter(({ steps }) => steps > 0);
  const ids = chosen.value ?? list.slice(0, FIRST).map(({ id }) => id);
  const shown = list.filter(({ id }) => ids.includes(id));
  const wanted = shown.map(({ id, step }) => `${id} ${step}`).join(",");
  useEffect(() => {
    for (const { id } of shown) {
      ask({ kind: "log", id }).then((log) => (logs.value = new Map(logs.peek()).set(id, log)), failed);
    }
  }, [wanted]);
  const words = text.runs;
  if (list.length === 0) return <p class="soft">{words.none}</p>;
  const toggle = (id: string, on: boolean) => {
    chosen.value = on ? [...ids, id].slice(-TOKENS.length) : ids.filter((other) => other !== id);
  };
  const different = keysThatDiffer(list);
  const swatch = (id: string) => TOKENS[shown.findIndex((run) => run.id === id)];
  return (
    <>
      <Curves runs={shown} />
      <div class="scroll part">
        <table class="runs experiments">
          <caption>{words.chooseUpTo(TOKENS.length)}</caption>
          <thead>
            <tr>
              <th scope="col">
                <span class="unseen">{words.curve}</span>
              </th>
              <th scope="col">{words.run}</th>
              <th scope="col">{words.differs}</th>
              <th scope="col" class="number">
                {words.steps}
              </th>
              <th scope="col" class="number">
                {words.trainingLoss}
              </th>
              <th scope="col" class="number">
                {words.heldOut}
              </th>
              <th scope="col" class="number">
                {words.timeAndSize}
              </th>
              <th scope="col">
                <span class="unseen">{words.whatToDo}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {list.map((run) => (
              <tr key={run.id}>
                <td>
                  <label class="check">
                    <span class="unseen">{words.showCurve(run.name)}</span>
                    <input type="checkbox" checked={ids.includes(run.id)} onChange={(event) => toggle(run.id, event.currentTarget.checked)} />
                    <span class="swatch" data-token={ids.includes(run.id) ? swatch(run.id) : undefined} />
                  </label>
                </td>
                <th scope="row">
                  <RunName run={run} />
                </th>
                <td>
                  <Different run={run} keys={different} />
                  {!run.live && <Notes run={run} />}
                </td>
                <td class="number" data-name={words.narrow.steps}>
                  <Steps run={run} />
                </td>
                <td class="number" data-name={words.narrow.trainingLoss}>
                  {run.train_loss === null ? "–" : run.train_loss.toFixed(3)}
                </td>
                <Outcome run={run} together />
                <td>
                  <div class="row">
                    {!run.live && run.usable && (
                      <Button label={text.use.tryRun(run.name)} onPress={() => choose(run.id).then(() => go("use"))}>
                        {text.use.try}
                      </Button>
                    )}
                    <Button label={words.takeSettings(run.name)} onPress={() => take(run)}>
                      {words.itsSettings}
                    </Button>
                  </div>
                  <div class="row rarer">
                    {!run.live && run.step > 0 && (
                      <Button kind="quiet" small label={text.results.recorded.takeOf(run.name)} onPress={() => takeRecording(run)}>
                        {text.results.recorded.take}
                      </Button>
                    )}
                    {!run.live && <Delete run={run} small />}
                  </div>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <section class="part" aria-labelledby="recorded">
        <h2 id="recorded">{text.results.recorded.title}</h2>
        <p>{text.results.recorded.about}</p>
        <Replay />
      </section>
    </>
  );
}

function take(run: Run): void {
  takeSettings(run.recipe);
  say(text.runs.settingsTaken(run.name));
  go("method");
}

/** Recipe keys whose values differ among the runs. */
function keysThatDiffer(list: readonly Run[]): string[] {
  const keys = new Set(list.flatMap(({ recipe }) => Object.keys(recipe)));
  keys.delete("run_name");
  keys.delete("finetuning_type"); // has a column of its own
  return [...keys].filter((key) => new Set(list.map(({ recipe }) => String(recipe[key]))).size > 1);
}

function Different({ run, keys }: { run: Run; keys: readonly string[] }) {
  const value = (settings: Settings, key: string) => {
    const one = settings[key];
    return typeof one === "number" ? String(Number(figures(one).replaceAll(",", ""))) : String(one);
  };
  const own = keys.filter((key) => run.recipe[key] !== undefined);
  return (
    <>
      <span class="line">{text.method.short[run.method]}</span>
      {text.runs.dataAndBase(run.data === null ? null : dataWords(run.data), modelWords(run.base))}
      {own.length > 0 && (
        <small class="line">
          {own.map((key, index) => (
            <span key={key}>
              {index > 0 && ", "}
              {text.runs.settings[key] ?? key.replaceAll("_", " ")} {value(run.recipe, key)}
            </span>
          ))}
        </small>
      )}
    </>
  );
}

/** What the user notes on a run. */
function Notes({ run }: { run: Run }) {
  const typed = useSignal<string | null>(null);
  const changed = typed.value !== null && typed.value !== run.notes;
  return (
    <details class="notes" open={run.notes !== ""}>
      <summary>{text.runs.notes}</summary>
      <textarea
        rows={2}
        aria-label={text.runs.notesOn(run.name)}
        value={typed.value ?? run.notes}
        onInput={(event) => (typed.value = event.currentTarget.value)}
      />
      {changed && (
        <Button
          onPress={async () => {
            await describeRun(run.id, "", typed.value ?? "");
            typed.value = null;
          }}
        >
          {text.runs.saveNotes}
        </Button>
      )}
    </details>
  );
}

/** The losses of several runs over each other. */
function Curves({ runs: shown }: { runs: readonly Run[] }) {
  const curves = shown.flatMap(({ id }) => {
    const log = logs.value.get(id);
    return log ? [{ id, log }] : [];
  });
  const key = curves.map(({ id }) => id).join(",");
  const [training, evaluations] = useMemo(() => {
    const of = (points: (log: RunLog) => Curve) => overlay(curves.map(({ log }) => points(log)));
    return [
      of(({ lines }) => smooth(lines.map(({ current_steps, loss }) => [current_steps, loss] as const), smoothing.value)),
      of((log) => log.evaluations.map(({ current_steps, eval_loss }) => [current_steps, eval_loss] as const)),
    ];
  }, [logs.value, key, smoothing.value]);
  const names = (dots: boolean): Line[] =>
    curves.map(({ id }) => ({
      name: shown.find((run) => run.id === id)?.name ?? id,
      token: TOKENS[shown.findIndex((run) => run.id === id)] ?? "ink",
      dots,
    }));
  const words = text.runs;
  const evaluated = curves.some(({ log }) => log.evaluations.length > 0);
  return (
    <section class="stack" aria-label={words.curves}>
      <div class="row">
        <span>{words.smoothing}</span>
        <Choice
          label={words.smoothing}
          value={String(smoothing.value)}
          options={[
            ["0", words.smoothings.none],
            ["0.6", words.smoothings.some],
            ["0.9", words.smoothings.much],
          ]}
          onChange={(value) => (smoothing.value = Number(value))}
        />
      </div>
      <div class="charts">
        <figure>
          <figcaption>{words.trainingCaption(smoothing.value > 0)}</figcaption>
          <Overlaid key={key} label={words.trainingLabel} names={names(false)} points={training} />
        </figure>
        {evaluated && (
          <figure>
            <figcaption>{words.heldOutCaption}</figcaption>
            <Overlaid key={key} label={words.heldOutLabel} names={names(true)} points={evaluations} />
          </figure>
        )}
      </div>
    </section>
  );
}

/** A chart whose lines stay the same for as long as it lives (its key says for how long); their points may change. */
function Overlaid({ label, names, points }: { label: string; names: Line[]; points: Points }) {
  const [lines] = useState(names);
  const shown = useSignal(points);
  useEffect(() => {
    shown.value = points;
  }, [points]);
  if (lines.length === 0) return <p class="soft empty">{text.runs.chooseBelow}</p>;
  return <Chart label={label} lines={lines} points={shown} x={text.train.lines.step} height={240} />;
}
