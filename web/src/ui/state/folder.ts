// The folder that the base was opened from: browsers that allow it open the same one again after a reload, when they are asked to.
import { signal } from "@preact/signals";
import { inFolder, type Given } from "../files.js";
import { text } from "../text/index.js";
import { within } from "./database.js";

/** What is kept: the browser's handle, and the name under which the base was opened. */
interface Folder {
  name: string;
  handle: FileSystemDirectoryHandle;
}

/** The folder of the last visit, where this browser can open it again. */
export const folder = signal<Folder | null>(null);

const KEY = "folder";

/** Keeps the folder for the next visit; `null` forgets the one that is kept. */
export async function rememberFolder(opened: Folder | null): Promise<void> {
  folder.value = opened;
  try {
    if (opened) await within("readwrite", (store) => store.put(opened, KEY));
    else await within("readwrite", (store) => store.delete(KEY));
  } catch (error) {
    console.warn("The folder must be chosen again next time:", error);
  }
}

export async function restoreFolder(): Promise<void> {
  folder.value = ((await within("readonly", (store) => store.get(KEY))) as Folder | undefined) ?? null;
}

/** Part of every handle, and not yet of the types. */
interface Asks {
  requestPermission?: (options: { mode: "read" }) => Promise<PermissionState>;
}

/** The files of the folder of the last visit; the browser asks the user first. */
export async function openAgain({ name, handle }: Folder): Promise<Given[]> {
  const allowed = await (handle as Asks).requestPermission?.({ mode: "read" });
  if (allowed !== undefined && allowed !== "granted") {
    throw new Error(text.results.folder.refused(name));
  }
  try {
    return await inFolder(handle);
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotFoundError") {
      throw new Error(text.results.folder.gone(name));
    }
    throw error;
  }
}
