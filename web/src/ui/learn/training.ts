// A lesson's training run: the same trainer and the same kept runs as the rest of the page, started from a lesson's settings.
import { batch, computed, signal } from "@preact/signals";
import { WorkerLost, type BaseSource, type DataSource, type Ended, type Event, type Progress, type Run, type SampleLine, type Samples, type Settings, type StepLine } from "rootstock";
import type { Points } from "../charts/points.js";
import { saidOf, say, type Said } from "../state/faults.js";
import { lessonText } from "../text/lessons.js";
import { Result } from "./kept.js";
import { ask, inTurn, isTuned, open, tuned } from "./room.js";

/** What is trained on what. */
export interface Task {
  /** What the run is called in the list of runs. */
  name: string;
  base: BaseSource;
  data: DataSource;
  recipe: Settings;
}

/** `waiting`: another run of the lesson goes first. `interrupted`: a reload came between, and a snapshot is kept. */
export type Phase = "none" | "waiting" | "running" | "done" | "stopped" | "interrupted" | "failed";

/** What of a run outlasts a reload. */
interface KeptRun {
  /** The run's id among the kept ones. */
  id: string;
  /** How it ended; `null` while it goes on. */
  ended: Ended | null;
  /** Why it failed; earlier builds kept the sentence alone. */
  fault: Said | string | null;
  /** The steps of a run that failed, which leaves no log. */
  lines: StepLine[];
}

const NO_ANSWERS: Samples = { every: 0, prompts: [], max_new_tokens: 1 };

export class Training {
  readonly phase = signal<Phase>("none");
  readonly progress = signal<Progress | null>(null);
  readonly lines = signal<readonly StepLine[]>([]);
  /** Parameters that learn, once they are known. */
  readonly trainable = signal<number | null>(null);
  /** What it answered on the way, oldest first. */
  readonly answers = signal<readonly SampleLine[]>([]);
  readonly ended = signal<Ended | null>(null);
  readonly fault = signal<Said | null>(null);
  /** Steps and losses, for a chart. */
  readonly points = computed<Points>(() => [this.lines.value.map((line) => line.current_steps), this.lines.value.map(({ loss }) => loss)]);
  /** What the lesson calls it, in the language that is shown. */
  called: string | null = null;
  readonly #kept: Result<KeptRun>;
  #task: string | null = null;
  #id: string | null = null;
  /** The interrupted run that the next one goes on with. */
  #resumed: string | null = null;
  /** The first time a run is looked for; what is asked meanwhile waits for it. */
  #restored: Promise<void> = Promise.resolve();

  constructor(readonly key: string) {
    this.#kept = new Result(`run.${key}`);
  }

  /** Whether a run goes on or is about to. */
  get busy(): boolean {
    return this.phase.value === "running" || this.phase.value === "waiting";
  }

  /** Shows what there is of this task: the run that was kept, or nothing. Called at every change of the settings. */
  follow(task: Task): void {
    const wanted = JSON.stringify(task);
    if (wanted === this.#task || ["running", "waiting"].includes(this.phase.peek())) return;
    this.#task = wanted;
    this.#clear();
    const kept = this.#kept.of(task);
    if (kept) this.#restored = this.#restore(kept, wanted);
  }

  async #restore(kept: KeptRun, task: string): Promise<void> {
    if (kept.fault !== null) {
      this.#show("failed", kept.lines, null, typeof kept.fault === "string" ? saidOf(kept.fault) : kept.fault);
      return;
    }
    try {
      const runs = await ask({ kind: "runs" });
      const run = runs.find(({ id }) => id === kept.id);
      if (!run?.usable || this.#task !== task) return;
      const { lines, answers } = await ask({ kind: "log", id: kept.id });
      if (this.#task !== task || this.phase.peek() !== "none") return;
      this.#id = kept.id;
      const phase = run.finished ? "done" : run.live ? "none" : "interrupted";
      this.answers.value = answers;
      this.#show(phase, lines, kept.ended ?? (run.finished ? endedOf(run) : null), null);
    } catch (error) {
      console.warn("A lesson's run cannot be shown again:", error);
    }
  }

  #show(phase: Phase, lines: readonly StepLine[], ended: Ended | null, fault: Said | null): void {
    batch(() => {
      this.lines.value = lines;
      this.ended.value = ended;
      this.fault.value = fault;
      this.phase.value = phase;
    });
  }

  #clear(): void {
    this.#id = null;
    this.#show("none", [], null, null);
    this.answers.value = [];
    this.trainable.value = null;
    this.progress.value = null;
  }

  /** Trains, or goes on from the snapshot of a run that was interrupted. A run that fails by its own numbers is a result, too. */
  async train(task: Task): Promise<void> {
    await trainTogether([[this, task]]);
  }

  /** Whether there is something to train, which waits from then on. */
  async wait(task: Task): Promise<boolean> {
    this.follow(task);
    await this.#restored;
    if (this.busy || this.phase.peek() === "done") return false;
    this.#resumed = this.phase.peek() === "interrupted" ? this.#id : null;
    this.phase.value = "waiting";
    return true;
  }

