// The run: its events, and the buttons that control it.
import { batch, signal, type Signal } from "@preact/signals";
import type { Points } from "../charts/points.js";
import type { Ended, EvalLine, Event, Progress, Samples, StepLine } from "../../messages.js";
import { listRuns } from "./base.js";
import { ask } from "./engine.js";
import { failed, fault, say } from "./faults.js";
import { phase } from "./phase.js";
import { questions } from "./questions.js";
import { settled } from "./recipe.js";

export const progress = signal<Progress | null>(null);
export const last = signal<StepLine | null>(null);
export const lastEval = signal<EvalLine | null>(null);
export const samples = signal<{ step: number; prompt: string; text: string }[]>([]);
/** Notices for the user: resumed from a snapshot, a lost device, a full disk. */
export const notices = signal<string[]>([]);
export const savedStep = signal<number | null>(null);
/** The result of the last run. */
export const ended = signal<Ended | null>(null);

/** The sampling during training: its interval in steps, and the prompts. */
export const sampling = signal<Samples>({ every: 25, prompts: [], max_new_tokens: 40 });

export type Curve = "loss" | "lr" | "grad_norm" | "tokens_per_second" | "memory_bytes";

/** The points of the curves; the second line of `loss` holds the evaluations. */
export const curves: Record<Curve, Signal<Points>> = {
  loss: signal<Points>([[], [], []]),
  lr: signal<Points>([[], []]),
  grad_norm: signal<Points>([[], []]),
  tokens_per_second: signal<Points>([[], []]),
  memory_bytes: signal<Points>([[], []]),
};

/** The last lines of the log, newest first. */
export const recent = signal<StepLine[]>([]);
const RECENT = 8;

function clear(): void {
  arrived = [];
  curves.loss.value = [[], [], []];
  for (const name of ["lr", "grad_norm", "tokens_per_second", "memory_bytes"] as const) curves[name].value = [[], []];
  for (const list of [samples, notices, recent]) list.value = [];
  for (const one of [last, lastEval, savedStep, ended, progress]) one.value = null;
}

/** Starts a run, or resumes a stored one. */
export async function start(run: string | null = null): Promise<void> {
  fault.value = null;
  clear();
  phase.value = "starting";
  say("The run starts.");
  try {
    const samples = asked();
    const recipe = settled.peek();
    ended.value = await (run === null
      ? ask({ kind: "train", recipe, samples }, { on: hear })
      : ask({ kind: "go_on", run, samples }, { on: hear }));
    phase.value = ended.value.finished ? "finished" : "stopped";
    say(ended.value.finished ? "The run is finished." : "The run is stopped, and what it learnt is kept.");
  } catch (error) {
    phase.value = "failed";
    failed(error);
  } finally {
    showArrived();
    progress.value = null;
    await listRuns();
  }
}

/** The sampling to use: the user's prompts, or else the first questions of the data. */
function asked(): Samples {
  const { every, prompts, max_new_tokens } = sampling.peek();
  const written = prompts.filter((prompt) => prompt.trim() !== "");
  return { every, max_new_tokens, prompts: written.length > 0 ? written : questions.peek() };
}

export async function pause(): Promise<void> {
  phase.value = "pausing";
  await ask({ kind: "pause" });
}

export async function resume(): Promise<void> {
  await ask({ kind: "resume" });
  phase.value = "running";
  say("The run goes on.");
}

/** Stops the run; what it has learnt so far is kept as its result. */
export async function stop(): Promise<void> {
  phase.value = "stopping";
  await ask({ kind: "stop" });
}

function hear(event: Event): void {
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
    case "sample":
      progress.value = null;
      samples.value = [{ step: event.step, prompt: event.prompt, text: event.text }, ...samples.peek()].slice(0, 60);
      return;
    case "saved":
      savedStep.value = event.step;
      return;
    case "paused":
      phase.value = "paused";
      say(`Paused at step ${event.step}.`);
      return;
    case "notice":
      told(event.words);
      return;
    case "started":
      if (event.step > 0) told(`The run goes on from its snapshot of step ${event.step}.`);
      event.lines.forEach(step);
      event.evaluations.forEach(evaluation);
      return;
    case "resumed":
      phase.value = "running";
      return;
    case "device_lost":
      told(
        event.step > 0
          ? `The GPU was lost (${event.cause}). The run goes on from its snapshot of step ${event.step}.`
          : `The GPU was lost before the first snapshot (${event.cause}). The run begins anew.`,
      );
      return;
    case "text":
    case "finished": // the reply contains more
      return;
    default:
      event satisfies never;
  }
}

function told(words: string): void {
  notices.value = [...notices.peek(), words];
  say(words);
}

function evaluation(line: EvalLine): void {
  showArrived(); // keep the order of the steps
  lastEval.value = line;
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
    say(`Step ${at} of ${line.total_steps}, loss ${line.loss.toFixed(3)}.`);
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
  batch(() => {
    last.value = newest;
    recent.value = [...lines.toReversed(), ...recent.peek()].slice(0, RECENT);
    for (const line of lines) {
      const at = line.current_steps;
      add("loss", at, [line.loss, null]);
      add("lr", at, [line.lr]);
      add("grad_norm", at, [line.grad_norm]);
      add("tokens_per_second", at, [line.tokens_per_second]);
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
