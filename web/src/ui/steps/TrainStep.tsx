import { Chart, type Line } from "../charts/Chart.js";
import { bytes, count, counted, duration, figures, short } from "../numbers.js";
import { Busy } from "../parts/Busy.js";
import { Button } from "../parts/Button.js";
import { NumberField } from "../parts/Field.js";
import { NoGpu } from "../parts/NoGpu.js";
import { Notice } from "../parts/Notice.js";
import { Missing, Onward } from "../parts/Onward.js";
import { Figure } from "../parts/Preview.js";
import { RunList } from "../parts/RunList.js";
import { device } from "../state/device.js";
import { base, interrupted, ready, runs } from "../state/base.js";
import { data, dataName } from "../state/data.js";
import { ask } from "../state/engine.js";
import { active, phase } from "../state/phase.js";
import { estimate } from "../state/estimate.js";
import { method, numberOf } from "../state/recipe.js";
import {
  curves,
  last,
  lastEval,
  notices,
  pause,
  progress,
  recent,
  resume,
  samples,
  sampling,
  savedStep,
  start,
  stop,
} from "../state/run.js";
import { wrongOn } from "../state/wrong.js";

const LOSS: readonly Line[] = [
  { name: "loss", token: "leaf" },
  { name: "evaluation", token: "bark", dots: true },
];
const RATE: readonly Line[] = [{ name: "learning rate", token: "slate" }];
const NORM: readonly Line[] = [{ name: "gradient norm", token: "slate" }];
const SPEED: readonly Line[] = [{ name: "tokens / s", token: "slate", format: (value) => count(value) }];
const MEMORY: readonly Line[] = [{ name: "memory", token: "slate", format: bytes }];

export function TrainStep() {
  if (device.value === null) return <NoGpu />;
  const missing = !ready.value ? "base" : !data.value ? "data" : null;
  return (
    <>
      {!active.value ? (
        missing ? (
          <Missing to={missing}>{missing === "base" ? "There is no base that is ready yet." : "There is no data yet."}</Missing>
        ) : (
          <Before />
        )
      ) : (
        <Controls />
      )}
      {notices.value.map((words, index) => (
        <div class="spaced" key={index}>
          <Notice kind="warning">{words}</Notice>
        </div>
      ))}
      {progress.value && (
        <div class="spaced">
          <Busy progress={progress.value} />
        </div>
      )}
      {last.value && <Live />}
      <Samples />
      {!active.value && <Interrupted />}
      {(phase.value === "finished" || phase.value === "stopped") && <Onward to="use" />}
    </>
  );
}

const WORDS = { full: "all parameters", lora: "a LoRA adapter", freeze: "some layers" } as const;

function Before() {
  const fits = estimate.value?.fits !== false;
  const again = phase.value !== "none";
  const wrong = wrongOn("data", "method", "train");
  return (
    <section class="sheet stack">
      <p>
        {again ? "Next run: train" : "Train"} <strong>{WORDS[method.value]}</strong> of <strong>{base.value?.name}</strong> on{" "}
        <strong>{dataName.value}</strong>
        {estimate.value && `: ${counted(estimate.value.steps, "step")}, ${short(estimate.value.trainable)} parameters, ${bytes(estimate.value.memory.peak)} of memory`}.
      </p>
      <SampleSettings />
      <div class="row">
        <Button kind={again ? "plain" : "first"} disabled={!fits || wrong !== null} onPress={() => void start()}>
          {again ? "Start another run" : "Start training"}
        </Button>
        {wrong !== null ? <small>{wrong}</small> : !fits && <small>It does not fit: see Method.</small>}
      </div>
    </section>
  );
}

