// Neutralises untrusted text: control characters and bidirectional formatting characters are shown as escapes instead of taking effect.
import { Fragment, options, type VNode } from "preact";

/** Characters that take effect instead of being visible, except line ends and tabs. */
const ACTING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Replaces these characters by escapes such as `\u{1b}`, like the program's own messages. */
export function shown(text: string): string {
  return text.replace(ACTING, (character) => (character === "\r" ? "\\r" : `\\u{${character.charCodeAt(0).toString(16)}}`));
}

/** Attributes whose text users see or hear. */
const READ = ["title", "aria-label", "placeholder"];

/** Applies `shown` to every text that the page renders. */
export function showAll(): void {
  const before = options.vnode?.bind(options);
  options.vnode = (vnode: VNode) => {
    if (typeof vnode.type === "string" || vnode.type === Fragment) {
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
