import type { FunctionComponent } from "preact";
import { useEffect } from "preact/hooks";
import { signal } from "@preact/signals";
import { failed } from "../state/faults.js";

/** A part of the page that is loaded when it is shown for the first time. */
export function lazily(load: () => Promise<FunctionComponent>): FunctionComponent {
  const loaded = signal<{ Body: FunctionComponent } | null>(null);
  return function Lazily() {
    useEffect(() => {
      if (loaded.peek() === null) load().then((Body) => (loaded.value = { Body }), failed);
    }, []);
    const Body = loaded.value?.Body;
    return Body ? <Body /> : <p class="soft">Loading …</p>;
  };
}
