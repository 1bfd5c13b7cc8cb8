import type { Connection } from "./connection.js";
import type { StoredFile } from "./messages.js";

/** A file of a result: of a model, or of an adapter. */
export class ResultFile {
  /** Its name in the model's folder. */
  readonly name: string;
  /** Its size in bytes. */
  readonly size: number;
  readonly #stored: StoredFile;
  readonly #connection: Pick<Connection, "read">;

  /** @internal */
  constructor(connection: Pick<Connection, "read">, stored: StoredFile) {
    this.#connection = connection;
    this.#stored = stored;
    this.name = stored.name;
    this.size = stored.bytes;
  }

  /** The file. Its bytes stay on disk until they are read: `stream()`, `slice()` and `URL.createObjectURL` take it in parts. */
  file(): Promise<File> {
    return storedFile(this.#connection, this.#stored);
  }

  /** Its bytes, whole in memory. */
  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await (await this.file()).arrayBuffer());
  }
}

/** A stored file: read from the browser's storage when it is used; where the browser has none, whole from the worker's memory. */
export async function storedFile(session: { read: (path: string[]) => Promise<Uint8Array<ArrayBuffer>> }, { name, path }: StoredFile): Promise<File> {
  const last = path.at(-1) ?? name;
  try {
    let folder = await navigator.storage.getDirectory();
    for (const part of path.slice(0, -1)) folder = await folder.getDirectoryHandle(part);
    return await (await folder.getFileHandle(last)).getFile();
  } catch {
    return new File([await session.read(path)], last);
  }
}