  /**
   * Trains on the open base; within a turn. `stepped` is called when the first step is done; `beside` lets it go on beside another run of the
   * lesson.
   */
  async work(task: Task, samples: Samples, beside: boolean, stepped: () => void): Promise<void> {
    const resumed = this.#resumed;
    batch(() => {
      this.phase.value = "running";
      this.progress.value = { what: lessonText.parts.run.starting, done: 0, total: null, unit: "steps" };
      this.fault.value = null;
    });
    const hear = (event: Event) => {
      this.#hear(event, task);
      if (event.kind === "step") stepped();
    };
    try {
      // One run is kept for each place of a lesson: the one with other settings makes room.
      const old = this.#kept.any();
      if (resumed === null && old !== null && old.id !== "") await this.#remove(old.id);
      const settings: Settings = { ...task.recipe, run_name: task.name };
      this.trainable.value = (await ask({ kind: "estimate", recipe: settings, samples: null })).trainable;
      const ended = await (resumed === null
        ? ask({ kind: "train", recipe: settings, samples, beside }, { on: hear })
        : ask({ kind: "go_on", run: resumed, beside }, { on: hear }));
      isTuned(ended.finished ? ended.run.id : null);
      this.#id = ended.run.id;
      this.#kept.set(task, { id: ended.run.id, ended, fault: null, lines: [] });
      this.#show(ended.finished ? "done" : "interrupted", this.lines.peek(), ended, null);
      say(ended.finished ? lessonText.parts.run.finished(this.called ?? task.name) : lessonText.parts.run.stopped(this.called ?? task.name));
    } catch (error) {
      if (error instanceof WorkerLost && this.#id !== null) {
        this.#show("interrupted", this.lines.peek(), null, null); // its snapshot is kept
        return;
      }
      // What it left would be offered as a run to go on with.
      if (this.#id !== null) await this.#remove(this.#id);
      this.failed(task, error);
    } finally {
      this.progress.value = null;
    }
  }

  /** Shows why it failed. */
  failed(task: Task, error: unknown): void {
    const fault = saidOf(error);
    this.#kept.set(task, { id: "", ended: null, fault, lines: [...this.lines.peek()] });
    this.#show("failed", this.lines.peek(), null, fault);
    say(fault.sentence);
  }

  #hear(event: Event, task: Task): void {
    if (event.kind === "progress") {
      this.progress.value = event.progress;
    } else if (event.kind === "started") {
      this.#id = event.run;
      this.#kept.set(task, { id: event.run, ended: null, fault: null, lines: [] });
      this.lines.value = event.lines;
      this.answers.value = event.answers;
    } else if (event.kind === "sample") {
      this.progress.value = null;
      this.answers.value = [...this.answers.peek(), event.line];
    } else if (event.kind === "step") {
      this.progress.value = null;
      this.lines.value = [...this.lines.peek(), event.line];
    }
  }

  /** Ends the run after the present step; it can go on later. */
  async stop(): Promise<void> {
    await ask({ kind: "stop" });
  }

  /** Makes its result the tuned model; within a turn. */
  async use(): Promise<void> {
    await this.#restored;
    if (this.#id === null) throw new Error(lessonText.parts.notTrained);
    await tuned(this.#id);
  }

  /** The id of its kept run. */
  get id(): string | null {
    return this.#id;
  }

  /** Deletes the run and forgets it. */
  async forget(): Promise<void> {
    await this.#restored;
    if (this.busy) return;
    const id = this.#id ?? this.#kept.any()?.id ?? "";
    this.#kept.clear();
    this.#clear();
    if (id !== "") await this.#remove(id);
  }

  /** Deletes a kept run; one that is in use, or gone, is left alone. */
  async #remove(id: string): Promise<void> {
    isTuned(null);
    await ask({ kind: "remove", id }).catch((error: unknown) => console.warn("A lesson's run is kept:", error));
  }
}

/**
 * Trains on the same base and data side by side: each takes a step in turn on the one device. What is done already is left alone. The models
 * answer `samples` on the way.
 */
export async function trainTogether(pairs: readonly (readonly [Training, Task])[], samples: Samples = NO_ANSWERS): Promise<void> {
  const waiting: (readonly [Training, Task])[] = [];
  for (const pair of pairs) if (await pair[0].wait(pair[1])) waiting.push(pair);
  const [first] = waiting;
  if (!first) return;
  await inTurn(async () => {
    try {
      const { base, data, recipe } = first[1];
      await open(base);
      await ask({ kind: "prepare", data, evaluation: null, recipe, first: 0, count: 0 });
    } catch (error) {
      for (const [run, task] of waiting) run.failed(task, error);
      return;
    }
    const runs: Promise<void>[] = [];
    for (const [run, task] of waiting) {
      // The next one begins after the first step of this one, so that the kernels that both need are compiled once.
      await new Promise<void>((stepped) => runs.push(run.work(task, samples, waiting.length > 1, stepped).finally(stepped)));
    }
    await Promise.all(runs);
    if (waiting.length > 1) isTuned(null); // whichever ended last
  });
}

/** What is known of the end of a run whose reply a reload has cut off. */
function endedOf(run: Run): Ended {
  return { run, finished: true, train_loss: run.train_loss, eval_loss: run.eval_loss, seconds: run.seconds ?? 0, tokens_per_second: null, peak_bytes: null };
}

const all = new Map<string, Training>();

/** The run of this name: the same one whenever it is asked for, so that it goes on while another place of the page is shown. */
export function training(key: string): Training {
  const known = all.get(key) ?? new Training(key);
  all.set(key, known);
  return known;
}

/** The village's settings, which answer within a minute or two: a lesson changes some of them. */
export function recipeOf(changes: Settings): Settings {
  return { stage: "sft", finetuning_type: "full", cutoff_len: 64, per_device_train_batch_size: 16, logging_steps: 1, save_steps: 20, save_total_limit: 1, seed: 42, lr_scheduler_type: "cosine", warmup_ratio: 0.05, ...changes };
}

export const VILLAGE: DataSource = { kind: "example", name: "village" };
