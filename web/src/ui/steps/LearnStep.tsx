import { useEffect } from "preact/hooks";
import { address } from "../learn/address.js";
import { lessonOf } from "../learn/lessons.js";
import { lazily } from "../parts/Lazily.js";
import { listRuns } from "../state/base.js";
import { failed } from "../state/faults.js";
import { text } from "../text/index.js";

/** The head of the lesson that the address names. */
export function lessonHead(): { title: string; line: string } | null {
  const lesson = lessonOf(address.value.lesson);
  return lesson && text.lessonList[lesson.slug];
}

const Learn = lazily(async () => (await import("../learn/Learn.js")).Learn);

/** The classroom, which is loaded when someone enters it. */
export function LearnStep() {
  // Lessons train and delete runs, too.
  useEffect(() => () => void listRuns().catch(failed), []);
  return <Learn />;
}
