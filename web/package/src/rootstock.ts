import { Answer } from "./answer.js";
import { Connection, type CallOptions, type RootstockOptions } from "./connection.js";

import { dataRequest, modelFiles, modelRequest, type Data, type ModelSource } from "./given.js";
import type {
  Base,
  ChatMessage,
  Delta,
  Device,
  Estimate,
  Event,
  Example,
  GgufType,
  Preview,
  Progress,
  Repaired,
  Replies,
  Report,
  Request,
  Run,
  RunLog,
  Samples,
  Score,
  Settings,
  Storage,
  TokenLoss,
  Which,
} from "./messages.js";
import { ResultFile } from "./result.js";
import { Training } from "./training.js";

/** What goes with every method. */
export interface WorkOptions {
  /** Gives the work up: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Receives how far it is. */
  onProgress?: (progress: Progress) => void;
}

/** How data is prepared. */
export interface PrepareOptions extends WorkOptions {
  /** What the run is evaluated on; without it the recipe's `val_size` holds records out. */
  evaluation?: Data;
  /** The first sample to show, from 0. */
  first?: number;
  /** How many samples to show with their tokens; 3 without it. */
  count?: number;
}

/** What a GGUF file holds. */
export interface GgufOptions extends WorkOptions {
  /** The type of its matrices; f16 without it. */
  type?: GgufType;
  /** Of an adapter: the adapter by itself, instead of base and adapter in one. */
  alone?: boolean;
}

/** What the model is asked while it learns. */
export interface TrainOptions {
  /** Stops the run after the present step. What it learned is kept; the run's loop and `result` reject with the signal's reason. */
  signal?: AbortSignal;
  /** Questions, each answered on its own before the first step, every `every` steps and at the end. */
  prompts?: readonly string[];
  /** Steps between two rounds of answers; 10 without it. */
  every?: number;
  /** Most tokens of an answer; 60 without it. */
  maxNewTokens?: number;
}

/** How an answer is made. */
export interface GenerateOptions {
  signal?: AbortSignal;
  /** Which model: the tuned one where there is one, otherwise the base. `learning` is the one that a run is training. */
  model?: Which;
  /** 0, as without it, takes the likeliest token each time. */
  temperature?: number;
  /** Keep the likeliest tokens that together reach this probability; 1 without it, which keeps all. */
  topP?: number;
  /** Most tokens; 256 without it. */
  maxNewTokens?: number;
  /** Seed of the draws. */
  seed?: number;
}

/** Which model is asked. */
export interface ModelOptions extends WorkOptions {
  /** The tuned one where there is one, otherwise the base. */
  model?: Exclude<Which, "learning">;
}

/** How a model is evaluated. */
export interface EvaluateOptions extends ModelOptions {
  /** Cut samples after so many tokens; without it, as many as the model was made for. */
  cutoffLen?: number;
}

/**
 * A session: a worker of its own with its GPU device, one open base, one set of prepared data, and at most one run at a time.
 * Several sessions work side by side; what they keep (runs, models) lies in one place, the storage of the page's origin.
 */
export class Rootstock {
  readonly #connection: Connection;
  #hasTuned = false;

  constructor(options: RootstockOptions = {}) {
    this.#connection = new Connection(options);
  }

  /** The graphics device; null where the browser offers none. */
  device(options?: WorkOptions): Promise<Device | null> {
    return this.#ask({ kind: "device" }, options);
  }

  /** Opens a base and judges it by its headers. A base that cannot be used opens as well: `report` says why. */
  async open(source: ModelSource, options?: WorkOptions): Promise<Base> {
    const { source: from, files } = modelRequest(source);
    const base = await this.#ask({ kind: "open", source: from }, options, files);
    return base;
  }

  /** Validates the open base completely: reads every weight, and runs the model where there is a GPU. */
  validate(options?: WorkOptions): Promise<Report> {
    return this.#ask({ kind: "validate" }, options);
  }

  /** Writes a repaired copy of the open base, which becomes the base. */
  repair(options?: WorkOptions): Promise<Repaired> {
    return this.#ask({ kind: "repair" }, options);
  }

  /** The examples of `assets`. */
  examples(options?: WorkOptions): Promise<Example[]> {
    return this.#ask({ kind: "examples" }, options);
  }

