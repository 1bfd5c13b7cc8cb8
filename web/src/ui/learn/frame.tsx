// What every lesson is made of: a prediction, something to do, what it shows, and the explanation; one below the other, or one at a time.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { signal, useSignal, type ReadonlySignal } from "@preact/signals";
import { copy } from "../copy.js";
import { Button } from "../parts/Button.js";
import { say } from "../state/faults.js";
import { text } from "../text/index.js";
import { lessonText } from "../text/lessons.js";
import { address, addressOf, addressToSend, change, numberAt, oneAt, textAt } from "./address.js";
import { load, store } from "./kept.js";
import { LESSONS, lessonOf } from "./lessons.js";

export const STAGES = ["predict", "do", "see", "explain"] as const;
export type Stage = (typeof STAGES)[number];

const PROGRESS = "progress";

/** How far each lesson was taken, by its slug. */
export const reached = signal<Readonly<Record<string, Stage>>>(load(PROGRESS) ?? {});

/** The furthest part that is shown. */
function stageNow(): Stage {
  return oneAt("at", STAGES, "predict");
}

/** Shows the parts of the lesson as far as this one. */
export function goTo(stage: Stage): void {
  if (STAGES.indexOf(stage) > STAGES.indexOf(stageNow())) change({ at: stage });
  const { lesson } = address.peek();
  if (lesson !== null && STAGES.indexOf(stage) > STAGES.indexOf(reached.peek()[lesson] ?? "predict")) {
    reached.value = { ...reached.peek(), [lesson]: stage };
    store(PROGRESS, reached.peek());
  }
}

interface LessonProps {
  prediction: PredictionProps;
  doing: ComponentChildren;
  /** What the experiment shows; `null` while there is nothing to see. */
  seeing: ComponentChildren;
  explaining: ComponentChildren;
}

/** A lesson. */
export function LessonFrame({ prediction, doing, seeing, explaining }: LessonProps) {
  const at = STAGES.indexOf(stageNow());
  const present = textAt("present", "") === "1";
  const place = useRef<HTMLDivElement>(null);
  const shown = usePresenting(present, place);
  const words = lessonText.frame;
  // While presenting, the part that is current is that of the scene.
  const current = present && shown.value ? STAGES.indexOf(shown.value.stage) : at;
  const parts: Record<Stage, ComponentChildren> = {
    predict: <Prediction {...prediction} />,
    do: doing,
    see: seeing ?? <p class="soft">{words.nothingToSee}</p>,
    explain: (
      <>
        <Outcome {...prediction} />
        {explaining}
        <Next />
      </>
    ),
  };
  return (
    <div class="lesson" ref={place}>
      <nav class="stages" aria-label={words.parts}>
        <ol>
          {STAGES.map((stage, index) => (
            <li key={stage} data-reached={index <= at || undefined}>
              <button
                type="button"
                aria-current={index === current ? "step" : undefined}
                onClick={() => {
                  goTo(stage);
                  focusOn(stage);
                }}
              >
                <span class="node" aria-hidden="true">
                  {index + 1}
                </span>
                {words.stages[stage]}
              </button>
            </li>
          ))}
        </ol>
        {present && shown.value && <Turns {...shown.value} />}
        <Tools present={present} />
      </nav>
      {STAGES.slice(0, at + 1).map((stage, index) => (
        <section key={stage} class="stage" id={`stage-${stage}`} tabIndex={-1} aria-labelledby={`stage-${stage}-name`} data-stage={stage}>
          <h2 id={`stage-${stage}-name`}>{words.stages[stage]}</h2>
          <div class="stack">
            {parts[stage]}
            {index === at && index < STAGES.length - 1 && stage !== "predict" && (
              <div class="row onward-lesson">
                <Button
                  kind={stage === "see" ? "first" : "plain"}
                  onPress={() => {
                    const next = STAGES[index + 1] ?? "explain";
                    goTo(next);
                    focusOn(next);
                  }}
                >
                  {stage === "do" ? words.seeWhatItShows : words.explainIt}
                </Button>
              </div>
            )}
          </div>
        </section>
      ))}
    </div>
  );
}

/** Moves the focus to a part, once it is shown. */
export function focusOn(stage: Stage): void {
  requestAnimationFrame(() => {
    const part = document.getElementById(`stage-${stage}`);
    if (!part) return;
    const scenes = [...part.closest(".lesson")?.querySelectorAll<HTMLElement>(".scene") ?? []];
    const first = scenes.findIndex((scene) => part.contains(scene));
    if (first >= 0 && textAt("present", "") === "1") change({ scene: String(first) });
    part.focus({ preventScroll: true });
    part.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  });
}

/** Which scene of how many is shown, and the ways to those beside it: for hands that have no arrow keys. */
function Turns({ scene, all }: Presented) {
  const words = lessonText.frame;
  return (
    <div class="row turns" role="group" aria-label={words.present}>
      <Button label={words.sceneBefore} disabled={scene === 0} onPress={() => show(scene - 1, all)}>
        ←
      </Button>
      <span class="number">{words.sceneOf(scene + 1, all)}</span>
      <Button label={words.sceneAfter} disabled={scene === all - 1} onPress={() => show(scene + 1, all)}>
        →
      </Button>
    </div>
  );
}

/** Shows a scene of the presentation, if there is one of this number. */
function show(scene: number, all: number): void {
  const to = Math.max(0, Math.min(all - 1, scene));
  change({ scene: String(to) });
  say(lessonText.frame.sceneOf(to + 1, all));
  scrollTo(0, 0);
}

