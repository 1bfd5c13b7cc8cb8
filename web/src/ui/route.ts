// Which step is shown: the address says it, so that back and forward and a bookmark work.
import { signal } from "@preact/signals";
import { STEPS, type Step } from "./state/steps.js";

function current(): Step {
  const name = location.hash.replace(/^#\/?/, "");
  return STEPS.find((step) => step === name) ?? "base";
}

export const route = signal<Step>(current());

/** The address of a step. */
export function href(step: Step): string {
  return `#/${step}`;
}

/** Goes to a step, as a link would. */
export function go(step: Step): void {
  location.hash = href(step);
}

/** Follows the address. */
export function followAddress(): void {
  addEventListener("hashchange", () => (route.value = current()));
}
