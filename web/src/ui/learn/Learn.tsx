// The classroom: the list of lessons, or the one that the address names.
import type { FunctionComponent } from "preact";
import { counted } from "../numbers.js";
import { NoGpu } from "../parts/NoGpu.js";
import { Notice } from "../parts/Notice.js";
import { text } from "../text/index.js";
import { lessonText } from "../text/lessons.js";
import { address, addressOf } from "./address.js";
import { reached } from "./frame.js";
import { LESSONS, lessonOf, type Slug } from "./lessons.js";
import { Learned } from "./lessons/Learned.js";
import { Memory } from "./lessons/Memory.js";
import { Method } from "./lessons/Method.js";
import { Rank } from "./lessons/Rank.js";
import { Step } from "./lessons/Step.js";
import { Strength } from "./lessons/Strength.js";
import { Whole } from "./lessons/Whole.js";
import "./learn.css";

const BODIES: Record<Slug, FunctionComponent> = { learned: Learned, step: Step, method: Method, rank: Rank, whole: Whole, strength: Strength, memory: Memory };

export function Learn() {
  const lesson = lessonOf(address.value.lesson);
  if (!lesson) return <List />;
  const Body = BODIES[lesson.slug];
  return (
    <>
      <NoGpu />
      <Body key={lesson.slug} />
    </>
  );
}

function List() {
  const minutes = LESSONS.reduce((sum, lesson) => sum + lesson.minutes, 0);
  return (
    <>
      {address.value.lesson !== null && (
        <div class="spaced">
          <Notice kind="warning">{lessonText.frame.noLesson(address.value.lesson)}</Notice>
        </div>
      )}
      <NoGpu />
      <ol class="lesson-list">
        {LESSONS.map(({ slug, minutes }, index) => {
          const { title, line } = text.lessonList[slug];
          const stage = reached.value[slug];
          return (
            <li key={slug} class="sheet">
              <a href={addressOf(slug)}>
                <span class="number" aria-hidden="true">
                  {index + 1}
                </span>
                <strong>{title}</strong>
              </a>
              <p>{line}</p>
              <p class="soft">
                {lessonText.frame.takes(counted(minutes, "minute"))}
                {stage && ` · ${lessonText.frame.reached[stage]}`}
              </p>
            </li>
          );
        })}
        <li class="all soft">{lessonText.frame.all(counted(minutes, "minute"))}</li>
      </ol>
    </>
  );
}
