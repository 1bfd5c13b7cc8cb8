import type { ComponentChildren } from "preact";
import { href } from "../route.js";
import type { Step } from "../state/steps.js";
import { text } from "../text/index.js";

interface OnwardProps {
  to: Step;
  /** What is missing before the next step makes sense, as a sentence. */
  missing?: string | null;
  /** What must be corrected on this step first, as a sentence. */
  wrong?: string | null;
  children?: ComponentChildren;
}

/** The end of a step: the link to the next one, or what is still missing. */
export function Onward({ to, missing = null, wrong = null, children }: OnwardProps) {
  return (
    <div class="onward">
      {wrong === null ? (
        <a class="button" data-kind={missing === null ? "first" : "plain"} href={href(to)}>
          {text.shell.next(text.shell.steps[to])}
        </a>
      ) : (
        <button type="button" class="button" disabled>
          {text.shell.next(text.shell.steps[to])}
        </button>
      )}
      {(wrong ?? missing) !== null && <small>{wrong ?? missing}</small>}
      {children}
    </div>
  );
}

/** Shown instead of a step that cannot do anything yet. */
export function Missing({ to, children }: { to: Step; children: ComponentChildren }) {
  return (
    <div class="notice">
      <div>{children}</div>
      <a class="button" href={href(to)}>
        {text.shell.to(text.shell.steps[to])}
      </a>
    </div>
  );
}
