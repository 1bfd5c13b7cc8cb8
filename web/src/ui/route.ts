// Routing: the address holds the current place, so that back, forward and bookmarks work.
import { signal } from "@preact/signals";
import { rereadAddress } from "./learn/address.js";
import { STEPS, type Step } from "./state/steps.js";

/** The places of the page: the first screen, the steps, the stored runs, and the classroom, whose address has more behind it. */
export type Place = "home" | "runs" | "learn" | Step;

const PLACES: readonly Place[] = ["home", ...STEPS, "runs", "learn"];

function current(): Place {
  const [name] = location.hash.replace(/^#\/?/, "").split(/[/?]/, 1);
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
  addEventListener("hashchange", () => {
    route.value = current();
    rereadAddress();
  });
}
