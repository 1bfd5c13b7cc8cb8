// Exports from the page: a file, a folder, a zip; streamed, and never whole in memory if the browser allows it.
import { makeZip } from "client-zip";
import type { StoredFile } from "rootstock";
import { openStored } from "./state/engine.js";
import { text } from "./text/index.js";

/** Receives the progress of an export. */
export type OnWritten = (done: number, total: number) => void;

/** File system pickers, which not every browser's types include yet. */
interface Pickers {
  showDirectoryPicker?: (options: { mode: "readwrite"; id: string }) => Promise<FileSystemDirectoryHandle>;
  showSaveFilePicker?: (options: { suggestedName: string }) => Promise<FileSystemFileHandle>;
}

/** Whether the browser can write into a folder. */
export const canWriteFolder = "showDirectoryPicker" in globalThis;

/** Downloads a small file. */
export function save(name: string, blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/**
 * Writes the files into a new folder `name` inside the folder that the user picks.
 *
 * Fails if `name` already exists there, so that no file of the user is overwritten.
 */
export async function saveFolder(name: string, files: () => Promise<StoredFile[]>, on: OnWritten): Promise<void> {
  const parent = await (globalThis as Pickers).showDirectoryPicker?.({ mode: "readwrite", id: "rootstock" });
  if (!parent) return;
  const list = await files();
  if (await exists(parent, name)) {
    throw new Error(text.use.folderThere(name));
  }
  const folder = await parent.getDirectoryHandle(name, { create: true });
  const total = list.reduce((sum, file) => sum + file.bytes, 0);
  let done = 0;
  for (const file of list) {
    const target = await (await folder.getFileHandle(file.name, { create: true })).createWritable();
    await (await openStored(file)).stream().pipeThrough(counted((some) => on((done += some), total))).pipeTo(target);
  }
}

async function exists(parent: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  try {
    await parent.getDirectoryHandle(name);
    return true;
  } catch (error) {
    return error instanceof DOMException && error.name === "TypeMismatchError";
  }
}

/** Saves the files as one zip: directly to disk where the browser supports it, otherwise as a download. */
export async function saveZip(name: string, files: () => Promise<StoredFile[]>, on: OnWritten): Promise<void> {
  const handle = await (globalThis as Pickers).showSaveFilePicker?.({ suggestedName: `${name}.zip` });
  const list = await files();
  const total = list.reduce((sum, file) => sum + file.bytes, 0);
  let done = 0;
  const zip = makeZip(entries(name, list)).pipeThrough(counted((some) => on((done += some), total)));
  if (handle) await zip.pipeTo(await handle.createWritable());
  else save(`${name}.zip`, await new Response(zip).blob());
}

/** Saves one file that `make` writes, which happens after a place was chosen for it. */
export async function saveMade(name: string, make: () => Promise<StoredFile>, on: OnWritten): Promise<void> {
  const handle = await (globalThis as Pickers).showSaveFilePicker?.({ suggestedName: name });
  const file = await make();
  let done = 0;
  const bytes = (await openStored(file)).stream().pipeThrough(counted((some) => on((done += some), file.bytes)));
  if (handle) await bytes.pipeTo(await handle.createWritable());
  else save(name, await new Response(bytes).blob());
}

async function* entries(folder: string, files: StoredFile[]) {
  for (const file of files) yield { name: `${folder}/${file.name}`, size: file.bytes, input: (await openStored(file)).stream() };
}

function counted(on: (bytes: number) => void): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  return new TransformStream({
    transform(chunk, controller) {
      on(chunk.byteLength);
      controller.enqueue(chunk);
    },
  });
}
