import type { ComponentChildren } from "preact";

/** The severity of a message. */
export type Kind = "info" | "good" | "warning" | "error";

interface NoticeProps {
  kind: Kind;
  /** A button for the message, at its end. */
  action?: ComponentChildren;
  children: ComponentChildren;
}

/** A message, placed beside its subject. Screen readers announce an error at once, other messages when they reach them. */
export function Notice({ kind, action, children }: NoticeProps) {
  return (
    <div class="notice" data-kind={kind} role={kind === "error" ? "alert" : undefined}>
      <div>{children}</div>
      {action && <div class="row">{action}</div>}
    </div>
  );
}

/** A one-word status. */
export function Tag({ kind, children }: { kind: Kind; children: ComponentChildren }) {
  return (
    <span class="tag" data-kind={kind}>
      {children}
    </span>
  );
}
