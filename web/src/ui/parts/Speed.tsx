import { useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import type { Speed } from "rootstock";
import { copy as copyText } from "../copy.js";
import { count, figures, percent } from "../numbers.js";
import { device } from "../state/device.js";
import { measureSpeed, speed, speedFault, speedProgress, stopMeasuring } from "../state/speed.js";
import { Busy } from "./Busy.js";
import { Button } from "./Button.js";
import { Notice } from "./Notice.js";
import { FaultWords } from "./English.js";
import { text } from "../text/index.js";

/** A button that opens a window with what the device reaches. */
export function SpeedOfDevice() {
  const dialog = useRef<HTMLDialogElement>(null);
  if (!device.value) return null;
  const words = text.device;
  return (
    <>
      <Button kind="quiet" onPress={() => dialog.current?.showModal()}>
        {words.speed}
      </Button>
      <dialog class="speed" ref={dialog} aria-labelledby="speed-title">
        <div class="stack">
          <h2 id="speed-title">{words.speedTitle}</h2>
          <p>{words.speedText}</p>
          <Measuring />
          {speed.value && <Figures speed={speed.value} />}
          <div class="row">
            <Button onPress={() => dialog.current?.close()}>{text.shell.close}</Button>
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
          <Button onPress={stopMeasuring}>{text.shell.stop}</Button>
        </div>
      </>
    );
  }
  return (
    <>
      {speedFault.value !== null && (
        <Notice kind="error">
          <FaultWords of={speedFault.value} />
        </Notice>
      )}
      <div class="row">
        <Button kind="first" onPress={() => void measureSpeed("embedded")}>
          {text.device.measureVillage}
        </Button>
        <Button onPress={() => void measureSpeed("SmolLM2-135M")}>{text.device.measureLarge}</Button>
      </div>
    </>
  );
}

function Figures({ speed }: { speed: Speed }) {
  const copied = useSignal(false);
  const words = text.device;
  // The report as `rootstock bench` prints it, English in every language: it is made to be laid beside others' and to be sent to whoever works on the kernels.
  // Figures of the two are compared line by line, and a line has one spelling. The button says so where the page is not English.
  const copy = async () => {
    await copyText(`${speed.text}\n${navigator.userAgent}\n`);
    copied.value = true;
  };
  return (
    <>
      <p>{words.peaks(speed.device, figures(speed.peak_flops / 1e9, 3), figures(speed.peak_bandwidth / 1e9, 3))}</p>
      <div class="wide" role="region" aria-label={words.stepsAndAnswers} tabIndex={0}>
        <table class="measured">
          <thead>
            <tr>
              <th>{words.what}</th>
              <th class="number">{words.tokensPerSecond}</th>
              <th class="number">{words.ofThePeak}</th>
            </tr>
          </thead>
          <tbody>
            {speed.steps.map((step) => (
              <tr key={step.method}>
                <td>{words.tokensAStep(words.methods[step.method] ?? step.method, step.batch)}</td>
                <td class="number">{count(step.tokens_per_second)}</td>
                <td class="number">{percent(step.utilisation)}</td>
              </tr>
            ))}
            {speed.answers.map((answer) => (
              <tr key={answer.model}>
                <td>{words.writingAnAnswer}</td>
                <td class="number">{figures(answer.tokens_per_second, 3)}</td>
                <td class="number">{percent(answer.fraction_of_bandwidth)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="wide" role="region" aria-label={words.kernels} tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th>{words.kernel}</th>
              <th>{words.shape}</th>
              <th class="number">{words.times}</th>
              <th class="number">{words.ofTheStep}</th>
              <th class="number">{words.ofThePeak}</th>
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
        <Button onPress={copy}>{words.copy}</Button>
        <small role="status">{copied.value ? words.copied : ""}</small>
      </div>
    </>
  );
}
