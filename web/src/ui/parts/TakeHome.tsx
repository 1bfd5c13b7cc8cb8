import { useSignal } from "@preact/signals";
import type { Progress, Run } from "rootstock";
import { bytes } from "../numbers.js";
import { canWriteFolder, saveFolder, saveZip } from "../save.js";
import { listRuns } from "../state/base.js";
import { ask, progressTo } from "../state/engine.js";
import { say } from "../state/faults.js";
import { choose } from "../state/tuned.js";
import { Busy } from "./Busy.js";
import { Button } from "./Button.js";
import { text } from "../text/index.js";

/** Merging and downloading. */
export function TakeHome({ run }: { run: Run }) {
  const progress = useSignal<Progress | null>(null);
  const written = (done: number, total: number) => (progress.value = { what: "Writing", done, total, unit: "bytes" });
  const busy = async (work: () => Promise<void>) => {
    try {
      await work();
    } finally {
      progress.value = null;
    }
  };
  const files = () => ask({ kind: "files", id: run.id });
  const merge = async () => {
    const merged = await ask({ kind: "merge" }, progressTo((now) => (progress.value = now)));
    await listRuns();
    await choose(merged.id);
    say(text.use.merged(merged.name));
  };
  const words = text.use;
  return (
    <section class="part" aria-labelledby="home">
      <h2 id="home">{words.takeHome}</h2>
      <p>{run.model ? words.modelHome : words.adapterHome}</p>
      <div class="row">
        <Button onPress={() => busy(() => saveZip(run.folder, files, written))}>{words.zip}</Button>
        {canWriteFolder && <Button onPress={() => busy(() => saveFolder(run.folder, files, written))}>{words.folder}</Button>}
        {!run.model && <Button onPress={() => busy(merge)}>{words.merge}</Button>}
        <small>
          {bytes(run.result_bytes)}
          {run.bytes > run.result_bytes && words.snapshotsStay(bytes(run.bytes - run.result_bytes))}
        </small>
      </div>
      {progress.value && (
        <div class="spaced">
          <Busy progress={progress.value} />
        </div>
      )}
    </section>
  );
}