  /**
   * Reads and tokenises data for the open base, files a piece at a time; `train` learns from what was prepared last. The answer tells how many samples there are and
   * shows some, token by token.
   */
  async prepare(data: Data, recipe: Settings, options: PrepareOptions = {}): Promise<Preview> {
    const { evaluation, first = 0, count = 3 } = options;
    const what = dataRequest(data);
    const held = evaluation === undefined ? null : dataRequest(evaluation);
    const files = [...what.files, ...(held?.files ?? [])];
    return this.#ask({ kind: "prepare", data: what.source, evaluation: held?.source ?? null, recipe, first, count }, options, files);
  }

  /** What a run of the prepared data would need and do: memory by part, steps, seconds, whether it fits. Nothing is allocated. */
  plan(recipe: Settings, options: WorkOptions & Omit<TrainOptions, "signal"> = {}): Promise<Estimate> {
    const samples = samplesOf(options);
    return this.#ask({ kind: "estimate", recipe, samples: samples.prompts.length > 0 ? samples : null }, options);
  }

  /** Trains the base on the prepared data. The run begins at once; its result is kept, and is the tuned model from then on. */
  train(recipe: Settings, options: TrainOptions = {}): Training {
    return this.#run({ kind: "train", recipe, samples: samplesOf(options) }, options.signal);
  }

  /** Goes on with a kept run from its last snapshot, with its own recipe, data and prompts, to the same bits as if it had never ended. */
  resume(run: string, options: { signal?: AbortSignal } = {}): Training {
    return this.#run({ kind: "go_on", run }, options.signal);
  }

  /** Makes a kept run the tuned model that the other methods look at. */
  async use(run: string, options?: WorkOptions): Promise<Run> {
    const chosen = await this.#ask({ kind: "tuned", id: run }, options);
    this.#hasTuned = true;
    return chosen;
  }