function SampleSettings() {
  const { every, prompts } = sampling.value;
  return (
    <details>
      <summary>Ask it while it learns</summary>
      <NumberField
        name="Every"
        help="The model answers the prompts below after so many steps; 0 never asks."
        unit="steps"
        whole
        least={0}
        value={every}
        onChange={(value) => (sampling.value = { ...sampling.value, every: value ?? 0 })}
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
  return (
    <div class="row" role="group" aria-label="The run">
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
      <Button disabled={now === "starting" || now === "stopping"} onPress={stop}>
        {now === "stopping" ? "Stopping …" : "Stop and keep"}
      </Button>
      {savedStep.value !== null && <small>Snapshot of step {savedStep.value} is kept.</small>}
    </div>
  );
}

function Live() {
  const line = last.value;
  if (!line) return null;
  const share = line.current_steps / Math.max(1, line.total_steps);
  const running = phase.value === "running" || phase.value === "paused" || phase.value === "pausing";
  return (
    <section class="live" aria-label="The run in figures">
      <progress class="progress" aria-label="Steps done" value={share} max={1} />
      <dl class="figures">
        <Figure name="Step">
          {count(line.current_steps)} <small>of {count(line.total_steps)}</small>
        </Figure>
        <Figure name="Loss">{line.loss.toFixed(4)}</Figure>
        <Figure name="Evaluation">{lastEval.value ? lastEval.value.eval_loss.toFixed(4) : "–"}</Figure>
        <Figure name="Tokens / s">{count(line.tokens_per_second)}</Figure>
        <Figure name="Left">{running && line.remaining_seconds !== null ? duration(line.remaining_seconds) : "–"}</Figure>
        <Figure name="Memory">{line.memory_bytes === null ? "–" : bytes(line.memory_bytes)}</Figure>
      </dl>
      <div class="charts">
        <figure class="large">
          <figcaption>Loss per token, in nats</figcaption>
          <Chart label={`Loss over the steps, now ${line.loss.toFixed(3)}`} lines={LOSS} points={curves.loss} height={220} />
        </figure>
        <figure>
          <figcaption>Learning rate</figcaption>
          <Chart label="Learning rate over the steps" lines={RATE} points={curves.lr} />
        </figure>
        <figure>
          <figcaption>Gradient norm, before clipping at {numberOf("max_grad_norm") ?? 1}</figcaption>
          <Chart label="Gradient norm over the steps" lines={NORM} points={curves.grad_norm} />
        </figure>
        <figure>
          <figcaption>Speed, in tokens per second</figcaption>
          <Chart label="Tokens per second over the steps" lines={SPEED} points={curves.tokens_per_second} />
        </figure>
        {line.memory_bytes !== null && (
          <figure>
            <figcaption>GPU memory</figcaption>
            <Chart label="GPU memory over the steps" lines={MEMORY} points={curves.memory_bytes} />
          </figure>
        )}
      </div>
      <details>
        <summary>The last steps in figures</summary>
        <div class="scroll">
          <table>
            <thead>
              <tr>
                {["Step", "Epoch", "Loss", "Gradient norm", "Learning rate", "Tokens / s"].map((name) => (
                  <th key={name} scope="col" class="number">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {recent.value.map((row) => (
                <tr key={row.current_steps}>
                  <td class="number">{row.current_steps}</td>
                  <td class="number">{row.epoch.toFixed(2)}</td>
                  <td class="number">{row.loss.toFixed(4)}</td>
                  <td class="number">{figures(row.grad_norm)}</td>
                  <td class="number">{row.lr.toExponential(3)}</td>
                  <td class="number">{count(row.tokens_per_second)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </section>
  );
}

function Samples() {
  if (samples.value.length === 0) return null;
  return (
    <section class="part">
      <h2>What it says while it learns</h2>
      <div class="scroll">
        <table class="said">
          <thead>
            <tr>
              <th scope="col" class="number">
                Step
              </th>
              <th scope="col">Asked</th>
              <th scope="col">Answered</th>
            </tr>
          </thead>
          <tbody>
            {samples.value.map(({ step, prompt, text }, index) => (
              <tr key={samples.value.length - index}>
                <td class="number">{step}</td>
                <td>{prompt}</td>
                <td>{text}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}


/** Runs interrupted by a closed tab or a crash. */
function Interrupted() {
  if (!runs.value.some(interrupted)) return null;
  return (
    <section class="part">
      <h2>Interrupted runs</h2>
      <p>A run goes on from its last snapshot and reaches the same losses as without the interruption.</p>
      <RunList
        only={interrupted}
        actions={(run) => (
          <Button kind="first" label={`Go on with ${run.name}`} onPress={() => void start(run.id)}>
            Go on
          </Button>
        )}
      />
    </section>
  );
}
