// The base model: opening it, its report, and the models stored in this browser.
import { computed, signal } from "@preact/signals";
import type { Base, BaseSource, Progress, Run, Storage } from "rootstock";
import type { Given } from "../files.js";
import { ask, progressTo } from "./engine.js";
import { failed, fault, say } from "./faults.js";
import { text } from "../text/index.js";

export const base = signal<Base | null>(null);
/** Progress of opening, reading or repairing a base. */
export const opening = signal<Progress | null>(null);
/** Whether every weight was read, not only the headers. */
export const readWhole = signal(false);
/** The steps of a repair, one sentence each. */
export const repaired = signal<string[]>([]);
export const runs = signal<Run[]>([]);
export const storage = signal<Storage | null>(null);

/** Whether a run ended early (by a closed tab, a crash or the user) and is not being resumed. */
export const interrupted = (run: Run) => !run.finished && !run.live;

/** The source of the base, from which a restarted worker opens it again. */
const from = signal<{ source: BaseSource; files: Given[] | undefined } | null>(null);
/** Where the base came from. */
export const baseSource = computed<BaseSource | null>(() => from.value?.source ?? null);
/** The base of the last visit, if only the user can give it again: a folder, or an address. */
export const toGiveAgain = signal<BaseSource | null>(null);
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
    say(text.state.cancelled);
    throw new DOMException(text.state.cancelled, "AbortError"); // requested by the user, so not an error to show
  } finally {
    opening.value = null;
  }
}

const show = () => ({ ...progressTo((progress) => (opening.value = progress)), signal: abort.signal });

/** Cancels opening, reading or repairing; the base stays as it was. */
export function cancelOpening(): void {
  abort.abort();
}

/** Opens a base and shows its report; if that fails, the previous one stays. */
export async function open(source: BaseSource, files?: Given[]): Promise<void> {
  await during("Opening", async () => {
    base.value = await ask({ kind: "open", source }, files ? { ...show(), files } : show());
  });
  from.value = { source, files };
  toGiveAgain.value = null;
  readWhole.value = false;
  repaired.value = [];
  said(base.value);
}

/** Reopens the base after the worker was lost, because the new worker has none. */
export async function reopen(): Promise<void> {
  const known = from.peek();
  if (known) base.value = await ask({ kind: "open", source: known.source }, known.files ? { files: known.files } : {});
}

/** Validates every weight and runs the model. */
export async function readAll(): Promise<void> {
  await during("Reading every weight", async () => {
    const report = await ask({ kind: "validate" }, show());
    if (base.value) base.value = { ...base.value, report };
  });
  readWhole.value = true;
  said(base.value);
}

/** Creates a repaired copy and makes it the base. */
export async function repair(): Promise<void> {
  await during("Repairing", async () => {
    const copy = await ask({ kind: "repair" }, show());
    base.value = copy.base;
    repaired.value = copy.done;
    from.value = { source: { kind: "run", id: copy.id }, files: undefined };
  });
  readWhole.value = false;
  said(base.value);
  await listRuns();
}

function said(opened: Base | null): void {
  if (opened) say(text.check.said(opened.name, text.check.verdicts[opened.report.verdict].spoken));
}

export async function listRuns(): Promise<void> {
  runs.value = await ask({ kind: "runs" });
  ask({ kind: "storage" }).then((found) => (storage.value = found), failed);
}

/** Changes a stored run's name and notes. */
export async function describeRun(id: string, name: string, notes: string): Promise<void> {
  const changed = await ask({ kind: "describe", id, name, notes });
  runs.value = runs.peek().map((run) => (run.id === id ? changed : run));
}

export async function removeRun(id: string): Promise<void> {
  await ask({ kind: "remove", id });
  const source = from.peek()?.source;
  if (source?.kind === "run" && source.id === id) {
    from.value = null;
    base.value = null;
  }
  await listRuns();
  say(text.runs.deleted);
}

/** Asks the browser not to clear this site's storage by itself. Browsers decide silently, or ask the user. */
export async function keepStorage(): Promise<boolean> {
  const granted = (await navigator.storage?.persist?.()) ?? false;
  if (storage.peek()) storage.value = { ...(storage.peek() as Storage), persistent: granted };
  return granted;
}
