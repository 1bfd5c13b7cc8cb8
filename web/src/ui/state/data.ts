// The training data: its source, and its preview as tokens.
import { batch, computed, effect, signal } from "@preact/signals";
import { besideRequest, type ChatMessage, type Columns, type DataFile, type DataSource, type Event, type Example, type GivenFile, type Preview, type Progress, type Settings } from "rootstock";
import { base, ready } from "./base.js";
import { dataWords } from "../names.js";
import { ask } from "./engine.js";
import { latest } from "./latest.js";
import { active } from "./phase.js";
import { set, settled, stage } from "./recipe.js";
import { counted } from "../numbers.js";
import { saidOf, type Said } from "./faults.js";
import { text } from "../text/index.js";

/** How the data is given. Each way keeps its own input. */
export type Way = "example" | "paste" | "files" | "write";

const chosenWay = signal<Way>("example");
/** Whether the page's examples suit the base: they are written for the village model. */
export const suitsVillage = computed(() => base.value === null || base.value.village);
/** How the data is given now. The examples are left out where they do not suit the base. */
export const way = {
  get value(): Way {
    return chosenWay.value === "example" && !suitsVillage.value ? "files" : chosenWay.value;
  },
  set value(next: Way) {
    chosenWay.value = next;
  },
};
export const examples = signal<Example[]>([]);
export const example = signal("village");
export const pasted = signal("");
export const pastedFormat = signal<"jsonl" | "json" | "csv" | "txt">("jsonl");
/** A file of data: given, of which only `begin` is read here, or made by the page. */
export type OwnFile = { name: string; file: File; begin: string } | { name: string; text: string };

export const files = signal<OwnFile[]>([]);
/** Evaluation files. */
export const heldOut = signal<OwnFile[]>([]);

/** How much of a file the page itself reads, for the questions that it proposes. */
const BEGIN = 65_536;

/** A file that was dropped or picked. */
export async function ownFile(name: string, file: File): Promise<OwnFile> {
  const begin = /\.(gz|zst|parquet)$/i.test(name) ? "" : await file.slice(0, BEGIN).text();
  return { name, file, begin };
}

/** What a file begins with. */
export const beginOf = (file: OwnFile | undefined): string => (file === undefined ? "" : "text" in file ? file.text : file.begin);

/** Its size in bytes. */
export const sizeOf = (file: OwnFile): number => ("text" in file ? file.text.length : file.file.size);

export const written = signal<ChatMessage[][]>([
  [
    { role: "user", content: "" },
    { role: "assistant", content: "" },
  ],
]);

/** Which columns of given or pasted records are learned; `null` leaves it to their names. */
export const mapping = signal<Columns | null>(null);
/** The columns that the first file names; empty for plain text. */
export const columns = signal<string[]>([]);

const mapped = (list: OwnFile[]): DataFile[] =>
  list.map((own) => {
    const { name } = own;
    return "text" in own ? { name, text: own.text, columns: mapping.value } : { name, file: besideRequest(own.file).path, columns: mapping.value };
  });

/** The files that travel beside a request about the data. */
export function filesBeside(): GivenFile[] {
  const given = [...(way.value === "files" ? files.peek() : []), ...heldOut.peek()];
  return given.flatMap((own) => ("file" in own ? [besideRequest(own.file)] : []));
}

/** The current data, or `null` if there is none yet. */
export const data = computed<DataSource | null>(() => {
  switch (way.value) {
    case "example":
      return examples.value.some(({ name }) => name === example.value) ? { kind: "example", name: example.value } : null;
    case "paste":
      if (pasted.value.trim() === "") return null;
      return { kind: "files", files: mapped([{ name: `pasted.${pastedFormat.value}`, text: pasted.value }]) };
    case "files":
      return files.value.length > 0 ? { kind: "files", files: mapped(files.value) } : null;
    case "write": {
      const whole = written.value.filter((turns) => turns.length > 0 && turns.every(({ content }) => content.trim() !== ""));
      if (whole.length === 0) return null;
      const text = whole.map((messages) => JSON.stringify({ messages })).join("\n");
      return { kind: "files", files: [{ name: "written.jsonl", text }] };
    }
  }
});

/** The evaluation data, if given by the user or by an example. Otherwise `val_size` holds out records. */
export const evaluation = computed<DataSource | null>(() => {
  if (heldOut.value.length > 0) return { kind: "files", files: mapped(heldOut.value) };
  const given = data.value;
  if (given?.kind !== "example") return null;
  const held = examples.value.find(({ name }) => name === given.name)?.held_out;
  return held ? { kind: "example", name: held } : null;
});

/** The example's id, or the name of what was given. */
export const dataId = computed<string | null>(() => {
  const given = data.value;
  return given?.kind === "example" ? given.name : dataName.value;
});

/** A name for the current data. */
export const dataName = computed<string | null>(() => {
  const given = data.value;
  if (!given) return null;
  if (given.kind === "example") return dataWords(given.name);
  return given.files.length === 1 ? (given.files[0]?.name ?? null) : counted(given.files.length, "file");
});

