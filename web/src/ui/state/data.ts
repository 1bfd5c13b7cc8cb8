// The training data: its source, and its preview as tokens.
import { computed, effect, signal } from "@preact/signals";
import type { ChatMessage, Columns, DataFile, DataSource, Example, Preview, Settings } from "rootstock";
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
export const files = signal<{ name: string; text: string }[]>([]);
/** Evaluation files. */
export const heldOut = signal<{ name: string; text: string }[]>([]);
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

const mapped = (list: { name: string; text: string }[]): DataFile[] => list.map((file) => ({ ...file, columns: mapping.value }));

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
  const more = await ask({ kind: "prepare", ...wanted, first: shown.shown.length, count: SHOWN });
  if (preview.peek() === shown) preview.value = { ...shown, shown: [...shown.shown, ...more.shown] };
}

/** Prepares the current data at once, for a run that starts without a visit to the Data step. */
export async function prepareNow(): Promise<void> {
  const given = data.peek();
  if (!given) throw new Error(text.data.chooseSome);
  preview.value = await ask({ kind: "prepare", data: given, evaluation: evaluation.peek(), recipe: concerning.peek(), first: 0, count: SHOWN });
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
  const names = latest(300, (file: DataFile) => ask({ kind: "columns", file }));
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
  const previews = latest(300, (wanted: Wanted) => ask({ kind: "prepare", ...wanted, first: 0, count: SHOWN }));
  effect(() => {
    const given = data.value;
    const held = evaluation.value;
    const recipe = concerning.value;
    if (active.value) return; // no previews during a run; changes are picked up after it
    if (!given || !ready.value) {
      preview.value = null;
      dataFault.value = null;
      return;
    }
    preparing.value = true;
    previews({ data: given, evaluation: held, recipe }, {
      done: (found) => {
        preview.value = found;
        dataFault.value = null;
        preparing.value = false;
      },
      failed: (error) => {
        preview.value = null;
        dataFault.value = saidOf(error);
        preparing.value = false;
      },
    });
  });
}

export async function listExamples(): Promise<void> {
  examples.value = await ask({ kind: "examples" });
}
