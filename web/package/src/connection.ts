// The worker, and what is asked of it: requests as promises.
import { Fault, WorkerLost } from "./fault.js";
import type { Event, Replies, Request } from "./messages.js";
import type { FromWorker, GivenFile, ToWorker } from "./protocol.js";

/** Where the parts are that a session loads. */
export interface RootstockOptions {
  /**
   * The worker: its address, or a function that makes it. Without it, `worker.js` beside this module. It must come from the page's own
   * origin.
   */
  worker?: URL | string | (() => Worker);
  /**
   * The folder with the embedded model and the examples, a copy of this package's `dist/assets`; relative addresses are the page's.
   * Without it a session knows neither, and loads only what it is given.
   */
  assets?: URL | string;
}

/** What may go with a request. */
export interface CallOptions {
  /** The files of `open` with `source: files`, of `adopt`, and of data whose files have no text. */
  files?: GivenFile[];
  /** Receives the request's events. */
  on?: (event: Event) => void;
  /** Cancels the request; it then ends as `cancel` says, and the promise with it. */
  signal?: AbortSignal;
}

interface Waiting {
  resolve: (reply: unknown) => void;
  reject: (error: Error) => void;
  on: ((event: Event) => void) | undefined;
}

/** Requests and replies. The first request starts the worker. */
export class Connection {
  readonly #options: RootstockOptions;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | null = null;
  #ready: Promise<Worker> | null = null;
  #next = 1;
  #closed = false;

  constructor(options: RootstockOptions) {
    this.#options = options;
  }

  /** Sends a request; the first one starts the worker. */
  async call<R extends Request>(request: R, { files, on, signal }: CallOptions = {}): Promise<Replies[R["kind"]]> {
    signal?.throwIfAborted();
    const id = this.#next++;
    const cancel = () => void this.call({ kind: "cancel", request: id }).catch(() => undefined);
    // The worker may still be starting: a request that is given up before it was sent needs no cancelling.
    await this.#started();
    signal?.throwIfAborted();
    signal?.addEventListener("abort", cancel);
    try {
      return (await this.#send(files ? { id, request, files } : { id, request }, on)) as Replies[R["kind"]];
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** A stored file, whole, by the path of `StoredFile`. */
  async read(path: string[]): Promise<Uint8Array<ArrayBuffer>> {
    await this.#started();
    return (await this.#send({ id: this.#next++, read: path })) as Uint8Array<ArrayBuffer>;
  }

  /** Ends the worker at once. The next request starts a new one. */
  terminate(reason: string): void {
    this.#drop(new WorkerLost(reason));
  }

  /** Ends the worker for good. */
  close(): void {
    this.#closed = true;
    this.#drop(new Fault("closed", CLOSED));
  }

  async #send(message: Extract<ToWorker, { id: number }>, on?: (event: Event) => void): Promise<unknown> {
    const worker = await this.#started();
    return new Promise((resolve, reject) => {
      this.#waiting.set(message.id, { resolve, reject, on });
      try {
        worker.postMessage(message);
      } catch (error) {
        // Something in the request cannot be copied to a worker: a function, say.
        this.#waiting.delete(message.id);
        reject(new Fault("request", `The request cannot be sent to the worker: ${String(error)}`));
      }
    });
  }

  #started(): Promise<Worker> {
    if (this.#closed) return Promise.reject(new Fault("closed", CLOSED));
    this.#ready ??= new Promise((resolve, reject) => {
      const worker = this.#create();
      this.#worker = worker;
      worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
        if (data.type === "ready") resolve(worker);
        else if (data.type === "broken") fail(new Fault(data.fault.code, data.fault.sentence, data.fault.place));
        else this.#hear(data);
      };
      worker.onerror = (event) => {
        const lost = event.message
          ? `The worker has failed: ${event.message}. Reload the page; what was stored is kept.`
          : "The worker could not be loaded: its file is missing or is no JavaScript, or a content security policy forbids it. The browser's network panel shows its address; the package's README says how bundlers find it.";
        fail(new WorkerLost(lost));
      };
      const fail = (fault: Fault) => {
        if (this.#worker === worker) this.#drop(fault);
      };
      this.#giveUp = reject;
      const first: ToWorker = { assets: folder(this.#options.assets) };
      worker.postMessage(first);
    });
    return this.#ready;
  }

  /** Rejects who waits for the worker to start. */
  #giveUp: (fault: Fault) => void = () => undefined;

  #create(): Worker {
    const { worker } = this.#options;
    try {
      // Bundlers look for exactly this expression.
      if (worker === undefined) return new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "rootstock" });
      if (typeof worker === "function") return worker();
      return new Worker(new URL(worker, document.baseURI), { type: "module", name: "rootstock" });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Fault(
        "worker",
        `The browser starts no worker here: ${why} The worker must lie at the page's own origin, ${location.origin}: copy the package's dist folder there.`,
      );
    }
  }

  #drop(fault: Fault): void {
    this.#worker?.terminate();
    this.#worker = null;
    this.#ready = null;
    this.#giveUp(fault);
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of all) reject(fault);
  }

  #hear(message: Extract<FromWorker, { id: number }>): void {
    const waiting = this.#waiting.get(message.id);
    if (message.type === "event") {
      waiting?.on?.(message.event);
      return;
    }
    this.#waiting.delete(message.id);
    if (message.type === "reply") waiting?.resolve(message.reply);
    else waiting?.reject(new Fault(message.fault.code, message.fault.sentence, message.fault.place));
  }
}

const CLOSED = "This session was closed; make another one.";

/** The address of a folder, with a slash at its end. */
function folder(given: URL | string | undefined): string | null {
  return given === undefined ? null : new URL(given, document.baseURI).href.replace(/\/*$/, "/");
}
