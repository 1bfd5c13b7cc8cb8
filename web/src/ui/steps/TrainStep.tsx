import { useEffect, useRef } from "preact/hooks";
import { bytes, counted, duration, short } from "../numbers.js";
import { Busy } from "../parts/Busy.js";
import { Button } from "../parts/Button.js";
import { NumberField } from "../parts/Field.js";
import { NoGpu } from "../parts/NoGpu.js";
import { Notice } from "../parts/Notice.js";
import { Missing, Onward } from "../parts/Onward.js";
import { RunList } from "../parts/RunList.js";
import { AskLearning } from "../parts/train/AskLearning.js";
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

export function TrainStep() {
  if (device.value === null) return <NoGpu />;
  const missing = !ready.value ? "base" : !data.value ? "data" : null;
  const busy = opening.value ?? progress.value;
  const shows = active.value || hasCurves.value;
  return (
    <>
      {active.value && <Controls />}
      {phase.value === "elsewhere" && (
        <Notice kind="info">
          This run goes on in another tab of this browser and is shown here live. It is paused and stopped there.
        </Notice>
      )}
      <Done />
      {notices.value.map((words, index) => (
        <div class="spaced" key={index}>
          <Notice kind="warning">{words}</Notice>
        </div>
      ))}
      {busy && (
        <div class="spaced">
          <Busy progress={busy} />
        </div>
      )}
      {shows && <Live />}
      {active.value && <AskLearning />}
      {!active.value && (
        <div class={shows ? "part" : undefined}>
          {missing ? (
            <Missing to={missing}>{missing === "base" ? "There is no base that is ready yet." : "There is no data yet."}</Missing>
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

const WORDS = { full: "all parameters", lora: "a LoRA adapter", freeze: "some layers" } as const;

/** What came of the run, in a sentence. */
function Done() {
  const result = ended.value;
  const run = shownRun.value;
  if (active.value || !result?.finished || !run) return null;
  const learnt = result.eval_loss ?? result.train_loss;
  return (
    <div class="spaced">
      <Notice kind="good">
        <strong>Your model is ready:</strong> {run.base}, {run.method === "lora" ? "with an adapter" : "trained"} on {run.data}, in{" "}
        {duration(result.seconds)}
        {learnt === null ? "" : `; ${result.eval_loss === null ? "mean loss" : "loss on held-out answers"} ${learnt.toFixed(3)}`}.
      </Notice>
    </div>
  );
}

function Before() {
  const fits = estimate.value?.fits !== false;
  const again = phase.value !== "none" && phase.value !== "elsewhere";
  const wrong = wrongOn("data", "method", "train");
  const plan = estimate.value;
  return (
    <section class="sheet stack" aria-label="The next run">
      <p>
        {again ? "Next run: train" : "Train"} <strong>{WORDS[method.value]}</strong> of <strong>{base.value?.name}</strong> on{" "}
        <strong>{dataName.value}</strong>
        {plan && `: ${counted(plan.steps, "step")}, ${short(plan.trainable)} parameters, ${bytes(plan.memory.peak)} of memory`}
        {plan?.seconds != null && `, about ${duration(plan.seconds + (plan.answer_seconds ?? 0))}`}.
        {plan !== null && plan.answers > 0 && <AnswersPlanned answers={plan.answers} seconds={plan.answer_seconds} whole={plan.seconds} />}
      </p>
      <SampleSettings />
      <div class="row">
        <Button kind={again ? "plain" : "first"} disabled={!fits || wrong !== null} onPress={startHere}>
          {again ? "Start another run" : "Start training"}
        </Button>
        {wrong !== null ? <small>{wrong}</small> : !fits && <small>It does not fit: see Method.</small>}
      </div>
      {storage.value?.persistent === false && (
        <small>
          Snapshots and the result are kept in this browser. At the start the browser is asked not to clear them when the disk is full.
        </small>
      )}
    </section>
  );
}

function AnswersPlanned({ answers, seconds, whole }: { answers: number; seconds: number | null; whole: number | null }) {
  const time = seconds === null ? "how long they take shows with the first" : `about ${duration(seconds)}${whole === null ? "" : " of it"}`;
  return (
    <small class="line">
      {counted(answers, "answer")} on the way: {time}.
    </small>
  );
}

async function startHere(): Promise<void> {
  // Asked now, by the user's own press: some browsers show a question, and it belongs to the start of a run.
  void keepStorage();
  await start();
}

function SampleSettings() {
  const { every, prompts, max_new_tokens } = sampling.value;
  return (
    <details>
      <summary>Ask it while it learns</summary>
      <NumberField
        name="Every"
        help="The model answers the prompts below before the first step, after so many steps, and at the end; 0 never asks."
        unit="steps"
        whole
        least={0}
        value={every}
        onChange={(value) => (sampling.value = { ...sampling.value, every: value ?? 0 })}
      />
      <NumberField
        name="Longest answer on the way"
        help="An answer is cut after so many tokens. Long answers of a large model take longer than the training."
        unit="tokens"
        whole
        least={1}
        most={1024}
        value={max_new_tokens}
        onChange={(value) => (sampling.value = { ...sampling.value, max_new_tokens: value ?? 40 })}
      />
      <div class="label-above">
        <label for="prompts">Prompts, one a line</label>
        <textarea
          id="prompts"
          rows={3}
          placeholder="Without any, the first questions of the data are asked."
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
  const first = useRef<HTMLDivElement>(null);
  // The start button is gone; the focus goes on to what the run can be told.
  useEffect(() => {
    if (document.activeElement === document.body) first.current?.focus({ preventScroll: true });
  }, []);
  return (
    <div class="row controls" role="group" aria-label="The run" tabIndex={-1} ref={first}>
      {now === "paused" ? (
        <Button kind="first" onPress={resume}>
          Go on
        </Button>
      ) : (
        <Button disabled={now !== "running"} onPress={pause}>
          {now === "pausing" ? "Pausing …" : "Pause"}
        </Button>
      )}
      <Button disabled={now !== "running" && now !== "paused"} onPress={() => ask({ kind: "save" })}>
        Save a snapshot
      </Button>
      <Button disabled={now === "stopping"} onPress={stop}>
        {now === "stopping" ? "Stopping …" : now === "starting" ? "Cancel" : "Stop and keep"}
      </Button>
      {savedStep.value !== null && <small>Snapshot of step {savedStep.value} is kept.</small>}
    </div>
  );
}

/** Runs interrupted by a closed tab or a crash. */
function Interrupted() {
  if (!runs.value.some(interrupted)) return null;
  return (
    <section class="part">
      <h2>Interrupted runs</h2>
      <p>A run goes on from its last snapshot, with its own settings and prompts, and reaches the same losses as without the interruption.</p>
      <RunList
        only={interrupted}
        actions={(run) => (
          <Button kind="first" label={`Go on with ${run.name}`} onPress={() => void start(run)}>
            Go on
          </Button>
        )}
      />
    </section>
  );
}
