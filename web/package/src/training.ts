import type { Connection } from "./connection.js";
import { Fault } from "./fault.js";
import type { Ended, Event, Request } from "./messages.js";
import { Stream } from "./stream.js";

/** What a run tells: progress, `started`, `step`, `evaluation`, `writing` and `sample` (answers), `saved`, `paused`, `resumed`, `finished` … */
export type TrainingEvent = Exclude<Event, { kind: "text" }>;

/**
 * A run: an async iterator of its events.
 *
 * Leaving the loop stops the run, as `stop` does. When the signal is aborted, the run stops after the present step, what it learned is
 * kept, and loop and `result` reject with the signal's reason.
 */
export class Training extends Stream<TrainingEvent, Ended> {
  readonly #connection: Connection;
  readonly #holding = new Set<{ resolve: (step: number) => void; reject: (error: unknown) => void }>();

  /** @internal */
  constructor(connection: Connection, request: Extract<Request, { kind: "train" | "go_on" }>, signal: AbortSignal | undefined) {
    let hear: (event: TrainingEvent) => void = () => undefined;
    const options = signal ? { signal } : {};
    super(
      async (put) => {
        const on = (event: Event) => {
          if (event.kind === "text") return;
          hear(event);
          put(event);
        };
        // The run ends as by `stop` when the signal is aborted: it is the caller who wants to hear of that as a rejection.
        const ended = await connection.call(request, { on, ...options }).catch((error: unknown) => {
          signal?.throwIfAborted();
          throw error;
        });
        signal?.throwIfAborted();
        return ended;
      },
      () => connection.call({ kind: "stop" }),
    );
    this.#connection = connection;
    hear = (event) => {
      if (event.kind !== "paused") return;
      for (const { resolve } of this.#holding) resolve(event.step);
      this.#holding.clear();
    };
    const over = () => {
      for (const { reject } of this.#holding) reject(new Fault("out_of_turn", "The run ended before it was held."));
      this.#holding.clear();
    };
    this.result.then(over, over);
  }

  /** Holds the run after the present step, with a snapshot. Resolves with the steps done, once it is held. */
  async hold(): Promise<number> {
    const held = new Promise<number>((resolve, reject) => this.#holding.add({ resolve, reject }));
    held.catch(() => undefined);
    await this.#steer("pause");
    return held;
  }

  /** Lets a held run go on. */
  async resume(): Promise<void> {
    await this.#steer("resume");
  }

  /** Ends the run after the present step. What it learned is kept, and `Rootstock.resume` goes on with it later. */
  async stop(): Promise<Ended> {
    await this.#steer("stop");
    return this.result;
  }

  /** Writes a snapshot after the present step. */
  async save(): Promise<void> {
    await this.#steer("save");
  }

  /** Ends the answers that the run is writing; it goes on with the next step. */
  async skip(): Promise<void> {
    await this.#steer("skip");
  }

  async #steer(kind: "pause" | "resume" | "stop" | "save" | "skip"): Promise<void> {
    if (this.over) throw new Fault("out_of_turn", "The run has ended.");
    await this.#connection.call({ kind });
  }
}
