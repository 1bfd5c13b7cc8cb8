// The wasm build, which `node scripts/wasm.mjs build` leaves in target/web. Declared by hand so that types can be checked without building it.
import type { Event, Request } from "../messages.js";
import type { GivenFile } from "../protocol.js";

/** Loads and compiles the module. */
export default function init(): Promise<unknown>;

/** Loads the second part of the program, once: what a first visit does not need is in it. */
export function deferred(): Promise<void>;

/** Sets how the module that decodes Parquet files is loaded: called with the first such file. */
export function parquet_by(load: () => Promise<unknown>): void;

export class Session {
  private constructor();
  /** `assets` is the address of the folder that holds the embedded model and the examples. */
  static open(assets: string | undefined): Promise<Session>;
  /** A stored file, whole, by the path of `StoredFile`. */
  read(path: string[]): Promise<Uint8Array<ArrayBuffer>>;
  /** Rejects with a `Failure` of messages.ts. */
  handle(id: number, request: Request, files: GivenFile[], on: (event: Event) => void): Promise<unknown>;
}
