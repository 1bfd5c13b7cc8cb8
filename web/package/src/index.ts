/** Fine-tunes small language models in a browser, by WebGPU, in a worker of its own. See the README beside this package. */
export * from "./rootstock.js";
export type * from "./messages.js";
export type { GivenFile } from "./protocol.js";
