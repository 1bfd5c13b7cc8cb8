// The run: its events, and the buttons that control it.
import { batch, computed, signal, type Signal } from "@preact/signals";
import type { Points } from "../charts/points.js";
import type { Ended, EvalLine, Event, Progress, Run, RunLog, SampleLine, Samples, StepLine } from "rootstock";
import { base, listRuns, runs } from "./base.js";
import { dataId } from "./data.js";
import { ask } from "./engine.js";
import { failed, fault, say } from "./faults.js";
import { active, phase, type Phase } from "./phase.js";
import { questions } from "./questions.js";
import { method, settled, type Method } from "./recipe.js";
import { text } from "../text/index.js";

export const progress = signal<Progress | null>(null);
export const last = signal<StepLine | null>(null);
export const lastEval = signal<EvalLine | null>(null);
/** The answers during training, newest first. */
export const samples = signal<SampleLine[]>([]);
/** The answer that is being written. */
export const writing = signal<{ step: number; prompt: string; text: string } | null>(null);
/** A notice: of the page, as a function that says it in the present language, or of the core, which speaks English. */
export type RunNotice = { page: () => string } | { core: string };

/** Notices for the user: resumed from a snapshot, a lost device, a full disk. */
export const notices = signal<RunNotice[]>([]);
export const savedStep = signal<number | null>(null);
/** The result of the last run. */
export const ended = signal<Ended | null>(null);

/** The run that is shown: what it trains, and from what. A resumed run may differ from the current settings. */
export interface Shown {
  /** The stored run's id, once it has one. */
  id: string | null;
  base: string;
  /** The id of an example, or the name of a file. */
  data: string;
  method: Method;
  /** The prompts that it answers. */
  samples: Samples;
}
export const shownRun = signal<Shown | null>(null);

/** The sampling during training: its interval in steps, and the prompts. */
export const sampling = signal<Samples>({ every: 25, prompts: [], max_new_tokens: 40 });

export type Curve = "loss" | "lr" | "grad_norm" | "tokens_per_second" | "memory_bytes" | "rewards";

/** The points of the curves; the second line of `loss` holds the evaluations. */
export const curves: Record<Curve, Signal<Points>> = {
  loss: signal<Points>([[], [], []]),
  lr: signal<Points>([[], []]),
  grad_norm: signal<Points>([[], []]),
  tokens_per_second: signal<Points>([[], []]),
  memory_bytes: signal<Points>([[], []]),
  rewards: signal<Points>([[], [], []]),
};

/** Whether a run can be seen: one that goes on, or one that has ended. */
export const hasCurves = computed(() => last.value !== null);

/** Every line and evaluation so far, for a tab that joins. */
let all: StepLine[] = [];
let evaluated: EvalLine[] = [];

/** The last lines of the log, newest first. */
export const recent = signal<StepLine[]>([]);
const RECENT = 8;

function clearCurves(): void {
  arrived = [];
  all = [];
  evaluated = [];
  curves.loss.value = [[], [], []];
  curves.rewards.value = [[], [], []];
  for (const name of ["lr", "grad_norm", "tokens_per_second", "memory_bytes"] as const) curves[name].value = [[], []];
  recent.value = [];
}

function clear(): void {
  clearCurves();
  samples.value = [];
  notices.value = [];
  for (const one of [last, lastEval, savedStep, ended, progress, writing]) one.value = null;
}

/** Shows that a run is about to start, while its base and data are still being prepared. */
export function starting(): void {
  fault.value = null;
  clear();
  shownRun.value = null;
  phase.value = "starting";
}

/** Starts a run, or resumes a stored one with its own settings and prompts. */
export async function start(resumed: Run | null = null): Promise<void> {
  starting();
  say(text.state.runStarts);
  try {
    const samples = prompted();
    const recipe = settled.peek();
    shownRun.value = resumed
      ? { id: resumed.id, base: resumed.base, data: resumed.data ?? "", method: methodOf(resumed), samples: { ...samples, prompts: [] } }
      : { id: null, base: base.peek()?.name ?? "", data: dataId.peek() ?? "", method: method.peek(), samples };
    progress.value = { what: "Starting", done: 0, total: null, unit: "steps" };
    ended.value = await (resumed === null
      ? ask({ kind: "train", recipe, samples }, { on: hearOwn })
      : ask({ kind: "go_on", run: resumed.id }, { on: hearOwn }));
    phase.value = ended.value.finished ? "finished" : "stopped";
    say(ended.value.finished ? text.state.runFinished : text.state.runStopped);
  } catch (error) {
    phase.value = "failed";
    failed(error);
  } finally {
    showArrived();
    progress.value = null;
    writing.value = null;
    await listRuns();
  }
}

/** The training method of a stored run. */
export function methodOf({ method }: Run): Method {
  return method === "lora" || method === "freeze" ? method : "full";
}

/** Shows a stored run's curves and answers, as after its end. */
export async function showStored(id: string): Promise<void> {
  const log = await ask({ kind: "log", id });
  const run = runs.peek().find((one) => one.id === id);
  if (active.peek() || !run || log.lines.length === 0) return;
  const shown = { id, base: run.base, data: run.data ?? "", method: methodOf(run), samples: { ...sampling.peek(), prompts: [] } };
  showRun(shown, log, run.finished ? "finished" : "stopped");
}

/** Shows a run that this tab does not train, with its log so far. */
export function showRun(run: Shown, log: RunLog, as: Phase): void {
  clear();
  shownRun.value = run;
  replay(log);
  phase.value = as;
}

/** The steps and evaluations that are shown. */
export function linesSoFar(): Pick<RunLog, "lines" | "evaluations"> {
  showArrived();
  return { lines: [...all], evaluations: [...evaluated] };
}

