// Where the page begins: the worker is started, and the client to it can be had from the browser's console as `rootstock`.
import { Client } from "./client.js";

const client = new Client();
Object.assign(globalThis, { rootstock: client });

const adapter = await client.call({ kind: "adapter" });
document.querySelector("#app")?.append(adapter?.name ?? "no WebGPU");