export const preview = signal<Preview | null>(null);
export const dataFault = signal<Said | null>(null);
export const preparing = signal(false);
/** How much of the data was read. */
export const reading = signal<Progress | null>(null);
/** Whether the user ended the reading. */
export const readingStopped = signal(false);
/** Changed to read the data once more. */
const again = signal(0);

let endReading: () => void = () => undefined;

/** Ends the reading of the data: there is no preview then. */
export function stopReading(): void {
  endReading();
  batch(() => {
    preparing.value = false;
    reading.value = null;
    readingStopped.value = true;
  });
}

/** Reads the data after its reading was ended. */
export function readAgain(): void {
  again.value += 1;
}

/** Number of samples shown at first, and added by "show more". */
const SHOWN = 5;

/** The keys that affect tokenisation. Changes of other keys need no new preview. */
const KEYS = ["stage", "cutoff_len", "max_samples", "train_on_prompt", "mask_history", "packing", "neat_packing", "val_size", "seed", "data_seed"];

const concerningText = computed(() => JSON.stringify(Object.entries(settled.value).filter(([key]) => KEYS.includes(key))));
/** The settings with these keys; the same object as long as none of them changes. */
const concerning = computed<Settings>(() => Object.fromEntries(JSON.parse(concerningText.value) as [string, Settings[string]][]));

interface Wanted {
  data: DataSource;
  evaluation: DataSource | null;
  recipe: Settings;
}

/** Shows more samples. */
export async function showMore(): Promise<void> {
  const [given, shown] = [data.peek(), preview.peek()];
  if (!given || !shown) return;
  const wanted: Wanted = { data: given, evaluation: evaluation.peek(), recipe: concerning.peek() };
  const more = await ask({ kind: "prepare", ...wanted, first: shown.shown.length, count: SHOWN }, { files: filesBeside() });
  if (preview.peek() === shown) preview.value = { ...shown, shown: [...shown.shown, ...more.shown] };
}

/** Prepares the current data at once, for a run that starts without a visit to the Data step. */
export async function prepareNow(): Promise<void> {
  const given = data.peek();
  if (!given) throw new Error(text.data.chooseSome);
  const wanted: Wanted = { data: given, evaluation: evaluation.peek(), recipe: concerning.peek() };
  preview.value = await ask({ kind: "prepare", ...wanted, first: 0, count: SHOWN }, { files: filesBeside() });
  dataFault.value = null;
}

/** Data of pairs of answers is learnt from as such, and other data is not. */
function followPairs(found: string[]): void {
  const pairs = found.includes("chosen") && found.includes("rejected");
  const now = stage.peek();
  if (pairs && (now === "sft" || now === "pt")) set({ stage: "dpo" });
  if (!pairs && found.length > 0 && now === "dpo" && mapping.peek() === null) set({ stage: "sft" });
}

/** Keeps the names of the columns in sync with the data. A mapping whose columns are gone is forgotten. */
function followColumns(): void {
  const names = latest(300, (file: DataFile) => ask({ kind: "columns", file }, { files: filesBeside() }));
  const show = (found: string[]) => {
    columns.value = found;
    followPairs(found);
    const known = mapping.peek();
    if (known && ![known.prompt, known.response ?? known.prompt].every((name) => found.includes(name))) mapping.value = null;
  };
  effect(() => {
    const given = data.value;
    const [first] = given?.kind === "files" && way.value !== "write" ? given.files : [];
    if (!first) {
      names.cancel();
      columns.value = [];
      return;
    }
    // What cannot be read is said by the preview.
    names(first, { done: show, failed: () => show([]) });
  });
}

/** Keeps the preview in sync with base, data and settings. */
export function followData(): void {
  followColumns();
  const previews = latest(300, (wanted: Wanted, signal) => {
    const on = (event: Event) => event.kind === "progress" && !signal.aborted && (reading.value = event.progress);
    return ask({ kind: "prepare", ...wanted, first: 0, count: SHOWN }, { files: filesBeside(), signal, on });
  });
  endReading = previews.cancel;
  effect(() => {
    const given = data.value;
    const held = evaluation.value;
    const recipe = concerning.value;
    void again.value; // tracked
    void base.value; // tracked: the worker forgets the data with the base that they were read for
    if (active.value) return; // no previews during a run; changes are picked up after it
    readingStopped.value = false;
    if (!given || !ready.value) {
      previews.cancel();
      preparing.value = false;
      reading.value = null;
      preview.value = null;
      dataFault.value = null;
      return;
    }
    preparing.value = true;
    reading.value = null;
    previews({ data: given, evaluation: held, recipe }, {
      done: (found) => {
        preview.value = found;
        dataFault.value = null;
        preparing.value = false;
        reading.value = null;
      },
      failed: (error) => {
        preview.value = null;
        dataFault.value = saidOf(error);
        preparing.value = false;
        reading.value = null;
      },
    });
  });
}

export async function listExamples(): Promise<void> {
  examples.value = await ask({ kind: "examples" });
}
