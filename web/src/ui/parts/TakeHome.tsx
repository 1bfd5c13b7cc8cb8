import { useSignal } from "@preact/signals";
import type { GgufType, Progress, Run } from "rootstock";
import { bytes } from "../numbers.js";
import { canWriteFolder, saveFolder, saveMade, saveZip } from "../save.js";
import { ask, progressTo } from "../state/engine.js";
import { lossesOf, mergeTuned } from "../state/merge.js";
import { Busy } from "./Busy.js";
import { Button } from "./Button.js";
import { Choice } from "./Choice.js";
import { English } from "./English.js";
import { Notice } from "./Notice.js";
import { text } from "../text/index.js";

/** What is kept beside a result that has no snapshots: its description and log, in bytes at most. */
const DESCRIPTION = 64 * 1024;

/** Downloading, as a folder or as one file for other programs, and merging. */
export function TakeHome({ run }: { run: Run }) {
  const progress = useSignal<Progress | null>(null);
  const remarks = useSignal<string[]>([]);
  const on = progressTo((now) => (progress.value = now));
  const written = (done: number, total: number) => (progress.value = { what: "Writing", done, total, unit: "bytes" });
  const busy = async (work: () => Promise<void>) => {
    try {
      await work();
    } finally {
      progress.value = null;
    }
  };
  const files = () => ask({ kind: "files", id: run.id });
  const words = text.use;
  return (
    <section class="part" aria-labelledby="home">
      <h2 id="home">{words.takeHome}</h2>
      <MergeLosses id={run.id} />
      <div class="two spaced">
        <div class="stack tight">
          <h3>{run.model ? words.asFolder : words.asAdapter}</h3>
          <p class="soft">{run.model ? words.modelHome : words.adapterHome}</p>
          <div class="row">
            <Button onPress={() => busy(() => saveZip(run.folder, files, written))}>{words.zip}</Button>
            {canWriteFolder && <Button onPress={() => busy(() => saveFolder(run.folder, files, written))}>{words.folder}</Button>}
            {!run.model && <Button onPress={() => busy(() => mergeTuned(run, on))}>{words.merge}</Button>}
          </div>
          <small>
            {bytes(run.result_bytes)}
            {run.bytes - run.result_bytes > DESCRIPTION && words.snapshotsStay(bytes(run.bytes - run.result_bytes))}
          </small>
        </div>
        <Gguf
          run={run}
          onTake={(name, outtype, alone) =>
            busy(async () => {
              remarks.value = [];
              try {
                await saveMade(
                  name,
                  async () => {
                    const made = await ask({ kind: "gguf", id: run.id, outtype, alone }, on);
                    remarks.value = made.remarks;
                    return made.file;
                  },
                  written,
                );
              } finally {
                await ask({ kind: "drop_gguf", id: run.id });
              }
            })
          }
        />
      </div>
      {progress.value && (
        <div class="spaced">
          <Busy progress={progress.value} />
        </div>
      )}
      {remarks.value.map((remark) => (
        <div class="spaced" key={remark}>
          <Notice kind="info">
            <English>{remark}</English>
          </Notice>
        </div>
      ))}
    </section>
  );
}

const TYPES = ["f16", "bf16", "f32", "q8_0", "q4_0"] as const satisfies readonly GgufType[];
type Kind = GgufType | "adapter";

/** One file for llama.cpp, Ollama and LM Studio: of which type, or of the adapter alone. */
function Gguf({ run, onTake }: { run: Run; onTake: (name: string, outtype: GgufType, alone: boolean) => Promise<void> }) {
  const kind = useSignal<Kind>("f16");
  const words = text.use.gguf;
  const options = [...TYPES.map((type) => [type, type.toUpperCase()] as const), ...(run.model ? [] : [["adapter", words.adapter] as const])];
  const alone = kind.value === "adapter";
  const name = `${run.folder}.${alone ? "adapter" : kind.value.toUpperCase()}.gguf`;
  return (
    <div class="stack tight">
      <h3>{words.title}</h3>
      <p class="soft">{words.about(run.model)}</p>
      <Choice label={words.type} value={kind.value} options={options} onChange={(value) => (kind.value = value)} />
      <small>{words.types[kind.value]}</small>
      <div class="row">
        <Button onPress={() => onTake(name, kind.value === "adapter" ? "f32" : kind.value, alone)}>{words.take}</Button>
      </div>
    </div>
  );
}

/** What merging changed, on the samples of the run whose adapter was merged. */
function MergeLosses({ id }: { id: string }) {
  const losses = lossesOf(id);
  if (!losses) return null;
  const words = text.use.merging;
  const rows = [
    [words.base, losses.base],
    [words.before, losses.before],
    [words.after, losses.after],
  ] as const;
  return (
    <div class="spaced scroll">
      <table class="narrow">
        <caption>{words.caption(losses.samples, losses.heldOut)}</caption>
        <thead>
          <tr>
            <th scope="col">{words.model}</th>
            <th scope="col" class="number">
              {words.loss}
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, loss]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="number">{loss.toFixed(4)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
