// Routing: the address holds the current place, so that back, forward and bookmarks work.
import { signal } from "@preact/signals";
import { STEPS, type Step } from "./state/steps.js";

/** The places of the page: the first screen, the steps, and the stored runs. */
export type Place = "home" | "runs" | Step;

const PLACES: readonly Place[] = ["home", ...STEPS, "runs"];

function current(): Place {
  const name = location.hash.replace(/^#\/?/, "");
  return PLACES.find((place) => place === name) ?? "home";
}

export const route = signal<Place>(current());

/** The address of a place. */
export function href(place: Place): string {
  return place === "home" ? "#/" : `#/${place}`;
}

/** Navigates to a place, as a link would. */
export function go(place: Place): void {
  location.hash = href(place);
}

/** Keeps the current place in sync with the address. */
export function followAddress(): void {
  addEventListener("hashchange", () => (route.value = current()));
}
