// Recorded runs: a real run's log as a file, and the page showing it again where nothing can be trained. What is replayed is said to be recorded
// wherever it is shown.
import { signal } from "@preact/signals";
import type { EvalLine, Event, RunLog, SampleLine, StepLine } from "rootstock";
import { go } from "../route.js";
import { text } from "../text/index.js";
import { active, phase } from "./phase.js";
import { hear, showRun, type Shown } from "./run.js";

/** A recorded run. */
export interface Recording {
  format: "rootstock-recording";
  version: 1;
  /** What the run is called. */
  name: string;
  /** When it began, in milliseconds since 1970; `null` where that is not known. */
  created: number | null;
  /** What computed it. */
  device: string | null;
  /** How long it took. */
  seconds: number | null;
  base: string;
  data: string;
  method: Shown["method"];
  log: RunLog;
}

/** The recorded run that is shown. */
export const recording = signal<Recording | null>(null);

/** How long a replay takes, in milliseconds, whatever the run took. */
const LENGTH = 40_000;
const FRAME = 100;
/** The most that a recording may hold, in characters. */
const LARGEST = 50_000_000;

/** The recorded run that comes with the page. */
export const OWN = "./recorded-run.json";

/** Shows the recorded run that comes with the page. */
export async function replayOwn(): Promise<void> {
  const response = await fetch(OWN);
  if (!response.ok) throw new Error(text.results.recorded.unread(response.status));
  play(read("recorded-run.json", await response.text()));
}

/** Shows a recording from a file: this page's, or the `trainer_log.jsonl` of the program. */
export async function replayFile(file: File): Promise<void> {
  if (file.size > LARGEST) throw new Error(text.results.recorded.tooLarge(file.name, file.size));
  play(read(file.name, await file.text()));
}

/** Reads a recording, or says what is wrong with it. */
export function read(name: string, content: string): Recording {
  const whole = parsed(content);
  if (isObject(whole) && whole["format"] === "rootstock-recording") {
    if (whole["version"] !== 1) throw new Error(text.results.recorded.later(name));
    const log = isObject(whole["log"]) ? whole["log"] : {};
    const lines = list(log["lines"]).flatMap((line) => stepOf(line) ?? []);
    if (lines.length === 0) throw new Error(text.results.recorded.empty(name));
    const words = (key: string) => (typeof whole[key] === "string" ? whole[key] : "");
    const amount = (key: string) => (typeof whole[key] === "number" ? whole[key] : null);
    const method = words("method");
    return {
      format: "rootstock-recording",
      version: 1,
      name: words("name"),
      created: amount("created"),
      device: words("device") || null,
      seconds: amount("seconds"),
      base: words("base"),
      data: words("data"),
      method: method === "lora" || method === "freeze" ? method : "full",
      log: { lines, evaluations: list(log["evaluations"]).flatMap((line) => evaluationOf(line) ?? []), answers: list(log["answers"]).flatMap((line) => answerOf(line) ?? []) },
    };
  }
  const rows = content.split("\n").map(parsed);
  const lines = rows.flatMap((row) => stepOf(row) ?? []);
  if (lines.length === 0) {
    throw new Error(text.results.recorded.none(name));
  }
  const evaluations = rows.flatMap((row) => evaluationOf(row) ?? []);
  return { format: "rootstock-recording", version: 1, name, created: null, device: null, seconds: null, base: "", data: "", method: "full", log: { lines, evaluations, answers: [] } };
}

function parsed(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    return null;
  }
}

type Fields = Record<string, unknown>;
const isObject = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const finite = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : NaN);

/** A step's line; `null` for anything else. */
function stepOf(row: unknown): StepLine | null {
  if (!isObject(row)) return null;
  const [at, total, loss] = [finite(row["current_steps"]), finite(row["total_steps"]), finite(row["loss"])];
  if (Number.isNaN(at + total + loss)) return null;
  const or0 = (key: string) => finite(row[key]) || 0;
  return {
    current_steps: at,
    total_steps: total,
    loss,
    grad_norm: or0("grad_norm"),
    lr: or0("lr"),
    epoch: or0("epoch"),
    tokens_per_second: or0("tokens_per_second"),
    remaining_seconds: null,
    memory_bytes: finite(row["memory_bytes"]) || null,
    rewards: isObject(row["rewards"]) ? (row["rewards"] as unknown as StepLine["rewards"]) : null,
  };
}

function evaluationOf(row: unknown): EvalLine | null {
  if (!isObject(row)) return null;
  const [at, loss] = [finite(row["current_steps"]), finite(row["eval_loss"])];
  return Number.isNaN(at + loss) ? null : { current_steps: at, eval_loss: loss, rewards: null };
}

function answerOf(row: unknown): SampleLine | null {
  if (!isObject(row) || typeof row["prompt"] !== "string" || typeof row["text"] !== "string") return null;
  const step = finite(row["step"]);
  return Number.isNaN(step) ? null : { step, prompt: row["prompt"], text: row["text"], finish: typeof row["finish"] === "string" ? row["finish"] : "stop" };
}

/** What a run told, in the order in which it told it. */
function eventsOf({ lines, evaluations, answers }: RunLog): { step: number; event: Event }[] {
  const events: { step: number; event: Event }[] = [
    ...lines.map((line) => ({ step: line.current_steps, event: { kind: "step", line } as const })),
    ...evaluations.map((line) => ({ step: line.current_steps, event: { kind: "evaluation", line } as const })),
    ...answers.map((line) => ({ step: line.step, event: { kind: "sample", line } as const })),
  ];
  return events.sort((a, b) => a.step - b.step); // what is of one step stays in this order
}

/** Shows the run from its first step to its last. */
export function play(shown: Recording): void {
  if (active.peek()) throw new Error(text.results.recorded.busy);
  const prompts = [...new Set(shown.log.answers.map(({ prompt }) => prompt))];
  showRun({ id: null, base: shown.base, data: shown.data, method: shown.method, samples: { every: 0, prompts, max_new_tokens: 1 } }, { lines: [], evaluations: [], answers: [] }, "recorded");
  recording.value = shown;
  go("train");
  const events = eventsOf(shown.log);
  const last = events.at(-1)?.step ?? 0;
  const begun = performance.now();
  const timer = setInterval(() => {
    // A run of this tab or another one has taken its place.
    if (recording.peek() !== shown || phase.peek() !== "recorded") {
      clearInterval(timer);
      return;
    }
    const step = ends.has(shown) ? Infinity : ((performance.now() - begun) / LENGTH) * last;
    while (events[0] && events[0].step <= step) hear((events.shift() as (typeof events)[number]).event);
    if (events.length === 0) clearInterval(timer);
  }, FRAME);
}

/** Recordings whose end is wanted at once. */
const ends = new WeakSet<Recording>();

/** Shows the rest of the replay at once. */
export function toTheEnd(): void {
  const now = recording.peek();
  if (now) ends.add(now);
}

/** Takes the recorded run away. */
export function leaveRecording(): void {
  recording.value = null;
  if (phase.peek() === "recorded") showRun({ id: null, base: "", data: "", method: "full", samples: { every: 0, prompts: [], max_new_tokens: 1 } }, { lines: [], evaluations: [], answers: [] }, "none");
}
