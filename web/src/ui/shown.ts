// Text from files of strangers, as the page shows it: a control character or a turn of the direction of reading does nothing, it is seen.
import { options, type VNode } from "preact";

/** What acts on the text around it instead of being seen; line ends and tabs are text. */
const ACTING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Text with what acts written as an escape such as `\u{1b}`, as the program's own messages write it. */
export function shown(text: string): string {
  return text.replace(ACTING, (character) => (character === "\r" ? "\\r" : `\\u{${character.charCodeAt(0).toString(16)}}`));
}

/** Attributes that are read by people. */
const READ = ["title", "aria-label", "placeholder"];

/** Lets every text that the page shows go through `shown`. */
export function showAll(): void {
  const before = options.vnode?.bind(options);
  options.vnode = (vnode: VNode) => {
    if (typeof vnode.type === "string") {
      const props = vnode.props as Record<string, unknown>;
      if ("children" in props) props["children"] = child(props["children"]);
      for (const name of READ) if (typeof props[name] === "string") props[name] = shown(props[name]);
    }
    before?.(vnode);
  };
}

function child(value: unknown): unknown {
  if (typeof value === "string") return shown(value);
  return Array.isArray(value) ? value.map(child) : value;
}
