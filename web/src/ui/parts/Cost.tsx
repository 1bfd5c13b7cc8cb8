import type { Estimate } from "rootstock";
import { bytes, count, counted, duration, percent } from "../numbers.js";
import { device } from "../state/device.js";
import { data } from "../state/data.js";
import { measuring, estimate, estimateFault, estimating } from "../state/estimate.js";
import { set } from "../state/recipe.js";
import { Button } from "./Button.js";
import { Notice } from "./Notice.js";

const PARTS = [
  ["weights", "Weights"],
  ["gradients", "Gradients"],
  ["optimizer", "Moments"],
  ["activations", "Activations"],
  ["other", "Other"],
] as const;

/** Parameters, memory and time for the current settings. */
export function Cost() {
  const estimated = estimate.value;
  return (
    <section class="sheet stack" aria-busy={estimating.value}>
      <h2>What it costs</h2>
      {estimateFault.value !== null && <Notice kind="error">{estimateFault.value}</Notice>}
      {estimated ? <Estimated estimate={estimated} /> : estimateFault.value === null && <p class="soft">{waiting()}</p>}
    </section>
  );
}

function waiting(): string {
  if (!device.value) return "Without WebGPU nothing can be trained here, so there is nothing to estimate.";
  if (!data.value) return "Memory and time show once there is data.";
  return "Estimating …";
}

function Estimated({ estimate: { trainable, parameters, memory, available, fits, obstacle, suggestions, steps, seconds, answers, answer_seconds, storage_bytes, notices } }: { estimate: Estimate }) {
  const whole = Math.max(memory.peak, available ?? 0);
  return (
    <>
      <dl class="facts">
        <dt>Parameters that learn</dt>
        <dd>{count(trainable)}</dd>
        <dt>Share of the model</dt>
        <dd>{percent(parameters > 0 ? trainable / parameters : 0)}</dd>
        <dt>Steps</dt>
        <dd>{count(steps)}</dd>
        <dt>Stored in this browser</dt>
        <dd>{bytes(storage_bytes)}</dd>
        <dt>Time</dt>
        <dd>{seconds !== null ? `about ${duration(seconds)}` : measuring.value ? "being measured …" : "not known yet"}</dd>
        {answers > 0 && [
          <dt key="answers">{counted(answers, "answer")} on the way</dt>,
          <dd key="answers=">{answer_seconds !== null ? `about ${duration(answer_seconds)} more` : "time shows with the first"}</dd>,
        ]}
      </dl>
      <div class="stack tight">
        <h3>
          Memory: <span class="number">{bytes(memory.peak)}</span>
          {available !== null && <span class="soft"> of {bytes(available)}</span>}
        </h3>
        <div class="bar" data-over={fits ? undefined : true} aria-hidden="true">
          {PARTS.map(([key]) => (
            <span key={key} data-part={key} style={{ inlineSize: `${(100 * memory[key]) / whole}%` }} />
          ))}
        </div>
        <dl class="facts">
          {PARTS.map(([key, name]) => [
            <dt key={key}>
              <span class="swatch" data-part={key} />
              {name}
            </dt>,
            <dd key={`${key}=`}>{bytes(memory[key])}</dd>,
          ])}
        </dl>
      </div>
      {fits ? (
        <Notice kind="good">It fits.</Notice>
      ) : (
        <Notice kind="error">{obstacle ?? "It does not fit into what this device offers."}</Notice>
      )}
      {notices.map((words) => (
        <Notice key={words} kind="info">
          {words}
        </Notice>
      ))}
      {suggestions.length > 0 && (
        <ul class="stack tight">
          {suggestions.map(({ words, set: keys }) => (
            <li class="row" key={words}>
              <span>{words}</span>
              {Object.keys(keys).length > 0 && (
                <Button label={`Apply: ${words}`} onPress={() => set(keys)}>
                  Apply
                </Button>
              )}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
