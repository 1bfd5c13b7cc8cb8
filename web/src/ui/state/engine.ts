// The worker, once for the whole page.
import { WorkerLost, type CallOptions, type Client } from "../../client.js";
import type { Progress, Replies, Request } from "../../messages.js";

/** What the page needs of the client. */
export type Engine = Pick<Client, "call">;

let connected: Engine | null = null;

/** Called once, before anything is shown. */
export function connect(engine: Engine): void {
  connected = engine;
}

/** Called when the worker is gone, once for each time. */
let onLost: () => void = () => undefined;

export function whenLost(act: () => void): void {
  onLost = act;
}

/** Asks the worker. */
export async function ask<R extends Request>(request: R, options?: CallOptions): Promise<Replies[R["kind"]]> {
  if (!connected) throw new Error("The page asked the worker before it was there.");
  try {
    return await connected.call(request, options);
  } catch (error) {
    if (error instanceof WorkerLost) onLost();
    throw error;
  }
}

/** Hears only how far something is. */
export function progressTo(set: (progress: Progress) => void): CallOptions {
  return { on: (event) => event.kind === "progress" && set(event.progress) };
}
