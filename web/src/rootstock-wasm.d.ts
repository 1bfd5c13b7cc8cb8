// The wasm build, which Vite finds in target/web. Declared by hand so that types are checked without building it.
declare module "rootstock-wasm" {
  import type { Event, Request } from "./messages.js";
  import type { GivenFile } from "./protocol.js";

  /** Loads and compiles the module. */
  export default function init(): Promise<unknown>;

  export class Session {
    private constructor();
    /** `home` is the page's folder. */
    static open(home: string): Promise<Session>;
    /** Rejects with an `Error` whose message is for the person. */
    handle(id: number, request: Request, files: GivenFile[], on: (event: Event) => void): Promise<unknown>;
  }
}
