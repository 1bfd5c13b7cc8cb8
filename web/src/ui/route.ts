// Routing: the address holds the current step, so that back, forward and bookmarks work.
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

/** Navigates to a step, as a link would. */
export function go(step: Step): void {
  location.hash = href(step);
}

/** Keeps the current step in sync with the address. */
export function followAddress(): void {
  addEventListener("hashchange", () => (route.value = current()));
}
