// The clipboard, which browsers offer to secure addresses only.
import { text } from "./text/index.js";

/** Copies text, or says why it cannot be copied. */
export async function copy(words: string): Promise<void> {
  if (!("clipboard" in navigator)) throw new Error(text.shell.noClipboard);
  await navigator.clipboard.writeText(words);
}
