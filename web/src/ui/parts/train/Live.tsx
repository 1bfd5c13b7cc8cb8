import { computed } from "@preact/signals";
import { Chart, type Line } from "../../charts/Chart.js";
import type { Rewards, StepLine } from "rootstock";
import { bytes, count, duration, figures, percent } from "../../numbers.js";
import { Figure } from "../Preview.js";
import { active, phase } from "../../state/phase.js";
import { numberOf } from "../../state/recipe.js";
import { curves, last, lastEval, recent } from "../../state/run.js";
import { RecordedMark } from "../Recorded.js";
import { AllAnswers, Answers, prompts } from "./Answers.js";
import { AskLearning } from "./AskLearning.js";
import { text } from "../../text/index.js";

/** The lines of the charts. They stay the same while the language does, because a chart is drawn anew for other ones. */
const chartLines = computed(() => {
  const { lines } = text.train;
  const line = (name: string, token = "slate", more: Partial<Line> = {}): Line => ({ name, token, ...more });
  return {
    loss: [line(lines.loss, "leaf"), line(lines.evaluation, "bark", { dots: true })],
    rate: [line(lines.rate)],
    norm: [line(lines.norm)],
    speed: [line(lines.speed, "slate", { format: count })],
    rewards: [line(lines.preferred, "leaf"), line(lines.rejected, "bark")],
    memory: [line(lines.memory, "slate", { format: bytes })],
  };
});

/** A run in figures and curves, with what it says beside them. */
export function Live() {
  const line = last.value;
  const words = text.train;
  const running = ["running", "paused", "pausing", "elsewhere"].includes(phase.value);
  const share = line ? line.current_steps / Math.max(1, line.total_steps) : 0;
  const speaks = prompts.value.length > 0 || active.value;
  return (
    <section class="live" aria-label={words.inFigures}>
      {line && <progress class="progress" aria-label={words.stepsDone} value={share} max={1} />}
      {line && (
        <dl class="figures six">
          <Figure name={words.step}>
            {words.stepOf(count(line.current_steps), count(line.total_steps))}
            <RecordedMark />
          </Figure>
          <Figure name={words.loss}>{line.loss.toFixed(4)}</Figure>
          <Figure name={words.evaluation}>{lastEval.value ? lastEval.value.eval_loss.toFixed(4) : "–"}</Figure>
          <Figure name={words.tokensPerSecond}>{count(line.tokens_per_second)}</Figure>
          <Figure name={words.left}>{running && line.remaining_seconds !== null ? duration(line.remaining_seconds) : "–"}</Figure>
          <Figure name={words.memory}>{line.memory_bytes === null ? "–" : bytes(line.memory_bytes)}</Figure>
        </dl>
      )}
      {line?.rewards && <Preferences rewards={line.rewards} />}
      <div class="beside">
        <figure class="loss">
          <figcaption>
            <RecordedMark /> {line?.rewards ? words.preferenceCaption : words.lossCaption}
          </figcaption>
          {line ? (
            <Chart
              label={words.lossNow(line.loss.toFixed(3))}
              lines={chartLines.value.loss}
              x={words.lines.step}
              points={curves.loss}
              height={260}
              most={line.total_steps}
            />
          ) : (
            <p class="soft no-curve">{words.lossNoStep}</p>
          )}
        </figure>
        {speaks && (
          <div class="says stack">
            <Answers />
            {active.value && <AskLearning />}
            <AllAnswers />
          </div>
        )}
        {line && <SmallCurves line={line} />}
      </div>
      {line && <LastSteps />}
    </section>
  );
}

/** How well the answers are told apart, in the last steps and on the evaluation's. */
function Preferences({ rewards: { chosen, rejected, accuracy } }: { rewards: Rewards }) {
  const held = lastEval.value?.rewards ?? null;
  const words = text.train;
  const reward = (value: number | null) => (value === null ? "–" : value.toFixed(3));
  const share = (value: number | null | undefined) => (value === null || value === undefined ? "–" : percent(value));
  return (
    <dl class="figures six" aria-label={words.answersLabel}>
      <Figure name={words.preferred}>{reward(chosen)}</Figure>
      <Figure name={words.rejected}>{reward(rejected)}</Figure>
      <Figure name={words.margin}>{reward(chosen === null || rejected === null ? null : chosen - rejected)}</Figure>
      <Figure name={words.toldApart}>{share(accuracy)}</Figure>
      <Figure name={words.evaluation}>{share(held?.accuracy)}</Figure>
    </dl>
  );
}

/** What else a step tells, in small charts. */
function SmallCurves({ line }: { line: StepLine }) {
  const words = text.train;
  const { lines } = words;
  return (
    <div class="charts">
      {line.rewards && (
        <figure>
          <figcaption>{words.rewardCaption}</figcaption>
          <Chart label={words.rewardLabel} x={lines.step} lines={chartLines.value.rewards} points={curves.rewards} most={line.total_steps} />
        </figure>
      )}
      <figure>
        <figcaption>{words.rate}</figcaption>
        <Chart label={words.rateLabel} x={lines.step} lines={chartLines.value.rate} points={curves.lr} most={line.total_steps} />
      </figure>
      <figure>
        <figcaption>{words.normCaption(numberOf("max_grad_norm") ?? 1)}</figcaption>
        <Chart label={words.normLabel} x={lines.step} lines={chartLines.value.norm} points={curves.grad_norm} most={line.total_steps} />
      </figure>
      <figure>
        <figcaption>{words.speedCaption}</figcaption>
        <Chart label={words.speedLabel} x={lines.step} lines={chartLines.value.speed} points={curves.tokens_per_second} most={line.total_steps} />
      </figure>
      {line.memory_bytes !== null && (
        <figure>
          <figcaption>{words.memoryCaption}</figcaption>
          <Chart label={words.memoryLabel} x={lines.step} lines={chartLines.value.memory} points={curves.memory_bytes} most={line.total_steps} fromZero />
        </figure>
      )}
    </div>
  );
}

function LastSteps() {
  const words = text.train;
  return (
    <details>
      <summary>{words.lastSteps}</summary>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              {[words.step, words.epoch, words.loss, words.norm, words.rate, words.tokensPerSecond].map((name) => (
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
  );
}
