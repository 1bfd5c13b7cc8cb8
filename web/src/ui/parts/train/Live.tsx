import { Chart, type Line } from "../../charts/Chart.js";
import type { Rewards } from "rootstock";
import { bytes, count, duration, figures, percent } from "../../numbers.js";
import { Figure } from "../Preview.js";
import { phase } from "../../state/phase.js";
import { numberOf } from "../../state/recipe.js";
import { curves, last, lastEval, recent } from "../../state/run.js";
import { AllAnswers, Answers } from "./Answers.js";

const LOSS: readonly Line[] = [
  { name: "loss", token: "leaf" },
  { name: "evaluation", token: "bark", dots: true },
];
const RATE: readonly Line[] = [{ name: "learning rate", token: "slate" }];
const NORM: readonly Line[] = [{ name: "gradient norm", token: "slate" }];
const SPEED: readonly Line[] = [{ name: "tokens / s", token: "slate", format: (value) => count(value) }];
const REWARDS: readonly Line[] = [
  { name: "preferred", token: "leaf" },
  { name: "rejected", token: "bark" },
];
const MEMORY: readonly Line[] = [{ name: "memory", token: "slate", format: bytes }];

/** A run in figures and curves, with its answers beside the loss. */
export function Live() {
  const line = last.value;
  const running = ["running", "paused", "pausing", "elsewhere"].includes(phase.value);
  const share = line ? line.current_steps / Math.max(1, line.total_steps) : 0;
  return (
    <section class="live" aria-label="The run in figures">
      {line && <progress class="progress" aria-label="Steps done" value={share} max={1} />}
      {line && (
        <dl class="figures six">
          <Figure name="Step">
            {count(line.current_steps)} <small>of {count(line.total_steps)}</small>
          </Figure>
          <Figure name="Loss">{line.loss.toFixed(4)}</Figure>
          <Figure name="Evaluation">{lastEval.value ? lastEval.value.eval_loss.toFixed(4) : "–"}</Figure>
          <Figure name="Tokens / s">{count(line.tokens_per_second)}</Figure>
          <Figure name="Left">{running && line.remaining_seconds !== null ? duration(line.remaining_seconds) : "–"}</Figure>
          <Figure name="Memory">{line.memory_bytes === null ? "–" : bytes(line.memory_bytes)}</Figure>
        </dl>
      )}
      {line?.rewards && <Preferences rewards={line.rewards} />}
      <div class="beside">
        <figure>
          <figcaption>
            {line?.rewards ? "Loss: how far the answers are from being told apart" : "Loss per token, in nats: how much the right answers surprise it"}
          </figcaption>
          <Chart
            label={line ? `Loss over the steps, now ${line.loss.toFixed(3)}` : "Loss over the steps; no step is done yet"}
            lines={LOSS}
            points={curves.loss}
            height={260}
            {...(line ? { most: line.total_steps } : {})}
          />
        </figure>
        <Answers />
      </div>
      {line && <More />}
    </section>
  );
}

/** How well the answers are told apart, in the last steps and on the evaluation's. */
function Preferences({ rewards: { chosen, rejected, accuracy } }: { rewards: Rewards }) {
  const held = lastEval.value?.rewards ?? null;
  const reward = (value: number | null) => (value === null ? "–" : value.toFixed(3));
  const share = (value: number | null | undefined) => (value === null || value === undefined ? "–" : percent(value));
  return (
    <dl class="figures six" aria-label="The answers">
      <Figure name="Preferred">{reward(chosen)}</Figure>
      <Figure name="Rejected">{reward(rejected)}</Figure>
      <Figure name="Margin">{reward(chosen === null || rejected === null ? null : chosen - rejected)}</Figure>
      <Figure name="Told apart">{share(accuracy)}</Figure>
      <Figure name="Evaluation">{share(held?.accuracy)}</Figure>
    </dl>
  );
}

function More() {
  const line = last.value;
  if (!line) return null;
  return (
    <>
      <div class="charts">
        {line.rewards && (
          <figure>
            <figcaption>Reward: what an answer gained over what the model was</figcaption>
            <Chart label="Rewards of preferred and rejected answers over the steps" lines={REWARDS} points={curves.rewards} most={line.total_steps} />
          </figure>
        )}
        <figure>
          <figcaption>Learning rate</figcaption>
          <Chart label="Learning rate over the steps" lines={RATE} points={curves.lr} most={line.total_steps} />
        </figure>
        <figure>
          <figcaption>Gradient norm, before clipping at {numberOf("max_grad_norm") ?? 1}</figcaption>
          <Chart label="Gradient norm over the steps" lines={NORM} points={curves.grad_norm} most={line.total_steps} />
        </figure>
        <figure>
          <figcaption>Speed, in tokens per second</figcaption>
          <Chart label="Tokens per second over the steps" lines={SPEED} points={curves.tokens_per_second} most={line.total_steps} />
        </figure>
        {line.memory_bytes !== null && (
          <figure>
            <figcaption>GPU memory</figcaption>
            <Chart label="GPU memory over the steps" lines={MEMORY} points={curves.memory_bytes} most={line.total_steps} fromZero />
          </figure>
        )}
      </div>
      <AllAnswers />
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
    </>
  );
}
