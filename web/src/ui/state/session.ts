// The visit survives a reload: base, data, settings, prompts and the shown run are kept in this browser's database.
import { effect, signal } from "@preact/signals";
import type { BaseSource, ChatMessage, Columns, Samples, Settings } from "rootstock";
import { route, type Place } from "../route.js";
import { baseSource, listRuns, open, runs, toGiveAgain } from "./base.js";
import { remembers, settings as answering } from "./chat.js";
import { within } from "./database.js";
import { example, files, heldOut, mapping, pasted, pastedFormat, way, written, type Way } from "./data.js";
import { failed } from "./faults.js";
import { restoreFolder } from "./folder.js";
import { active } from "./phase.js";
import { pairs, type Pair } from "./preferences.js";
import { recipe } from "./recipe.js";
import { sampling, showStored, shownRun } from "./run.js";
import { STEPS } from "./steps.js";
import { choose, tuned } from "./tuned.js";

/** What is kept. A page of another version ignores what has another number. */
interface Kept {
  version: 1;
  source: BaseSource | null;
  place: Place;
  way: Way;
  example: string;
  pasted: string;
  pastedFormat: typeof pastedFormat.value;
  mapping: Columns | null;
  written: ChatMessage[][];
  recipe: Settings;
  sampling: Samples;
  answering: typeof answering.value;
  remembers: boolean;
  /** Absent in visits of earlier versions. */
  pairs?: readonly Pair[];
  /** The stored run whose curves are shown. */
  shown: string | null;
  tuned: string | null;
}

/** The files of a visit. They are kept apart, so that they are written when they change and not with every setting. */
interface KeptFiles {
  files: typeof files.value;
  heldOut: typeof heldOut.value;
}

/** The step of the last visit to go on with; `null` if there is none. */
export const restored = signal<Place | null>(null);
/** Whether there are changes that are not written yet, or that this browser refuses to keep. */
export const unsaved = signal(false);

/** Milliseconds without a change before it is written. */
const QUIET = 400;
const KEY = "last";
const FILES = "files";

function now(): Kept {
  const place = route.value;
  return {
    version: 1,
    source: baseSource.value ?? toGiveAgain.value,
    place: STEPS.some((step) => step === place) ? place : (restored.peek() ?? "base"),
    way: way.value,
    example: example.value,
    pasted: pasted.value,
    pastedFormat: pastedFormat.value,
    mapping: mapping.value,
    written: written.value,
    recipe: recipe.value,
    sampling: sampling.value,
    answering: answering.value,
    remembers: remembers.value,
    pairs: pairs.value,
    shown: shownRun.value?.id ?? null,
    tuned: tuned.value?.id ?? null,
  };
}

/** Restores the last visit, then keeps what changes. Without a database the page works, and asks before it is left. */
export async function followSession(): Promise<void> {
  try {
    const kept = (await within("readonly", (store) => store.get(KEY))) as (Kept & Partial<KeptFiles>) | undefined;
    const own = (await within("readonly", (store) => store.get(FILES))) as KeptFiles | undefined;
    // Earlier versions kept the files with the rest.
    if (kept?.version === 1) await restore(kept, own ?? { files: kept.files ?? [], heldOut: kept.heldOut ?? [] });
  } catch (error) {
    console.warn("The last visit cannot be restored:", error);
  }
  keep(KEY, now);
  keep(FILES, (): KeptFiles => ({ files: files.value, heldOut: heldOut.value }));
}

/** What is not written yet. */
const waiting = new Set<string>();

/** Keeps a state whenever it changes. */
function keep(key: string, state: () => unknown): void {
  let first = true;
  let timer: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    const changed = state();
    if (first) {
      first = false;
      return;
    }
    waiting.add(key);
    unsaved.value = true;
    clearTimeout(timer);
    timer = setTimeout(() => {
      within("readwrite", (store) => store.put(changed, key)).then(
        () => {
          waiting.delete(key);
          unsaved.value = waiting.size > 0;
        },
        (error: unknown) => console.warn("The visit cannot be kept:", error),
      );
    }, QUIET);
  });
}

async function restore(kept: Kept, own: KeptFiles): Promise<void> {
  // What the user did while this was read is newer.
  if (baseSource.peek() === null && !active.peek()) {
    way.value = kept.way;
    example.value = kept.example;
    pasted.value = kept.pasted;
    pastedFormat.value = kept.pastedFormat;
    files.value = own.files;
    heldOut.value = own.heldOut;
    mapping.value = kept.mapping;
    written.value = kept.written;
    recipe.value = kept.recipe;
    sampling.value = kept.sampling;
    answering.value = kept.answering;
    remembers.value = kept.remembers;
    pairs.value = kept.pairs ?? [];
    restored.value = kept.source === null ? null : kept.place;
    await reopenBase(kept.source);
  }
  if (runs.peek().length === 0) await listRuns();
  const usable = (id: string | null) => runs.peek().find((run) => run.id === id && run.usable && !run.live);
  const shown = usable(kept.shown);
  if (shown && !active.peek() && shownRun.peek() === null) await showStored(shown.id);
  const chosen = usable(kept.tuned);
  if (chosen && tuned.peek() === null) await choose(chosen.id);
}

/** Opens the base of the last visit if this browser holds it. The network is not asked without the user. */
async function reopenBase(source: BaseSource | null): Promise<void> {
  if (source === null) return;
  if (source.kind === "files" || source.kind === "url") {
    toGiveAgain.value = source;
    if (source.kind === "files") await restoreFolder();
    return;
  }
  try {
    await open(source);
  } catch (error) {
    failed(error); // a run that was deleted meanwhile
  }
}
