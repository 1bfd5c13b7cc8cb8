import type { ComponentChildren } from "preact";

/** How well something stands. */
export type Kind = "info" | "good" | "warning" | "error";

interface NoticeProps {
  kind: Kind;
  /** What to press about it, at the end. */
  action?: ComponentChildren;
  children: ComponentChildren;
}

/** One message where it belongs. An error is announced at once, the rest when the reader comes to it. */
export function Notice({ kind, action, children }: NoticeProps) {
  return (
    <div class="notice" data-kind={kind} role={kind === "error" ? "alert" : undefined}>
      <div>{children}</div>
      {action && <div class="row">{action}</div>}
    </div>
  );
}

/** One word on how something stands. */
export function Tag({ kind, children }: { kind: Kind; children: ComponentChildren }) {
  return (
    <span class="tag" data-kind={kind}>
      {children}
    </span>
  );
}
