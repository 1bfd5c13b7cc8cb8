// Takes a kept run home as a recording.
import type { Run } from "rootstock";
import { dataWords } from "../names.js";
import { save } from "../save.js";
import { device } from "./device.js";
import { ask } from "./engine.js";
import type { Recording } from "./recording.js";
import { methodOf } from "./run.js";

/** Takes a stored run home as a recording. */
export async function takeRecording(run: Run): Promise<void> {
  save(`${run.folder}.recording.json`, new Blob([JSON.stringify(await record(run))], { type: "application/json" }));
}

/** The recording of a stored run. */
export async function record(run: Run): Promise<Recording> {
  const log = await ask({ kind: "log", id: run.id });
  return {
    format: "rootstock-recording",
    version: 1,
    name: run.name,
    created: run.created,
    device: device.peek()?.name ?? null,
    seconds: run.seconds,
    base: run.base,
    data: dataWords(run.data ?? ""),
    method: methodOf(run),
    log,
  };
}
