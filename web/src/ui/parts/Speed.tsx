import { useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import type { Speed } from "rootstock";
import { count, figures, percent } from "../numbers.js";
import { device } from "../state/device.js";
import { measureSpeed, speed, speedFault, speedProgress, stopMeasuring } from "../state/speed.js";
import { Busy } from "./Busy.js";
import { Button } from "./Button.js";
import { Notice } from "./Notice.js";

/** A button that opens a window with what the device reaches. */
export function SpeedOfDevice() {
  const dialog = useRef<HTMLDialogElement>(null);
  if (!device.value) return null;
  return (
    <>
      <Button kind="quiet" onPress={() => dialog.current?.showModal()}>
        Speed
      </Button>
      <dialog class="speed" ref={dialog} aria-labelledby="speed-title">
        <div class="stack">
          <h2 id="speed-title">Speed of this device</h2>
          <p>
            Training steps and answers of a model's shape with random weights, beside the device's own peaks, measured in the same minute. Close other
            programs for figures that mean something.
          </p>
          <Measuring />
          {speed.value && <Figures speed={speed.value} />}
          <div class="row">
            <Button onPress={() => dialog.current?.close()}>Close</Button>
          </div>
        </div>
      </dialog>
    </>
  );
}

function Measuring() {
  if (speedProgress.value) {
    return (
      <>
        <Busy progress={speedProgress.value} />
        <div class="row">
          <Button onPress={stopMeasuring}>Stop</Button>
        </div>
      </>
    );
  }
  return (
    <>
      {speedFault.value !== null && <Notice kind="error">{speedFault.value}</Notice>}
      <div class="row">
        <Button kind="first" onPress={() => void measureSpeed("embedded")}>
          Measure the village model
        </Button>
        <Button onPress={() => void measureSpeed("SmolLM2-135M")}>Measure SmolLM2-135M (2.4 GB of GPU memory)</Button>
      </div>
    </>
  );
}

const METHODS: Record<string, string> = { full: "All parameters", lora: "LoRA" };

function Figures({ speed }: { speed: Speed }) {
  const copied = useSignal(false);
  const copy = async () => {
    await navigator.clipboard.writeText(`${speed.text}\n${navigator.userAgent}\n`);
    copied.value = true;
  };
  return (
    <>
      <p>
        {speed.device}: {figures(speed.peak_flops / 1e9, 3)} GFLOP/s, {figures(speed.peak_bandwidth / 1e9, 3)} GB/s at its peak.
      </p>
      <div class="wide" role="region" aria-label="Steps and answers" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th>What</th>
              <th>Tokens a second</th>
              <th>Of the peak</th>
            </tr>
          </thead>
          <tbody>
            {speed.steps.map((step) => (
              <tr key={step.method}>
                <td>
                  {METHODS[step.method] ?? step.method}, {step.batch} tokens a step
                </td>
                <td class="number">{count(step.tokens_per_second)}</td>
                <td class="number">{percent(step.utilisation)}</td>
              </tr>
            ))}
            {speed.answers.map((answer) => (
              <tr key={answer.model}>
                <td>Writing an answer</td>
                <td class="number">{figures(answer.tokens_per_second, 3)}</td>
                <td class="number">{percent(answer.fraction_of_bandwidth)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="wide" role="region" aria-label="Kernels" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th>Kernel</th>
              <th>Shape</th>
              <th>Times</th>
              <th>Of the step</th>
              <th>Of the peak</th>
            </tr>
          </thead>
          <tbody>
            {speed.kernels.map((kernel) => (
              <tr key={`${kernel.name} ${kernel.shape}`}>
                <td>{kernel.name}</td>
                <td>{kernel.shape}</td>
                <td class="number">{count(kernel.count)}</td>
                <td class="number">{percent(kernel.share)}</td>
                <td class="number">{percent(kernel.fraction_of_peak)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="row">
        <Button onPress={copy}>Copy as text</Button>
        <small role="status">{copied.value ? "Copied" : ""}</small>
      </div>
    </>
  );
}
