import type { FailureCode, Place } from "./messages.js";

/** What kind of failure it is, for code that must decide. */
export type FaultCode = FailureCode | "worker" | "worker_lost" | "closed" | "bug";

/** Why something failed: an error with a code for code, a sentence for people, and the place that it is about. */
export class Fault extends Error {
  override readonly name = "Fault";

  constructor(
    /** What kind of failure it is. */
    readonly code: FaultCode,
    /** What happened, where, and what to do, for the person who uses the page; `message` holds the same. */
    readonly sentence: string,
    /** What it is about: a file with its line, a tensor, a key of the recipe … */
    readonly place: Place = {},
  ) {
    super(sentence);
  }
}

/** The worker has ended, with everything that it held in memory. Stored runs are kept, and the next request starts a new worker. */
export class WorkerLost extends Fault {
  constructor(sentence: string) {
    super("worker_lost", sentence);
  }
}
