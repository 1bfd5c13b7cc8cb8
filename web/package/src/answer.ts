import type { Connection } from "./connection.js";
import type { Answered, Request } from "./messages.js";
import { Stream } from "./stream.js";

/**
 * An answer as it is written: an async iterator of pieces of text. `result` has the whole text, and why it ended.
 *
 * Leaving the loop ends the answer. When the signal is aborted, loop and `result` reject with the signal's reason.
 */
export class Answer extends Stream<string, Answered> {
  /** @internal */
  constructor(connection: Connection, request: Extract<Request, { kind: "chat" }>, signal: AbortSignal | undefined) {
    const left = new AbortController();
    super(
      async (put) => {
        const both = signal ? AbortSignal.any([signal, left.signal]) : left.signal;
        const answered = await connection
          .call(request, { on: (event) => event.kind === "text" && put(event.text), signal: both })
          .catch((error: unknown) => {
            signal?.throwIfAborted();
            throw error;
          });
        signal?.throwIfAborted();
        return answered;
      },
      () => {
        left.abort();
        return Promise.resolve();
      },
    );
  }
}
