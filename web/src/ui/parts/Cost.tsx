import type { Estimate } from "rootstock";
import { bytes, count, counted, duration, percent } from "../numbers.js";
import { device } from "../state/device.js";
import { data } from "../state/data.js";
import { measuring, estimate, estimateFault, estimating } from "../state/estimate.js";
import { set } from "../state/recipe.js";
import { Button } from "./Button.js";
import { Notice } from "./Notice.js";
import { FaultWords, RemarkWords } from "./English.js";
import { Ways } from "./Ways.js";
import { noticeWords } from "../text/core.js";
import { text } from "../text/index.js";

const PARTS = ["weights", "gradients", "optimizer", "activations", "other"] as const;

/** Parameters, memory and time for the current settings. */
export function Cost() {
  const estimated = estimate.value;
  return (
    <section class="sheet stack" aria-busy={estimating.value}>
      <h2>{text.method.costs}</h2>
      {estimateFault.value !== null && (
        <Notice kind="error">
          <FaultWords of={estimateFault.value} />
        </Notice>
      )}
      {estimated ? <Estimated estimate={estimated} /> : estimateFault.value === null && <p class="soft">{waiting()}</p>}
    </section>
  );
}

function waiting(): string {
  if (!device.value) return text.method.noWebGpu;
  if (!data.value) return text.method.onceData;
  return text.method.estimating;
}

function Estimated({ estimate: { trainable, parameters, memory, available, fits, obstacle, suggestions, steps, seconds, answers, answer_seconds, storage_bytes, notices } }: { estimate: Estimate }) {
  const whole = Math.max(memory.peak, available ?? 0);
  const words = text.method;
  return (
    <>
      <dl class="facts">
        <dt>{words.parametersThatLearn}</dt>
        <dd>{count(trainable)}</dd>
        <dt>{words.share}</dt>
        <dd>{percent(parameters > 0 ? trainable / parameters : 0)}</dd>
        <dt>{words.steps}</dt>
        <dd>{count(steps)}</dd>
        <dt>{words.stored}</dt>
        <dd>{bytes(storage_bytes)}</dd>
        <dt>{words.time}</dt>
        <dd>{seconds !== null ? words.about(duration(seconds)) : measuring.value ? words.beingMeasured : words.notKnown}</dd>
        {answers > 0 && [
          <dt key="answers">{words.answersOnTheWay(counted(answers, "answer"))}</dt>,
          <dd key="answers=">{answer_seconds !== null ? words.aboutMore(duration(answer_seconds)) : words.timeWithFirst}</dd>,
        ]}
      </dl>
      <div class="stack tight">
        <h3>{words.memory(bytes(memory.peak), available === null ? null : bytes(available))}</h3>
        <div class="bar" data-over={fits ? undefined : true} aria-hidden="true">
          {PARTS.map((key) => (
            <span key={key} data-part={key} style={{ inlineSize: `${(100 * memory[key]) / whole}%` }} />
          ))}
        </div>
        <dl class="facts">
          {PARTS.map((key) => [
            <dt key={key}>
              <span class="swatch" data-part={key} />
              {words.memoryParts[key]}
            </dt>,
            <dd key={`${key}=`}>{bytes(memory[key])}</dd>,
          ])}
        </dl>
      </div>
      {fits ? (
        <Notice kind="good">{words.fits}</Notice>
      ) : (
        <Notice kind="error">{obstacle === null ? words.doesNotFit : <RemarkWords>{obstacle}</RemarkWords>}</Notice>
      )}
      {notices.map((notice) => (
        <Notice key={notice} kind="info">
          <RemarkWords>{notice}</RemarkWords>
        </Notice>
      ))}
      <Ways />
      {suggestions.length > 0 && (
        <ul class="stack tight">
          {suggestions.map(({ words: advice, set: keys }) => (
            <li class="row" key={advice}>
              <RemarkWords>{advice}</RemarkWords>
              {Object.keys(keys).length > 0 && (
                <Button label={words.applyThis(noticeWords(advice) ?? advice)} onPress={() => set(keys)}>
                  {words.apply}
                </Button>
              )}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
