import type { FunctionComponent } from "preact";
import { useEffect } from "preact/hooks";
import { signal } from "@preact/signals";
import { failed } from "../state/faults.js";
import { text } from "../text/index.js";
import { textsThere } from "../text/language.js";

/** A part of the page that is loaded, with its texts, when it is shown for the first time. */
export function lazily(load: () => Promise<FunctionComponent>): FunctionComponent {
  const loaded = signal<{ Body: FunctionComponent } | null>(null);
  return function Lazily() {
    useEffect(() => {
      if (loaded.peek() === null) load().then((Body) => textsThere().then(() => (loaded.value = { Body }))).catch(failed);
    }, []);
    const Body = loaded.value?.Body;
    return Body ? <Body /> : <p class="soft">{text.shell.loading}</p>;
  };
}
