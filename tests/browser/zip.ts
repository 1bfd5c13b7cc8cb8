// Unpacks a zip of stored (not compressed) files, as the page writes them.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const END = 0x06054b50;
const ENTRY = 0x02014b50;

/** Writes what is in the zip below a folder; returns the names. APPNOTE.TXT 4.3.12 and 4.3.16. */
export function unpack(zip: string, folder: string): string[] {
  const bytes = readFileSync(zip);
  let end = bytes.length - 22;
  while (end >= 0 && bytes.readUInt32LE(end) !== END) end -= 1;
  if (end < 0) throw new Error("this is not a zip");
  const names: string[] = [];
  let at = bytes.readUInt32LE(end + 16);
  for (let left = bytes.readUInt16LE(end + 10); left > 0; left -= 1) {
    if (bytes.readUInt32LE(at) !== ENTRY || bytes.readUInt16LE(at + 10) !== 0) throw new Error("an entry that is not stored");
    const size = bytes.readUInt32LE(at + 24);
    const [nameLength, extra, comment] = [28, 30, 32].map((offset) => bytes.readUInt16LE(at + offset)) as [number, number, number];
    const name = bytes.toString("utf8", at + 46, at + 46 + nameLength);
    const local = bytes.readUInt32LE(at + 42);
    const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    if (normalize(name).startsWith("..")) throw new Error(`${name} leaves the folder`);
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), bytes.subarray(start, start + size));
    names.push(name);
    at += 46 + nameLength + extra + comment;
  }
  return names;
}
