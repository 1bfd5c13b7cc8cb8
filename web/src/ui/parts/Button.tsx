import type { ComponentChildren } from "preact";
import { useSignal } from "@preact/signals";
import { failed } from "../state/faults.js";

interface ButtonProps {
  /** `first` is the main action of a step; `danger` is a destructive one. */
  kind?: "first" | "plain" | "quiet" | "danger";
  /** May be asynchronous: the button stays pressed until it is done, and a failure is shown. */
  onPress: () => unknown;
  disabled?: boolean;
  /** The full name for screen readers, if the visible one is only clear in context. */
  label?: string;
  expanded?: boolean;
  /** As high as the text around it. */
  small?: boolean;
  children: ComponentChildren;
}

/** A button that waits for its action to complete. */
export function Button({ kind = "plain", onPress, disabled = false, label, expanded, small, children }: ButtonProps) {
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
      data-small={small || undefined}
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
