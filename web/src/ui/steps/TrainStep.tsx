import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { bytes, counted, duration, short } from "../numbers.js";
import { Busy } from "../parts/Busy.js";
import { Button } from "../parts/Button.js";
import { NumberField } from "../parts/Field.js";
import { NoGpu } from "../parts/NoGpu.js";
import { Notice } from "../parts/Notice.js";
import { Missing, Onward } from "../parts/Onward.js";
import { RecordedNotice } from "../parts/Recorded.js";
import { RunList } from "../parts/RunList.js";
import { Ways } from "../parts/Ways.js";
import { Live } from "../parts/train/Live.js";
import { device } from "../state/device.js";
import { base, interrupted, keepStorage, opening, ready, runs, storage } from "../state/base.js";
import { data, dataName } from "../state/data.js";
import { ask } from "../state/engine.js";
import { active, phase } from "../state/phase.js";
import { estimate } from "../state/estimate.js";
import { method } from "../state/recipe.js";
import { ended, hasCurves, notices, pause, progress, resume, sampling, savedStep, shownRun, start, stop } from "../state/run.js";
import { wrongOn } from "../state/wrong.js";
import { dataWords, modelWords } from "../names.js";
import { NoticeWords } from "../parts/English.js";
import { text } from "../text/index.js";

export function TrainStep() {
  const recorded = phase.value === "recorded";
  if (device.value === null && !recorded) return <NoGpu />;
  const missing = !ready.value ? "base" : !data.value ? "data" : null;
  const busy = opening.value ?? progress.value;
  const shows = active.value || hasCurves.value;
  const words = text.train;
  return (
    <>
      <RecordedNotice />
      {active.value && <Controls />}
      {phase.value === "elsewhere" && (
        <Notice kind="info">{words.elsewhere}</Notice>
      )}
      <Done />
      {notices.value.map((notice, index) => (
        <div class="spaced" key={index}>
          <Notice kind="warning">
            <NoticeWords of={notice} />
          </Notice>
        </div>
      ))}
      {busy && (
        <div class="spaced">
          <Busy progress={busy} />
        </div>
      )}
      {shows && <Live />}
      {!active.value && device.value !== null && (
        <div class={shows ? "part" : undefined}>
          {missing ? (
            <Missing to={missing}>{missing === "base" ? words.noBase : words.noData}</Missing>
          ) : (
            <Before />
          )}
        </div>
      )}
      {!active.value && <Interrupted />}
      {(phase.value === "finished" || phase.value === "stopped") && <Onward to="use" />}
    </>
  );
}

/** What came of the run, in a sentence. */
function Done() {
  const result = ended.value;
  const run = shownRun.value;
  if (active.value || !result?.finished || !run) return null;
  const learnt = result.eval_loss ?? result.train_loss;
  const words = text.train;
  return (
    <div class="spaced">
      <Notice kind="good">
        <strong>{words.isReady}</strong>
        {text.units.gap}
        {words.done(modelWords(run.base), run.method === "lora", dataWords(run.data), duration(result.seconds), learnt?.toFixed(3) ?? null, result.eval_loss !== null)}
      </Notice>
    </div>
  );
}

function Before() {
  const fits = estimate.value?.fits !== false;
  const again = !["none", "elsewhere", "recorded"].includes(phase.value);
  const wrong = wrongOn("data", "method", "train");
  const plan = estimate.value;
  const words = text.train;
  const planned = plan && {
    steps: counted(plan.steps, "step"),
    parameters: short(plan.trainable),
    memory: bytes(plan.memory.peak),
    time: plan.seconds === null ? null : duration(plan.seconds + (plan.answer_seconds ?? 0)),
  };
  return (
    <section class="sheet stack" aria-label={words.nextRun}>
      <p>
        {words.before(again, method.value, modelWords(base.value?.name ?? ""), dataName.value ?? "", planned)}
        {plan !== null && plan.answers > 0 && <AnswersPlanned answers={plan.answers} seconds={plan.answer_seconds} whole={plan.seconds} />}
      </p>
      <SampleSettings />
      {plan !== null && <OtherWays />}
      <div class="row">
        <Button kind={again ? "plain" : "first"} disabled={!fits || wrong !== null} onPress={startHere}>
          {again ? words.startAnother : words.start}
        </Button>
        {wrong !== null ? <small>{wrong}</small> : !fits && <small>{words.doesNotFit}</small>}
      </div>
      {storage.value?.persistent === false && (
        <small>{words.keptHere}</small>
      )}
    </section>
  );
}

