// How messages travel: each request with an id, and what belongs to it back under the same one.
import type { Event, Request } from "./messages.js";

/** A file that a person gave, and its path inside the folder that was given. */
export interface GivenFile {
  path: string;
  file: File;
}

export interface ToWorker {
  id: number;
  request: Request;
  /** Of `open` with `source: files`. */
  files?: GivenFile[];
}

export type FromWorker =
  | { type: "ready" }
  /** The worker could not load; nothing else will come. */
  | { type: "broken"; error: string }
  /** Of the type that `Replies` names for the request. */
  | { type: "reply"; id: number; reply: unknown }
  | { type: "fault"; id: number; error: string }
  | { type: "event"; id: number; event: Event };
