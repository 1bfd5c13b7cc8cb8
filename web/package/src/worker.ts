// The worker: owns the wasm build, the GPU device and the stored runs. Its logic is in src/web of the Rust library.
import init, { deferred, parquet_by, Session } from "./wasm/rootstock.js";
import type { Event, Request } from "./messages.js";
import type { FromWorker, ToldFault, ToWorker } from "./protocol.js";

type Asked = Exclude<ToWorker, { assets: unknown }>;

/** What needs the program's first part only: the device, the embedded model, and what is kept. All else waits for the second part. */
const FIRST: ReadonlySet<Request["kind"]> = new Set(["device", "tune", "examples", "runs", "describe", "remove", "storage", "cancel"] as const);

const needsAll = (request: Request) => !FIRST.has(request.kind) && !(request.kind === "open" && request.source.kind === "embedded");

const say = (message: FromWorker) => self.postMessage(message);

let opened: Promise<Session> | null = null;

self.addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  if (!("assets" in data)) {
    void answer(data);
    return;
  }
  opened = open(data.assets);
  opened.then(
    () => say({ type: "ready" }),
    (error: unknown) => {
      const { code, sentence, place } = told(error, "worker");
      say({ type: "broken", fault: { code, sentence: `The worker could not start: ${sentence}`, place } });
    },
  );
});

async function open(assets: string | null): Promise<Session> {
  await init();
  parquet_by(() => import("./parquet.js"));
  return Session.open(assets ?? undefined);
}

async function answer(message: Asked): Promise<void> {
  const { id } = message;
  try {
    const session = await opened;
    if (session === null) throw new Error("A request came before the worker was opened.");
    if ("read" in message) {
      say({ type: "reply", id, reply: await session.read(message.read) });
      return;
    }
    const { request, files } = message;
    if (needsAll(request)) await deferred();
    const reply = await session.handle(id, request, files ?? [], (event: Event) => say({ type: "event", id, event }));
    say({ type: "reply", id, reply });
  } catch (error) {
    say({ type: "fault", id, fault: told(error, "bug") });
  }
}

/** The library's failures already have a code and a sentence; any other error is a bug, or the browser refuses the wasm build. */
function told(error: unknown, otherwise: "worker" | "bug"): ToldFault {
  if (error instanceof WebAssembly.RuntimeError) {
    const sentence = `This is a bug in Rootstock (${error.message}); the browser's console has its place. Reload the page: stored runs go on from their last snapshot.`;
    return { code: "bug", sentence, place: {} };
  }
  if (isFault(error)) return error;
  return { code: otherwise, sentence: error instanceof Error ? error.message : String(error), place: {} };
}

function isFault(error: unknown): error is ToldFault {
  return typeof error === "object" && error !== null && "code" in error && "sentence" in error && "place" in error;
}
