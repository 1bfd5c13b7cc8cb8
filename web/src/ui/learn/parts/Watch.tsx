// A lesson's run while it goes on: how far it is, and a way to end it.
import { Busy } from "../../parts/Busy.js";
import { Button } from "../../parts/Button.js";
import { Notice } from "../../parts/Notice.js";
import { counted, duration } from "../../numbers.js";
import type { Training } from "../training.js";

/** One line on a run. */
export function Watch({ name, run, steps }: { name: string; run: Training; steps: number }) {
  const phase = run.phase.value;
  const lines = run.lines.value;
  const last = lines.at(-1);
  if (phase === "none") return null;
  // Where its snapshot lies in the browser's storage is of no use here.
  if (phase === "failed") return <Notice kind="error">{name}: {run.fault.value?.replace(/ in kept\/[\w/-]+/, "")}</Notice>;
  if (phase === "waiting") return <p class="soft">{name}: waits for its turn.</p>;
  if (phase === "interrupted") {
    return <Notice kind="info">{name}: interrupted after {counted(last?.current_steps ?? 0, "step")}. It goes on from its last snapshot.</Notice>;
  }
  if (phase === "done") {
    const seconds = run.ended.value?.seconds;
    return (
      <p class="soft">
        {name}: {counted(lines.length, "step")}
        {seconds ? ` in ${duration(seconds)}` : ""}, loss {last?.loss.toFixed(3) ?? "–"}.
      </p>
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
              ? { ...progress, what: `${name}: ${progress.what.toLowerCase()}` }
              : { what: last ? `${name}: loss ${last.loss.toFixed(3)}` : name, done: at, total: steps, unit: "steps" }
          }
        />
      </div>
      <Button onPress={() => run.stop()}>Stop</Button>
    </div>
  );
}
