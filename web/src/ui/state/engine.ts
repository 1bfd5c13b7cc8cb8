// The single worker of the page.
import { storedFile, WorkerLost, type CallOptions, type Progress, type Replies, type Request, type Rootstock, type StoredFile } from "rootstock";
import { text } from "../text/index.js";

/** The part of the client that the page uses. */
export type Engine = Pick<Rootstock, "call" | "read">;

let connected: Engine | null = null;
let make: () => Engine;

/** Sets the client, and how another one with a worker of its own is made; called once, before the first render. */
export function connect(engine: Engine, others: () => Engine): void {
  connected = engine;
  make = others;
}

/** Another client, with a worker of its own over the same storage; `onGone` is called when its worker is lost. */
export function another(onGone: () => void): Engine {
  const engine = make();
  return {
    read: (path) => engine.read(path),
    call: async (request, options) => {
      try {
        return await engine.call(request, options);
      } catch (error) {
        if (error instanceof WorkerLost) onGone();
        throw error;
      }
    },
  };
}

/** Called once each time the worker is lost. */
let onLost: () => void = () => undefined;

export function whenLost(act: () => void): void {
  onLost = act;
}

/** Sends a request to the worker. */
export async function ask<R extends Request>(request: R, options?: CallOptions): Promise<Replies[R["kind"]]> {
  if (!connected) throw new Error(text.state.workerNotThere);
  try {
    return await connected.call(request, options);
  } catch (error) {
    if (error instanceof WorkerLost) onLost();
    throw error;
  }
}

/** A stored file, whose bytes are read when they are used. */
export function openStored(file: StoredFile): Promise<File> {
  if (!connected) throw new Error(text.state.workerNotThere);
  return storedFile(connected, file);
}

/** Call options that listen only to progress events. */
export function progressTo(set: (progress: Progress) => void): CallOptions {
  return { on: (event) => event.kind === "progress" && set(event.progress) };
}