/** The answers that are shown, oldest first. */
export function answersSoFar(): SampleLine[] {
  return samples.peek().toReversed();
}

/** Adds a whole log at once. */
function replay({ lines, evaluations, answers }: RunLog): void {
  lines.forEach(step);
  showArrived();
  evaluations.forEach(evaluation);
  samples.value = answers.toReversed();
}

/** The sampling to use: the user's prompts, or else the first questions of the data. */
export function prompted(): Samples {
  const { every, prompts, max_new_tokens } = sampling.value;
  const written = prompts.filter((prompt) => prompt.trim() !== "");
  return { every, max_new_tokens, prompts: written.length > 0 ? written : questions.value };
}

export async function pause(): Promise<void> {
  phase.value = "pausing";
  await ask({ kind: "pause" });
}

export async function resume(): Promise<void> {
  phase.value = "running";
  await ask({ kind: "resume" });
  say(text.state.runGoesOn);
}

/** Stops the run; what it has learnt so far is kept as its result. */
export async function stop(): Promise<void> {
  phase.value = "stopping";
  await ask({ kind: "stop" });
}

/** Ends the answers that are being written; the run goes on with the next step. */
export async function skip(): Promise<void> {
  await ask({ kind: "skip" });
}

const ears: ((event: Event) => void)[] = [];

/** Has `ear` called with every event of a run, after it is shown. */
export function heard(ear: (event: Event) => void): void {
  ears.push(ear);
}

function hearOwn(event: Event): void {
  hear(event);
  for (const ear of ears) ear(event);
}

/** Shows what a run tells: this tab's, or another one's. */
export function hear(event: Event): void {
  switch (event.kind) {
    case "progress":
      progress.value = event.progress;
      return;
    case "step":
      if (phase.peek() === "starting") phase.value = "running";
      progress.value = null;
      step(event.line);
      return;
    case "evaluation":
      evaluation(event.line);
      return;
    case "writing": {
      const now = writing.peek();
      const same = now?.step === event.step && now.prompt === event.prompt;
      writing.value = { step: event.step, prompt: event.prompt, text: (same ? now.text : "") + event.text };
      return;
    }
    case "sample":
      progress.value = null;
      writing.value = null;
      samples.value = [event.line, ...samples.peek()];
      return;
    case "saved":
      savedStep.value = event.step;
      return;
    case "paused":
      if (active.peek()) phase.value = "paused";
      say(text.state.pausedAt(event.step));
      return;
    case "notice":
      tell({ core: event.words });
      return;
    case "started":
      if (event.step > 0) tell({ page: () => text.state.goesOnFrom(event.step) });
      if (shownRun.peek()) shownRun.value = { ...(shownRun.peek() as Shown), id: event.run };
      clearCurves(); // after a lost device the run begins again at its snapshot
      replay(event);
      return;
    case "resumed":
      if (phase.peek() === "paused") phase.value = "running";
      return;
    case "device_lost":
      tell({ page: () => (event.step > 0 ? text.state.gpuLost(event.cause, event.step) : text.state.gpuLostEarly(event.cause)) });
      return;
    case "text":
    case "finished": // the reply contains more
      return;
    default:
      event satisfies never;
  }
}

/** Shows a notice of the run. */
export function tell(notice: RunNotice): void {
  notices.value = [...notices.peek(), notice];
  say("page" in notice ? notice.page() : notice.core);
}

function evaluation(line: EvalLine): void {
  showArrived(); // keep the order of the steps
  lastEval.value = line;
  evaluated.push(line);
  add("loss", line.current_steps, [null, line.eval_loss]);
}

/** Lines received but not shown yet: a fast model may report more steps than the screen has frames. */
let arrived: StepLine[] = [];
let due: ReturnType<typeof setTimeout> | null = null;
/** Milliseconds between the arrival of a line and its display. */
const SOON = 40;

function step(line: StepLine): void {
  arrived.push(line);
  due ??= setTimeout(showArrived, SOON);
  // Announce only some of the steps to screen readers.
  const at = line.current_steps;
  if (at % Math.max(1, Math.round(line.total_steps / 10)) === 0) {
    say(text.state.stepSpoken(at, line.total_steps, line.loss.toFixed(3)));
  }
}

/** Shows all received lines at once. */
function showArrived(): void {
  if (due !== null) clearTimeout(due);
  due = null;
  const lines = arrived;
  arrived = [];
  const newest = lines.at(-1);
  if (!newest) return;
  for (const line of lines) all.push(line);
  batch(() => {
    last.value = newest;
    recent.value = [...lines.toReversed(), ...recent.peek()].slice(0, RECENT);
    for (const line of lines) {
      const at = line.current_steps;
      add("loss", at, [line.loss, null]);
      add("lr", at, [line.lr]);
      add("grad_norm", at, [line.grad_norm]);
      add("tokens_per_second", at, [line.tokens_per_second]);
      if (line.rewards !== null) add("rewards", at, [line.rewards.chosen, line.rewards.rejected]);
      if (line.memory_bytes !== null) add("memory_bytes", at, [line.memory_bytes]);
    }
  });
}

/** Adds a point. The columns grow in place, since old points do not change; a new outer array signals the update. */
function add(name: Curve, x: number, values: (number | null)[]): void {
  const points = curves[name].peek();
  const [xs, ...lines] = points;
  if (xs.at(-1) === x) {
    // An evaluation of a step that already has a point.
    lines.forEach((line, index) => (line[line.length - 1] = values[index] ?? line.at(-1) ?? null));
  } else {
    xs.push(x);
    lines.forEach((line, index) => line.push(values[index] ?? null));
  }
  curves[name].value = [xs, ...lines];
}
