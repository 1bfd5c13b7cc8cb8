// The message format: each request has an id, and its events and reply carry the same id.
import type { FaultCode } from "./fault.js";
import type { Event, Place, Request } from "./messages.js";

/** A file, and its path inside the folder that it is given in. */
export interface GivenFile {
  path: string;
  file: File;
}

export type ToWorker =
  /** The first message: where the files of `assets` are, or nothing where there are none. */
  | { assets: string | null }
  | {
      id: number;
      request: Request;
      /** The files of `open` with `source: files`, of `adopt`, and of data whose files have no text. */
      files?: GivenFile[];
    }
  /** Asks for a stored file, by the path of `StoredFile`; the reply is its bytes. */
  | { id: number; read: string[] };

/** A failure as the worker tells it. */
export interface ToldFault {
  code: FaultCode;
  sentence: string;
  place: Place;
}

export type FromWorker =
  | { type: "ready" }
  /** The worker failed to load; no other message follows. */
  | { type: "broken"; fault: ToldFault }
  /** The reply has the type that `Replies` declares for the request. */
  | { type: "reply"; id: number; reply: unknown }
  | { type: "fault"; id: number; fault: ToldFault }
  | { type: "event"; id: number; event: Event };