/** Planned when they are looked at. */
function OtherWays() {
  const open = useSignal(false);
  return (
    <details onToggle={({ currentTarget }) => (open.value = currentTarget.open)}>
      <summary>{text.method.ways.title}</summary>
      {open.value && <Ways />}
    </details>
  );
}

function AnswersPlanned({ answers, seconds, whole }: { answers: number; seconds: number | null; whole: number | null }) {
  return <small class="line">{text.train.answersPlanned(counted(answers, "answer"), seconds === null ? null : duration(seconds), whole !== null)}</small>;
}

async function startHere(): Promise<void> {
  // Asked now, by the user's own press: some browsers show a question, and it belongs to the start of a run.
  void keepStorage();
  await start();
}

function SampleSettings() {
  const { every, prompts, max_new_tokens } = sampling.value;
  const words = text.train;
  return (
    <details>
      <summary>{words.askIt}</summary>
      <NumberField
        of="sampling.every"
        {...words.every}
        unit={words.stepsUnit}
        whole
        least={0}
        value={every}
        onChange={(value) => (sampling.value = { ...sampling.value, every: value ?? 0 })}
      />
      <NumberField
        of="sampling.longest"
        {...words.longestAnswer}
        unit={words.tokensUnit}
        whole
        least={1}
        most={1024}
        value={max_new_tokens}
        onChange={(value) => (sampling.value = { ...sampling.value, max_new_tokens: value ?? 40 })}
      />
      <div class="label-above">
        <label for="prompts">{words.prompts}</label>
        <textarea
          id="prompts"
          rows={3}
          placeholder={words.promptsPlaceholder}
          value={prompts.join("\n")}
          onInput={(event) => {
            const lines = event.currentTarget.value.split("\n");
            sampling.value = { ...sampling.value, prompts: lines };
          }}
        />
      </div>
    </details>
  );
}

function Controls() {
  const now = phase.value;
  const words = text.train;
  const first = useRef<HTMLDivElement>(null);
  // The start button is gone; the focus goes on to what the run can be told.
  useEffect(() => {
    if (document.activeElement === document.body) first.current?.focus({ preventScroll: true });
  }, []);
  return (
    <div class="row controls" role="group" aria-label={words.theRun} tabIndex={-1} ref={first}>
      {now === "paused" ? (
        <Button kind="first" onPress={resume}>
          {words.goOn}
        </Button>
      ) : (
        <Button disabled={now !== "running"} onPress={pause}>
          {now === "pausing" ? words.pausing : words.pause}
        </Button>
      )}
      <Button disabled={now !== "running" && now !== "paused"} onPress={() => ask({ kind: "save" })}>
        {words.saveSnapshot}
      </Button>
      <Button disabled={now === "stopping"} onPress={stop}>
        {now === "stopping" ? words.stopping : now === "starting" ? text.shell.cancel : words.stopAndKeep}
      </Button>
      {savedStep.value !== null && <small>{words.snapshotKept(savedStep.value)}</small>}
    </div>
  );
}

/** Runs interrupted by a closed tab or a crash. */
function Interrupted() {
  if (!runs.value.some(interrupted)) return null;
  const words = text.train;
  return (
    <section class="part">
      <h2>{words.interrupted}</h2>
      <p>{words.interruptedText}</p>
      <RunList
        only={interrupted}
        actions={(run) => (
          <Button kind="first" label={words.goOnWith(run.name)} onPress={() => void start(run)}>
            {words.goOn}
          </Button>
        )}
      />
    </section>
  );
}
