// The wasm build, which Vite resolves in target/web. Declared by hand so that types can be checked without building it.
declare module "rootstock-wasm" {
  import type { Event, Request } from "./messages.js";
  import type { GivenFile } from "./protocol.js";

  /** Loads and compiles the module. */
  export default function init(): Promise<unknown>;

  export class Session {
    private constructor();
    /** `home` is the address of the page's folder. */
    static open(home: string): Promise<Session>;
    /** A stored file, whole, by the path of `StoredFile`. */
    read(path: string[]): Promise<Uint8Array<ArrayBuffer>>;
    /** Rejects with an `Error` whose message is meant for the user. */
    handle(id: number, request: Request, files: GivenFile[], on: (event: Event) => void): Promise<unknown>;
  }
}
