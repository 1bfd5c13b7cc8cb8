// What a page gives (files, text, bytes), as the worker takes it.
import type { BaseSource, Columns, DataFile, DataSource } from "./messages.js";
import type { GivenFile } from "./protocol.js";
import { recognise } from "./recognise.js";

/** Bytes that are at hand. */
export type Bytes = Blob | ArrayBuffer | ArrayBufferView<ArrayBuffer>;

/** Where a model comes from. */
export type ModelSource =
  /** The embedded model, from `assets`. */
  | "embedded"
  /** The files of a Hugging Face folder, as an input or a drop gives them, or one GGUF file. */
  | { files: Iterable<File | GivenFile>; name?: string }
  /** The same, from memory: name in the folder → content. */
  | { bytes: Record<string, Bytes | string>; name?: string }
  /** A GGUF file. */
  | { gguf: Bytes; name?: string }
  /** A model's id on Hugging Face (`owner/name`), or the address of a folder or a GGUF file. */
  | { url: string }
  /** A kept run or model, by its id. */
  | { run: string };

/** What a model learns from. */
export type Data =
  /** Text: plain, JSON, JSON Lines or CSV. `name` ends as a file of that kind; without it the text's begin decides. */
  | { text: string; name?: string; columns?: Columns }
  /** Records: `{instruction, output}`, `{messages: [{role, content}]}`, `{text}` and the other forms of docs/datasets.md. */
  | { records: readonly object[] }
  /** Files of these kinds, one after the other, also packed (`.gz`, `.zst`). The worker reads them a piece at a time, whatever their size. */
  | { files: Iterable<File>; columns?: Columns }
  /** An example, from `assets`. */
  | { example: string };

/** A model's source and files, as a request takes them. */
export function modelRequest(given: ModelSource): { source: BaseSource; files?: GivenFile[] } {
  if (given === "embedded") return { source: { kind: "embedded" } };
  if ("url" in given) return { source: { kind: "url", url: given.url } };
  if ("run" in given) return { source: { kind: "run", id: given.run } };
  const { name, files } = modelFiles(given);
  return { source: { kind: "files", name }, files };
}

/** The files of a folder, and what it is called. */
export function modelFiles(given: Extract<ModelSource, { files: unknown } | { bytes: unknown } | { gguf: unknown }>): {
  name: string;
  files: GivenFile[];
} {
  if ("gguf" in given) {
    const name = given.name ?? (given.gguf instanceof File ? given.gguf.name : "model.gguf");
    return { name, files: [{ path: name.endsWith(".gguf") ? name : `${name}.gguf`, file: fileOf(given.gguf, name) }] };
  }
  const all =
    "bytes" in given
      ? Object.entries(given.bytes).map(([path, bytes]) => ({ path, file: fileOf(bytes, path) }))
      : Array.from(given.files, (file) => (file instanceof File ? { path: file.webkitRelativePath || file.name, file } : file));
  const folder = modelFolder(all);
  return { name: given.name ?? folder.name, files: folder.files };
}

/**
 * The files relative to the folder that contains `config.json` (or, for an adapter, `adapter_config.json`), and that folder's
 * name: what is given may be the folder, its parent, or its content. A GGUF file alone has its own name.
 */
export function modelFolder(files: GivenFile[]): { name: string; files: GivenFile[] } {
  const depth = (path: string) => path.split("/").length;
  const marks = files.filter(({ path }) => /(^|\/)(adapter_)?config\.json$/.test(path));
  marks.sort((a, b) => depth(a.path) - depth(b.path));
  const gguf = marks.length === 0 ? files.find(({ path }) => /\.gguf$/i.test(path)) : undefined;
  const first = marks[0] ?? gguf ?? files[0];
  const folder = first ? first.path.split("/").slice(0, -1).join("/") : "";
  const prefix = folder === "" ? "" : `${folder}/`;
  const inside = files.filter(({ path }) => path.startsWith(prefix));
  const name = gguf?.path.split("/").at(-1) ?? (folder.split("/").at(-1) || "the chosen files");
  return { name, files: inside.map(({ path, file }) => ({ path: path.slice(prefix.length), file })) };
}

/** Data as a request takes it, and the files that travel beside the request. */
export interface DataRequest {
  source: DataSource;
  files: GivenFile[];
}

export function dataRequest(given: Data): DataRequest {
  if ("example" in given) return { source: { kind: "example", name: given.example }, files: [] };
  if ("records" in given) {
    const text = given.records.map((record) => `${JSON.stringify(record)}\n`).join("");
    return { source: { kind: "files", files: [{ name: "records.jsonl", text }] }, files: [] };
  }
  if ("text" in given) {
    const { text, name = `text.${recognise(text) ?? "txt"}`, columns } = given;
    const file: DataFile = columns ? { name, text, columns } : { name, text };
    return { source: { kind: "files", files: [file] }, files: [] };
  }
  const { columns = null } = given;
  const files = Array.from(given.files, besideRequest);
  return { source: { kind: "files", files: files.map(({ path, file }) => ({ name: file.name, file: path, columns })) }, files };
}

const paths = new WeakMap<File, string>();
let numbered = 0;

/** A data file as it travels beside a request. Its path is the same in every request, and no other file has it: the worker knows by it what it has read. */
export function besideRequest(file: File): GivenFile {
  let path = paths.get(file);
  if (path === undefined) {
    numbered += 1;
    path = `${numbered}/${file.name}`;
    paths.set(file, path);
  }
  return { path, file };
}

function fileOf(content: Bytes | string, name: string): File {
  return content instanceof File ? content : new File([content], name);
}
