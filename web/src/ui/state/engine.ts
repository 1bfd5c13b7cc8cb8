// The worker, once for the whole page.
import type { CallOptions, Client } from "../../client.js";
import type { Progress, Replies, Request } from "../../messages.js";

/** What the page needs of the client. */
export type Engine = Pick<Client, "call">;

let connected: Engine | null = null;

/** Called once, before anything is shown. */
export function connect(engine: Engine): void {
  connected = engine;
}

/** Asks the worker. */
export function ask<R extends Request>(request: R, options?: CallOptions): Promise<Replies[R["kind"]]> {
  if (!connected) throw new Error("The page asked the worker before it was there.");
  return connected.call(request, options);
}

/** Hears only how far something is. */
export function progressTo(set: (progress: Progress) => void): CallOptions {
  return { on: (event) => event.kind === "progress" && set(event.progress) };
}
