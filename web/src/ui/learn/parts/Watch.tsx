// A lesson's run while it goes on: how far it is, and a way to end it.
import { Busy } from "../../parts/Busy.js";
import { Button } from "../../parts/Button.js";
import { FaultWords } from "../../parts/English.js";
import { Notice } from "../../parts/Notice.js";
import { lessonText } from "../../text/lessons.js";
import { counted, duration } from "../../numbers.js";
import type { Training } from "../training.js";

/** One line on a run. */
export function Watch({ name, run, steps, stops = true }: { name: string; run: Training; steps: number; stops?: boolean }) {
  const words = lessonText.parts.run;
  run.called = name;
  const phase = run.phase.value;
  const lines = run.lines.value;
  const last = lines.at(-1);
  if (phase === "none") return null;
  // Where its snapshot lies in the browser's storage is of no use here.
  const fault = run.fault.value;
  if (phase === "failed" && fault !== null) {
    return (
      <Notice kind="error">
        {words.failed(name)}
        <FaultWords of={{ ...fault, sentence: fault.sentence.replace(/ in kept\/[\w/-]+/, "") }} />
      </Notice>
    );
  }
  if (phase === "waiting") return <p class="soft">{words.waits(name)}</p>;
  if (phase === "interrupted") {
    return <Notice kind="info">{words.interrupted(name, counted(last?.current_steps ?? 0, "step"))}</Notice>;
  }
  if (phase === "done") {
    const seconds = run.ended.value?.seconds;
    return (
      <p class="soft">{words.done(name, counted(lines.length, "step"), seconds ? duration(seconds) : null, last?.loss.toFixed(3) ?? "–")}</p>
    );
  }
  const progress = run.progress.value;
  const at = last?.current_steps ?? 0;
  return (
    <div class="row">
      <div class="grow">
        <Busy
          progress={
            progress && (last === undefined || progress.unit !== "steps")
              ? { ...progress, what: words.phase(name, progress.what.toLowerCase()) }
              : { what: last ? words.at(name, last.loss.toFixed(3)) : name, done: at, total: steps, unit: "steps" }
          }
        />
      </div>
      {stops && <Button onPress={() => run.stop()}>{lessonText.parts.stop}</Button>}
    </div>
  );
}
