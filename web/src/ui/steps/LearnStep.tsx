import type { FunctionComponent } from "preact";
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { address } from "../learn/address.js";
import { lessonOf } from "../learn/lessons.js";
import { listRuns } from "../state/base.js";
import { failed } from "../state/faults.js";

/** The head of the lesson that the address names. */
export function lessonHead(): { title: string; line: string } | null {
  return lessonOf(address.value.lesson);
}

/** The classroom, which is loaded when someone enters it. */
export function LearnStep() {
  const body = useSignal<{ Learn: FunctionComponent } | null>(null);
  useEffect(() => {
    import("../learn/Learn.js").then((loaded) => (body.value = loaded), failed);
    return () => void listRuns().catch(failed); // lessons train and delete runs, too
  }, [body]);
  const Learn = body.value?.Learn;
  return Learn ? <Learn /> : <p class="soft">Loading the lessons …</p>;
}
