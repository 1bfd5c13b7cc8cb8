/** Fine-tunes small language models in a browser, by WebGPU, in a worker of its own. */
export { Answer } from "./answer.js";
export type { CallOptions, RootstockOptions } from "./connection.js";
export { Fault, WorkerLost, type FaultCode } from "./fault.js";
export { besideRequest, modelFolder, type Bytes, type Data, type ModelSource } from "./given.js";
export type * from "./messages.js";
export type { GivenFile } from "./protocol.js";
export { recognise, type Pasted } from "./recognise.js";
export { ResultFile, storedFile } from "./result.js";
export {
  Rootstock,
  type EvaluateOptions,
  type GenerateOptions,
  type ModelOptions,
  type GgufOptions,
  type PrepareOptions,
  type TrainOptions,
  type WorkOptions,
} from "./rootstock.js";
export { Stream } from "./stream.js";
export { Training, type TrainingEvent } from "./training.js";
