// Files dropped or picked by the user, with their paths.

import type { GivenFile as Given } from "rootstock";
import { text } from "./text/index.js";

export type { Given };

/** Limit on the number of files: far more than a model's folder holds, but a dropped home directory is refused quickly. */
const MOST_FILES = 2000;

/** What the user gave: files, and the one folder that they are in where the browser can open it again. */
export interface Gift {
  files: Given[];
  folder: FileSystemDirectoryHandle | null;
}

/** What browsers offer beyond the standard types. */
interface Picker {
  showDirectoryPicker?: (options: { mode: "read"; id: string }) => Promise<FileSystemDirectoryHandle>;
}
interface Droppable {
  getAsFileSystemHandle?: () => Promise<FileSystemHandle | null>;
}

/** Whether the browser has a folder picker whose folders can be opened again after a reload. */
export const picksFolders = (): boolean => "showDirectoryPicker" in globalThis;

/** Lets the user pick a folder; `null` if none was picked. */
export async function pickFolder(): Promise<Gift | null> {
  try {
    const folder = await (globalThis as Picker).showDirectoryPicker?.({ mode: "read", id: "base" });
    return folder ? { files: await inFolder(folder), folder } : null;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return null;
    throw error;
  }
}

/** All files in a folder and below it; their paths begin with the folder's name. */
export async function inFolder(folder: FileSystemDirectoryHandle, found: Given[] = [], path = folder.name): Promise<Given[]> {
  for await (const entry of folder.values()) {
    if (found.length >= MOST_FILES) throw new Error(text.results.folder.tooMany(MOST_FILES, folder.name));
    if (entry instanceof FileSystemFileHandle) found.push({ path: `${path}/${entry.name}`, file: await entry.getFile() });
    else if (entry instanceof FileSystemDirectoryHandle) await inFolder(entry, found, `${path}/${entry.name}`);
  }
  return found;
}

/** The one folder of a drop, where the browser tells it. */
export async function folderOf(transfer: DataTransfer): Promise<FileSystemDirectoryHandle | null> {
  const [item, ...more] = Array.from(transfer.items);
  if (!item || more.length > 0 || item.kind !== "file") return null;
  const handle = await (item as Droppable).getAsFileSystemHandle?.().catch(() => null);
  return handle instanceof FileSystemDirectoryHandle ? handle : null;
}

/** All files of a drop, including those in folders. */
export async function filesOf(transfer: DataTransfer): Promise<Given[]> {
  // The list is emptied after the event, so collect the entries before walking them.
  const entries = Array.from(transfer.items, (item) => (item.kind === "file" ? item.webkitGetAsEntry() : null));
  const found: Given[] = [];
  for (const entry of entries) if (entry) await walk(entry, found);
  return found;
}

async function walk(entry: FileSystemEntry, found: Given[]): Promise<void> {
  if (found.length >= MOST_FILES) throw new Error(text.base.tooManyFiles(MOST_FILES));
  if (isFile(entry)) {
    const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject));
    found.push({ path: entry.fullPath.replace(/^\//, ""), file });
  } else if (isFolder(entry)) {
    const reader = entry.createReader();
    // A reader returns a hundred entries at a time, and an empty list at the end.
    for (;;) {
      const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
      if (some.length === 0) return;
      for (const inner of some) await walk(inner, found);
    }
  }
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}

function isFolder(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory;
}
