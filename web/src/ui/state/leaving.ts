// Makes the browser ask for confirmation before leaving the page if something would be lost.
import { effect } from "@preact/signals";
import { active } from "./phase.js";
import { unsaved } from "./session.js";

const ask = (event: BeforeUnloadEvent) => event.preventDefault();

export function followLeaving(): void {
  effect(() => {
    // Steps since the last snapshot, or changes that are not kept yet.
    if (active.value || unsaved.value) addEventListener("beforeunload", ask);
    else removeEventListener("beforeunload", ask);
  });
}
