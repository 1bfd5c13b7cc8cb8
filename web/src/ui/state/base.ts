// The base: opening it, its report, and what this browser keeps.
import { computed, signal } from "@preact/signals";
import type { Base, BaseSource, Progress, Run, Storage, Verdict } from "../../messages.js";
import type { Given } from "../files.js";
import { ask, progressTo } from "./engine.js";
import { failed, fault, say } from "./faults.js";

export const base = signal<Base | null>(null);
/** What is being opened, read or repaired. */
export const opening = signal<Progress | null>(null);
/** Whether every weight was read, beyond the headers. */
export const readWhole = signal(false);
/** What a repair did, a sentence each. */
export const repaired = signal<string[]>([]);
export const runs = signal<Run[]>([]);
export const storage = signal<Storage | null>(null);

/** A run that a closed tab, a crash or a person ended early, and that nobody goes on with. */
export const interrupted = (run: Run) => !run.finished && !run.live;

/** Where the base came from: a worker that had to be started anew opens it again. */
let from: { source: BaseSource; files: Given[] | undefined } | null = null;
let abort = new AbortController();

export const ready = computed(() => base.value?.report.verdict === "ready");

async function during<T>(what: string, work: () => Promise<T>): Promise<T> {
  fault.value = null;
  abort = new AbortController();
  opening.value = { what, done: 0, total: null, unit: "bytes" };
  try {
    return await work();
  } catch (error) {
    if (!abort.signal.aborted) throw error;
    say("It was cancelled.");
    throw new DOMException("It was cancelled.", "AbortError"); // asked for: no fault to show
  } finally {
    opening.value = null;
  }
}

const show = () => ({ ...progressTo((progress) => (opening.value = progress)), signal: abort.signal });

/** Ends what is being opened, read or repaired; the base stays as it was. */
export function cancelOpening(): void {
  abort.abort();
}

/** Opens a base and shows its report; the one before stays where opening fails. */
export async function open(source: BaseSource, files?: Given[]): Promise<void> {
  await during("Opening", async () => {
    base.value = await ask({ kind: "open", source }, files ? { ...show(), files } : show());
  });
  from = { source, files };
  readWhole.value = false;
  repaired.value = [];
  said(base.value);
}

/** After the worker was lost: the new one has nothing open. */
export async function reopen(): Promise<void> {
  if (from) base.value = await ask({ kind: "open", source: from.source }, from.files ? { files: from.files } : {});
}

/** Reads every weight and lets the model speak. */
export async function readAll(): Promise<void> {
  await during("Reading every weight", async () => {
    const report = await ask({ kind: "validate" }, show());
    if (base.value) base.value = { ...base.value, report };
  });
  readWhole.value = true;
  said(base.value);
}

/** Makes a repaired copy, which becomes the base. */
export async function repair(): Promise<void> {
  await during("Repairing", async () => {
    const copy = await ask({ kind: "repair" }, show());
    base.value = copy.base;
    repaired.value = copy.done;
    from = { source: { kind: "run", id: copy.id }, files: undefined };
  });
  readWhole.value = false;
  said(base.value);
  await listRuns();
}

function said(opened: Base | null): void {
  if (opened) say(`${opened.name}: ${verdictWords(opened.report.verdict)}.`);
}

export async function listRuns(): Promise<void> {
  runs.value = await ask({ kind: "runs" });
  ask({ kind: "storage" }).then((found) => (storage.value = found), failed);
}

export async function removeRun(id: string): Promise<void> {
  await ask({ kind: "remove", id });
  if (from?.source.kind === "run" && from.source.id === id) {
    from = null;
    base.value = null;
  }
  await listRuns();
  say("It is deleted.");
}

function verdictWords(verdict: Verdict): string {
  return { ready: "ready", repairable: "not ready, can be repaired", unusable: "cannot be used as it is" }[verdict];
}
