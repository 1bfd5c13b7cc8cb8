// Recognises the format of pasted text.

/** The formats that can be pasted. */
export type Pasted = "jsonl" | "json" | "csv" | "txt";

/** The format of a text, or `null` for an empty one. Its begin decides, so that long texts cost nothing. */
export function recognise(text: string): Pasted | null {
  const begin = text.trimStart().slice(0, 20_000);
  if (begin === "") return null;
  if (begin.startsWith("[")) return "json";
  if (begin.startsWith("{")) {
    // Lines of objects, or one object over several lines.
    return isJson(begin.split("\n", 1)[0] ?? "") || !isJson(text) ? "jsonl" : "json";
  }
  const [head = "", second = ""] = begin.split("\n", 2);
  const columns = head.split(",");
  // A header names at least two columns, in few words each, and a row follows.
  const isHeader = columns.length > 1 && second.includes(",") && columns.every((name) => /^\s*"?[\p{L}_][\p{L}\p{N}_ -]{0,30}"?\s*$/u.test(name));
  return isHeader ? "csv" : "txt";
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
