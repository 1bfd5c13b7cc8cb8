// The worker: owns the wasm build, the GPU device and the stored runs. Its logic is in src/web of the Rust library.
import init, { Session } from "rootstock-wasm";
import type { Event } from "./messages.js";
import type { FromWorker, ToWorker } from "./protocol.js";

const say = (message: FromWorker) => self.postMessage(message);

/** The page's folder, which contains the embedded files. Vite puts the worker into `assets/`. */
const home = new URL("../", self.location.href).href;

async function start(): Promise<void> {
  await init();
  const session = await Session.open(home);
  self.addEventListener("message", ({ data }: MessageEvent<ToWorker>) => void answer(session, data));
  say({ type: "ready" });
}

async function answer(session: Session, message: ToWorker): Promise<void> {
  const { id } = message;
  try {
    if ("read" in message) {
      say({ type: "reply", id, reply: await session.read(message.read) });
      return;
    }
    const { request, files } = message;
    const reply = await session.handle(id, request, files ?? [], (event: Event) => say({ type: "event", id, event }));
    say({ type: "reply", id, reply });
  } catch (error) {
    say({ type: "fault", id, error: sentence(error) });
  }
}

/** The library's errors already have messages for the user; any other error is a bug, and a panic leaves wasm unusable. */
function sentence(error: unknown): string {
  if (error instanceof WebAssembly.RuntimeError) {
    return `This is a bug in Rootstock (${error.message}); the browser's console has its place. Reload the page: stored runs go on from their last snapshot.`;
  }
  return error instanceof Error ? error.message : String(error);
}

start().catch((error: unknown) => say({ type: "broken", error: `The worker could not start: ${sentence(error)}` }));
