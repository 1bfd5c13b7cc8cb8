import type { ComponentChildren } from "preact";
import { useSignal } from "@preact/signals";
import { failed } from "../state/faults.js";

interface ButtonProps {
  /** The one thing to do next is `first`; what destroys is `danger`. */
  kind?: "first" | "plain" | "quiet" | "danger";
  /** May take its time: the button stays pressed until it is done, and a failure is shown. */
  onPress: () => unknown;
  disabled?: boolean;
  /** The whole name for screen readers, where the visible one needs its surroundings. */
  label?: string;
  expanded?: boolean;
  children: ComponentChildren;
}

/** A button that waits for what it started. */
export function Button({ kind = "plain", onPress, disabled = false, label, expanded, children }: ButtonProps) {
  const busy = useSignal(false);
  const press = async () => {
    if (busy.value || disabled) return;
    busy.value = true;
    try {
      await onPress();
    } catch (error) {
      failed(error);
    } finally {
      busy.value = false;
    }
  };
  return (
    <button
      type="button"
      class="button"
      data-kind={kind}
      disabled={disabled}
      aria-busy={busy.value}
      aria-label={label}
      aria-expanded={expanded}
      onClick={() => void press()}
    >
      {children}
    </button>
  );
}
