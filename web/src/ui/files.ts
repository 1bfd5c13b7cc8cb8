// Files dropped or picked by the user, with their paths.

import type { GivenFile as Given } from "rootstock";
import { text } from "./text/index.js";

export type { Given };

/** Limit on the number of files: far more than a model's folder holds, but a dropped home directory is refused quickly. */
const MOST_FILES = 2000;

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