  /** Lets a model answer a question or go on with a conversation, whose last message is the user's. */
  generate(prompt: string | readonly ChatMessage[], options: GenerateOptions = {}): Answer {
    const { signal, model, temperature = 0, topP = 1, maxNewTokens = 256, seed = 0 } = options;
    const messages = typeof prompt === "string" ? [{ role: "user", content: prompt }] : [...prompt];
    const sampling = { temperature, top_p: topP, max_new_tokens: maxNewTokens, seed };
    return new Answer(this.#connection, { kind: "chat", which: this.#which(model), messages, sampling }, signal);
  }

  /** How well a model predicts data: the mean loss over the tokens that count, and the perplexity. */
  async evaluate(data: Data, options: EvaluateOptions = {}): Promise<Score> {
    const { model, cutoffLen = null } = options;
    const { source, files } = dataRequest(data);
    return this.#ask({ kind: "evaluate", which: this.#which(model), data: source, cutoff_len: cutoffLen }, options, files);
  }

  /** How well a model predicts each token of a text. */
  losses(text: string, options: ModelOptions = {}): Promise<TokenLoss[]> {
    return this.#ask({ kind: "losses", which: this.#which(options.model), text }, options);
  }

  /** Where the tuned model's weights differ from its base's. */
  deltas(options?: WorkOptions): Promise<Delta[]> {
    return this.#ask({ kind: "deltas" }, options);
  }

  /** Keeps an adapter for the open base, as if it had been trained here. */
  async adopt(adapter: Extract<ModelSource, { files: unknown } | { bytes: unknown }>, options?: WorkOptions): Promise<Run> {
    const { name, files } = modelFiles(adapter);
    return this.#ask({ kind: "adopt", name }, options, files);
  }

  /** Merges the tuned adapter into its base. The result is kept as a model of its own. */
  merge(options?: WorkOptions): Promise<Run> {
    return this.#ask({ kind: "merge" }, options);
  }

  /** The runs and models that are kept in this browser for the page's origin. */
  runs(options?: WorkOptions): Promise<Run[]> {
    return this.#ask({ kind: "runs" }, options);
  }

  /** What a kept run logged: steps, evaluations, answers. */
  log(run: string, options?: WorkOptions): Promise<RunLog> {
    return this.#ask({ kind: "log", id: run }, options);
  }

  /** The files of a kept model or adapter: a Hugging Face folder. */
  async files(run: string, options?: WorkOptions): Promise<ResultFile[]> {
    const stored = await this.#ask({ kind: "files", id: run }, options);
    return stored.map((file) => new ResultFile(this, file));
  }

  /**
   * Writes a kept model, or base and adapter in one, as a GGUF file for llama.cpp, Ollama and LM Studio. It takes room in the browser until
   * `dropGguf`.
   */
  async gguf(run: string, options: GgufOptions = {}): Promise<{ file: ResultFile; remarks: string[] }> {
    const { type = "f16", alone = false } = options;
    const { file, remarks } = await this.#ask({ kind: "gguf", id: run, outtype: type, alone }, options);
    return { file: new ResultFile(this, file), remarks };
  }

  /** Deletes the GGUF file that was written of a kept run or model. */
  async dropGguf(run: string, options?: WorkOptions): Promise<void> {
    await this.#ask({ kind: "drop_gguf", id: run }, options);
  }

  /** Deletes a kept run or model. */
  async remove(run: string, options?: WorkOptions): Promise<void> {
    await this.#ask({ kind: "remove", id: run }, options);
  }

  /** How much the page's origin stores and may store, and how much memory the worker takes. */
  storage(options?: WorkOptions): Promise<Storage> {
    return this.#ask({ kind: "storage" }, options);
  }

  /** Reads a LLaMA-Factory recipe (YAML). */
  async readRecipe(yaml: string, options?: WorkOptions): Promise<{ recipe: Settings; notes: string[] }> {
    return this.#ask({ kind: "read_recipe", yaml }, options);
  }

  /** Writes a recipe as YAML, for `rootstock train` and LLaMA-Factory. */
  writeRecipe(recipe: Settings, options?: WorkOptions): Promise<string> {
    return this.#ask({ kind: "write_recipe", recipe }, options);
  }

  /** Ends the session and frees its memory, on the GPU too. What is kept stays; a run that goes on ends at its last snapshot. */
  close(): void {
    this.#connection.close();
  }

  /** Ends the worker at once, as a crash would. The next request starts a new one, which knows what is kept and nothing else. */
  terminate(reason = "The worker was ended."): void {
    this.#hasTuned = false;
    this.#connection.terminate(reason);
  }

  /** Sends any request of the worker's protocol, for what has no method of its own. */
  call<R extends Request>(request: R, options?: CallOptions): Promise<Replies[R["kind"]]> {
    return this.#connection.call(request, options);
  }

  /** A stored file, whole, by the path of `StoredFile`: for browsers that let a page read no storage. */
  read(path: string[]): Promise<Uint8Array<ArrayBuffer>> {
    return this.#connection.read(path);
  }

  #which<W extends Which>(model: W | undefined): W | "tuned" | "base" {
    return model ?? (this.#hasTuned ? "tuned" : "base");
  }

  #run(request: Extract<Request, { kind: "train" | "go_on" }>, signal: AbortSignal | undefined): Training {
    const training = new Training(this.#connection, request, signal);
    training.result.then(
      ({ finished }) => (this.#hasTuned ||= finished),
      () => undefined,
    );
    return training;
  }

  /** A request that rejects at once when the signal is aborted. */
  #ask<R extends Request>(request: R, { signal, onProgress }: WorkOptions = {}, files?: CallOptions["files"]): Promise<Replies[R["kind"]]> {
    const on = (event: Event) => event.kind === "progress" && onProgress?.(event.progress);
    const reply = this.#connection.call(request, { on, ...(files ? { files } : {}), ...(signal ? { signal } : {}) });
    if (!signal) return reply;
    reply.catch(() => undefined);
    return new Promise((resolve, reject) => {
      const give = () => reject(reasonOf(signal));
      signal.addEventListener("abort", give, { once: true });
      reply.then(resolve, (error: unknown) => reject(signal.aborted ? reasonOf(signal) : (error as Error))).finally(() => signal.removeEventListener("abort", give));
    });
  }
}

/** What an aborted signal rejects with. */
const reasonOf = (signal: AbortSignal): Error => signal.reason as Error;

function samplesOf({ prompts = [], every = 10, maxNewTokens = 60 }: TrainOptions): Samples {
  return { every: prompts.length > 0 ? every : 0, prompts: [...prompts], max_new_tokens: maxNewTokens };
}
