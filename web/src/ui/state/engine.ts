// The single worker of the page.
import { storedFile, WorkerLost, type CallOptions, type Progress, type Replies, type Request, type Rootstock, type StoredFile } from "rootstock";

/** The part of the client that the page uses. */
export type Engine = Pick<Rootstock, "call" | "read">;

let connected: Engine | null = null;

/** Sets the client; called once, before the first render. */
export function connect(engine: Engine): void {
  connected = engine;
}

/** Called once each time the worker is lost. */
let onLost: () => void = () => undefined;

export function whenLost(act: () => void): void {
  onLost = act;
}

/** Sends a request to the worker. */
export async function ask<R extends Request>(request: R, options?: CallOptions): Promise<Replies[R["kind"]]> {
  if (!connected) throw new Error("The page asked the worker before it was there.");
  try {
    return await connected.call(request, options);
  } catch (error) {
    if (error instanceof WorkerLost) onLost();
    throw error;
  }
}

/** A stored file, whose bytes are read when they are used. */
export function openStored(file: StoredFile): Promise<File> {
  if (!connected) throw new Error("The page asked the worker before it was there.");
  return storedFile(connected, file);
}

/** Call options that listen only to progress events. */
export function progressTo(set: (progress: Progress) => void): CallOptions {
  return { on: (event) => event.kind === "progress" && set(event.progress) };
}
