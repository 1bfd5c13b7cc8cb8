// Makes the browser ask for confirmation before leaving the page if something would be lost.
import { effect } from "@preact/signals";
import { files, heldOut, pasted, written } from "./data.js";
import { active } from "./phase.js";

/** Whether steps since the last snapshot, or data that exists nowhere else, would be lost. */
function loses(): boolean {
  const typed = pasted.value.trim() !== "" || written.value.some((turns) => turns.some(({ content }) => content.trim() !== ""));
  return active.value || typed || files.value.length > 0 || heldOut.value.length > 0;
}

const ask = (event: BeforeUnloadEvent) => event.preventDefault();

export function followLeaving(): void {
  effect(() => {
    if (loses()) addEventListener("beforeunload", ask);
    else removeEventListener("beforeunload", ask);
  });
}