function Tools({ present }: { present: boolean }) {
  const copied = useSignal(false);
  const words = lessonText.frame;
  return (
    <div class="row tools">
      <Button
        kind="quiet"
        onPress={async () => {
          await copy(addressToSend());
          copied.value = true;
          say(words.linkCopied);
          setTimeout(() => (copied.value = false), 3000);
        }}
      >
        {copied.value ? words.copied : words.copyTheLink}
      </Button>
      <Button kind="quiet" onPress={() => change({ present: present ? null : "1", scene: null, ...(present ? {} : { at: "explain" }) })}>
        {present ? words.leavePresentation : words.present}
      </Button>
    </div>
  );
}

/** One thing that is shown at a time while presenting. Outside a presentation it is a plain group. */
export function Scene({ children }: { children: ComponentChildren }) {
  return <div class="scene stack">{children}</div>;
}

/** The explanation, a paragraph each. */
export function Why({ paragraphs }: { paragraphs: readonly ComponentChildren[] }) {
  return (
    <>
      {paragraphs.map((paragraph, index) => (
        <p key={index}>{paragraph}</p>
      ))}
    </>
  );
}

/** What a presentation shows: the scene, of how many, and the part of the lesson that it is of. */
interface Presented {
  scene: number;
  all: number;
  stage: Stage;
}

/** While presenting, shows one scene at a time; arrows, page keys (as presenters have) and Escape. Tells what is shown. */
function usePresenting(present: boolean, place: { current: HTMLDivElement | null }): ReadonlySignal<Presented | null> {
  const scene = numberAt("scene", 0, 0, 999);
  const shown = useSignal<Presented | null>(null);
  useLayoutEffect(() => {
    const root = document.documentElement;
    if (present) root.dataset["present"] = "1";
    else delete root.dataset["present"];
    return () => delete root.dataset["present"];
  }, [present]);
  // After every render: what is rendered anew is to be hidden, too.
  useLayoutEffect(() => {
    const scenes = scenesOf(place.current);
    const current = Math.min(scene, scenes.length - 1);
    scenes.forEach((one, index) => one.toggleAttribute("data-off", present && index !== current));
    for (const part of place.current?.querySelectorAll<HTMLElement>(".stage") ?? []) {
      part.toggleAttribute("data-off", present && !scenes.some((one, index) => index === current && part.contains(one)));
    }
    const stage = STAGES.find((one) => one === scenes[current]?.closest<HTMLElement>(".stage")?.dataset["stage"]);
    const now = stage ? { scene: current, all: scenes.length, stage } : null;
    if (JSON.stringify(now) !== JSON.stringify(shown.peek())) shown.value = now;
  });
  useEffect(() => {
    if (!present) return;
    const move = (by: number) => {
      const scenes = scenesOf(place.current);
      show(Math.min(numberAt("scene", 0, 0, 999), scenes.length - 1) + by, scenes.length);
    };
    const press = (event: KeyboardEvent) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key === "Escape") change({ present: null, scene: null });
      else if (event.key === "PageDown") move(1);
      else if (event.key === "PageUp") move(-1);
      else if (usesArrows(event.target)) return;
      else if (event.key === "ArrowRight") move(1);
      else if (event.key === "ArrowLeft") move(-1);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [present, place]);
  return shown;
}

function scenesOf(place: HTMLElement | null): HTMLElement[] {
  return [...(place?.querySelectorAll<HTMLElement>(".scene") ?? [])];
}

/** Whether arrows mean something to what has the focus. */
function usesArrows(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select, [role=toolbar], [role=region]") !== null;
}

interface PredictionProps {
  question: string;
  /** Key and words of each guess. */
  options: readonly (readonly [string, string])[];
  /** The key of the guess that the experiment bears out, computed from it; `null` before that. */
  came: string | null;
}

function Prediction({ question, options }: PredictionProps) {
  const guess = textAt("guess", "");
  return (
    <Scene>
      <fieldset class="guesses">
        <legend>{question}</legend>
        {options.map(([key, words]) => (
          <label key={key}>
            <input type="radio" name="guess" checked={key === guess} onChange={() => change({ guess: key })} />
            {words}
          </label>
        ))}
      </fieldset>
      {stageNow() === "predict" && (
        <div class="row">
          <Button
            kind={guess === "" ? "plain" : "first"}
            onPress={() => {
              goTo("do");
              focusOn("do");
            }}
          >
            {guess === "" ? lessonText.frame.goOnWithoutGuess : lessonText.frame.thatIsMyGuess}
          </Button>
        </div>
      )}
    </Scene>
  );
}

/** What was predicted, and what came. */
function Outcome({ options, came }: PredictionProps) {
  const guess = options.find(([key]) => key === textAt("guess", ""));
  const outcome = options.find(([key]) => key === came);
  if (!outcome) return null;
  return (
    <Scene>
      <dl class="outcome" data-right={guess === outcome || undefined}>
        <div>
          <dt>{lessonText.frame.youPredicted}</dt>
          <dd>{guess ? guess[1] : lessonText.frame.nothing}</dd>
        </div>
        <div>
          <dt>{lessonText.frame.experimentSays}</dt>
          <dd>{outcome[1]}</dd>
        </div>
      </dl>
    </Scene>
  );
}

function Next() {
  const { lesson } = address.value;
  const index = LESSONS.findIndex(({ slug }) => slug === lesson);
  const next = lessonOf(LESSONS[index + 1]?.slug ?? null);
  return (
    <div class="row">
      {next ? (
        <a class="button" href={addressOf(next.slug)}>
          {lessonText.frame.nextLesson(text.lessonList[next.slug].title)}
        </a>
      ) : (
        <a class="button" href="#/learn">
          {text.shell.allLessons}
        </a>
      )}
    </div>
  );
}
