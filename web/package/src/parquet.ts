// Parquet files for the worker, which loads this module with the first such file. The library reads the bytes; this module decodes them.
import { parquetMetadata, parquetReadObjects, type FileMetaData } from "hyparquet";
import { compressors } from "hyparquet-compressors";

/** Where a row group's bytes lie in its file, and how many rows it has. */
interface Group {
  start: number;
  end: number;
  rows: number;
}

/** The rows of a file, one row group in memory at a time. */
class ParquetFile {
  readonly #metadata: FileMetaData;
  readonly #size: number;
  readonly groups: Group[];
  #rows: Record<string, unknown>[] = [];
  #at = 0;

  /** `footer` is the end of the file of `size` bytes, from its metadata on. */
  constructor(footer: Uint8Array, size: number) {
    this.#metadata = parquetMetadata(footer.slice().buffer);
    this.#size = size;
    this.groups = this.#metadata.row_groups.map(placeOf);
  }

  /** Decodes a row group, whose bytes these are. */
  async decode(index: number, bytes: Uint8Array): Promise<void> {
    const [group, place] = [this.#metadata.row_groups[index], this.groups[index]];
    if (!group || !place) throw new Error(`there is no row group ${index}`);
    const content = bytes.slice().buffer;
    const slice = (start: number, end = this.#size) => {
      if (start < place.start || end > place.end) throw new Error(`byte ${start} is outside the row group`);
      return content.slice(start - place.start, end - place.start);
    };
    const file = { byteLength: this.#size, slice };
    // Bytes that are not said to be text may be no text: `plain` decides.
    this.#rows = await parquetReadObjects({ file, metadata: { ...this.#metadata, row_groups: [group] }, compressors, utf8: false });
    this.#at = 0;
  }

  /** The next rows of the group, as a list in JSON; an empty one at its end. The worker hears messages before it goes on. */
  async next(count: number): Promise<string> {
    await turn();
    const rows = this.#rows.slice(this.#at, this.#at + count);
    this.#at += rows.length;
    if (rows.length === 0) this.#rows = [];
    return JSON.stringify(rows, (_, value: unknown) => plain(value));
  }
}

/** Opens a file by its end. */
export const open = (footer: Uint8Array, size: number): ParquetFile => new ParquetFile(footer, size);

function placeOf(group: FileMetaData["row_groups"][number]): Group {
  let [start, end] = [Infinity, 0];
  for (const { meta_data: of } of group.columns) {
    if (!of) throw new Error("a column has no metadata");
    const data = Number(of.data_page_offset);
    const dictionary = Number(of.dictionary_page_offset ?? 0n);
    const first = dictionary > 0 && dictionary < data ? dictionary : data;
    start = Math.min(start, first);
    end = Math.max(end, first + Number(of.total_compressed_size));
  }
  return { start: Math.min(start, end), end, rows: Number(group.num_rows) };
}

/** A value as JSON has it, and as the program gives it. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (!(value instanceof Uint8Array)) return value;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value);
  } catch {
    return { bytes: value.length };
  }
}

/** Lets the worker hear messages. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
