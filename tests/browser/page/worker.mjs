// Calls one export of the wasm build in a worker, as the page does: the trainer owns its GPU device there.
// Says { result: "ready" }, takes { name, args }, answers { result } or { error }.

/** @typedef {(...args: unknown[]) => unknown} Export */
/** @typedef {{ name: string, args: unknown[] }} Call */

const wasmBuild = new URL("/wasm/rootstock.js", location.href).href;
const rootstock = /** @type {Record<string, Export>} */ (await import(wasmBuild));
await rootstock["default"]?.();

self.addEventListener("message", (/** @type {MessageEvent<Call>} */ event) => {
  void answer(event.data).then((message) => self.postMessage(message));
});
self.postMessage({ result: "ready" });

/** @param {Call} call */
async function answer({ name, args }) {
  const exported = rootstock[name];
  if (exported === undefined) return { error: `the wasm build exports no ${name}` };
  try {
    return { result: await exported(...args) };
  } catch (error) {
    return { error: String(error) };
  }
}
