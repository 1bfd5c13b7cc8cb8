// The client of the worker: requests as promises.
import type { Event, Replies, Request } from "./messages.js";
import type { FromWorker, GivenFile, ToWorker } from "./protocol.js";

export interface CallOptions {
  /** The files of `open` with `source: files`. */
  files?: GivenFile[];
  /** Receives the request's events. */
  on?: (event: Event) => void;
  /** Cancels the request at its next await point. */
  signal?: AbortSignal;
}

interface Waiting {
  resolve: (reply: unknown) => void;
  reject: (error: Error) => void;
  on: ((event: Event) => void) | undefined;
}

/** A request failed; the message is meant for the user. */
export class Fault extends Error {}

/** The worker has ended, with everything it held in memory. Stored data is kept, and the next request starts a new worker. */
export class WorkerLost extends Fault {}

/** Where the parts are that a `Rootstock` loads. */
export interface RootstockOptions {
  /** Makes the worker, where it does not lie beside this module as `worker.js`. */
  worker?: () => Worker;
  /** The folder with the embedded model and the examples: `assets` of this package. Without it there are none. */
  assets?: URL | string;
}

/** A session: a worker with its GPU device, the open base, the prepared data and the run. */
export class Rootstock {
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | null = null;
  #ready: Promise<Worker> | null = null;
  #next = 1;
  readonly #options: RootstockOptions;

  constructor(options: RootstockOptions = {}) {
    this.#options = options;
  }

  /** Sends a request to the worker; the first request starts it. */
  async call<R extends Request>(request: R, options: CallOptions = {}): Promise<Replies[R["kind"]]> {
    options.signal?.throwIfAborted();
    const worker = await this.#start();
    const id = this.#next++;
    const reply = new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, on: options.on });
    });
    const message: ToWorker = options.files ? { id, request, files: options.files } : { id, request };
    const cancel = () => void this.call({ kind: "cancel", request: id });
    options.signal?.addEventListener("abort", cancel);
    worker.postMessage(message);
    try {
      return (await reply) as Replies[R["kind"]];
    } finally {
      options.signal?.removeEventListener("abort", cancel);
    }
  }

  /** A stored file, whole, by the path of `StoredFile`: for browsers that let a page read no storage. */
  async read(path: string[]): Promise<Uint8Array<ArrayBuffer>> {
    const worker = await this.#start();
    const id = this.#next++;
    const reply = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject, on: undefined }));
    const message: ToWorker = { id, read: path };
    worker.postMessage(message);
    return (await reply) as Uint8Array<ArrayBuffer>;
  }

  /** Terminates the worker at once. The next request starts a new one; stored data is kept. */
  terminate(reason = "The worker was ended."): void {
    this.#worker?.terminate();
    this.#worker = null;
    this.#ready = null;
    this.#fail(reason);
  }

  #start(): Promise<Worker> {
    this.#ready ??= new Promise((resolve, reject) => {
      const worker = this.#options.worker?.() ?? new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "rootstock" });
      this.#worker = worker;
      const first: ToWorker = { assets: folder(this.#options.assets) };
      worker.postMessage(first);
      worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
        if (data.type === "ready") resolve(worker);
        else if (data.type === "broken") reject(new Fault(data.error));
        else this.#hear(data);
      };
      worker.onerror = (event) => {
        const reason = `The worker has failed: ${event.message || "it could not be loaded"}. Reload the page; what was stored is kept.`;
        reject(new WorkerLost(reason));
        this.terminate(reason);
      };
    });
    return this.#ready;
  }

  #hear(message: Exclude<FromWorker, { type: "ready" | "broken" }>): void {
    const waiting = this.#waiting.get(message.id);
    if (message.type === "event") {
      waiting?.on?.(message.event);
      return;
    }
    this.#waiting.delete(message.id);
    if (message.type === "reply") waiting?.resolve(message.reply);
    else waiting?.reject(new Fault(message.error));
  }

  #fail(reason: string): void {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of all) reject(new WorkerLost(reason));
  }
}

/** The address of a folder, with a slash at its end. */
function folder(given: URL | string | undefined): string | null {
  return given === undefined ? null : new URL(given, document.baseURI).href.replace(/\/*$/, "/");
}
