import { useLayoutEffect, useRef } from "preact/hooks";
import type { FunctionComponent } from "preact";
import { Button } from "./parts/Button.js";
import { Choice } from "./parts/Choice.js";
import { Notice } from "./parts/Notice.js";
import { FaultWords } from "./parts/English.js";
import { Languages } from "./parts/Languages.js";
import { SpeedOfDevice } from "./parts/Speed.js";
import { href, route, type Place } from "./route.js";
import { device } from "./state/device.js";
import { fault, spoken } from "./state/faults.js";
import { rail } from "./state/rail.js";
import { STEPS } from "./state/steps.js";
import { runs } from "./state/base.js";
import { text } from "./text/index.js";
import { theme } from "./theme.js";
import { Home } from "./steps/Home.js";
import { lazily } from "./parts/Lazily.js";
import { LearnStep, lessonHead } from "./steps/LearnStep.js";
import { address, addressOf } from "./learn/address.js";
import { LESSONS } from "./learn/lessons.js";
import { BaseStep } from "./steps/BaseStep.js";

// What nobody needs on a first visit's first screens is loaded when it is shown.
const Runs = lazily(async () => (await import("./steps/Runs.js")).Runs);
const CheckStep = lazily(async () => (await import("./steps/CheckStep.js")).CheckStep);
const DataStep = lazily(async () => (await import("./steps/DataStep.js")).DataStep);
const MethodStep = lazily(async () => (await import("./steps/MethodStep.js")).MethodStep);
const TrainStep = lazily(async () => (await import("./steps/TrainStep.js")).TrainStep);
const UseStep = lazily(async () => (await import("./steps/UseStep.js")).UseStep);

const BODIES: Record<Place, FunctionComponent> = {
  home: Home,
  base: BaseStep,
  check: CheckStep,
  data: DataStep,
  method: MethodStep,
  train: TrainStep,
  use: UseStep,
  runs: Runs,
  learn: LearnStep,
};

/** The whole page. */
export function Shell() {
  return (
    <div class="frame">
      <a class="skip" href="#step" onClick={focusStep}>
        {text.shell.toTheStep}
      </a>
      <Head />
      {route.value === "learn" ? <LessonRail /> : <Rail />}
      <StepView />
      <div class="unseen" role="status" aria-live="polite">
        {spoken}
      </div>
    </div>
  );
}

function focusStep(event: Event) {
  event.preventDefault();
  document.getElementById("step")?.focus();
}

function Head() {
  const { shell } = text;
  return (
    <header class="head">
      <a class="wordmark" href={href("home")}>
        <Mark />
        Rootstock
      </a>
      <span class="device">
        {deviceWords()} <SpeedOfDevice />
      </span>
      <div class="theme row">
        <Languages />
        <Choice
          label={shell.colours}
          value={theme.value}
          options={[
            ["auto", shell.auto],
            ["light", shell.light],
            ["dark", shell.dark],
          ]}
          onChange={(value) => (theme.value = value)}
        />
      </div>
    </header>
  );
}

function deviceWords(): string {
  const found = device.value;
  if (found === undefined) return text.shell.lookingForGpu;
  if (found === null) return text.shell.cannotTrain;
  const name = found.name.trim() || "WebGPU";
  return found.software ? text.shell.processorComputes : name;
}

/** The logo: two shoots from one stock. */
function Mark() {
  return (
    <svg width="20" height="24" viewBox="0 0 20 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" aria-hidden="true">
      <path d="M10 23V12M10 14C10 8 6 6 3 5M10 12c0-5 3-8 7-10M5 23h10" />
    </svg>
  );
}

function Rail() {
  return (
    <nav class="rail" aria-label={text.shell.railLabel}>
      <div class="stays">
        <ol>
          {STEPS.map((step, index) => {
            const { state, says } = rail.value[step];
            return (
              <li key={step} data-state={state}>
                <a href={href(step)} aria-current={route.value === step ? "step" : undefined}>
                  <span class="node" aria-hidden="true">
                    <span>{state === "done" ? "✓" : state === "trouble" ? "!" : index + 1}</span>
                  </span>
                  <span class="name">{text.shell.steps[step]}</span>
                  <span class="says">{says}</span>
                </a>
              </li>
            );
          })}
        </ol>
        {runs.value.length > 0 && (
          <a class="aside" href={href("runs")} aria-current={route.value === "runs" ? "page" : undefined}>
            {text.shell.compareRuns}
          </a>
        )}
        <a class="aside" href={href("learn")}>
          {text.shell.learn}
        </a>
      </div>
    </nav>
  );
}

/** In the classroom: the lessons in the place of the steps. */
function LessonRail() {
  const { lesson } = address.value;
  return (
    <nav class="rail lessons" aria-label={text.shell.lessonsLabel}>
      <div class="stays">
        <ol>
          {LESSONS.map(({ slug }, index) => (
            <li key={slug}>
              <a href={addressOf(slug)} aria-current={lesson === slug ? "page" : undefined}>
                <span class="node" aria-hidden="true">
                  <span>{index + 1}</span>
                </span>
                <span class="name">{text.lessonList[slug].title}</span>
              </a>
            </li>
          ))}
        </ol>
        <a class="aside" href={href("learn")} aria-current={lesson === null ? "page" : undefined}>
          {text.shell.allLessons}
        </a>
      </div>
    </nav>
  );
}

function StepView() {
  const step = route.value;
  const Body = BODIES[step];
  const { title, line } = (step === "learn" ? lessonHead() : null) ?? text.shell.places[step];
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const lesson = step === "learn" ? address.value.lesson : null;
  useLayoutEffect(() => {
    document.title = `${title} – Rootstock`;
  }, [title]);
  // A layout effect, before the new step is painted: later it would steal the focus from a field in which the user already types.
  useLayoutEffect(() => {
    // Focus and scroll to the top of a new step; on the first one, keep the browser's own focus.
    if (!first.current) {
      main.current?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    first.current = false;
  }, [step, lesson]);
  return (
    <main class="step" id="step" data-place={step} ref={main} tabIndex={-1} aria-labelledby="step-title">
      <header>
        <h1 id="step-title">{title}</h1>
        <p>{line}</p>
      </header>
      {fault.value !== null && (
        <div class="stack fault-place">
          <Notice kind="error" action={<Button onPress={() => (fault.value = null)}>{text.shell.close}</Button>}>
            <FaultWords of={fault.value} />
          </Notice>
        </div>
      )}
      <Body key={step} />
    </main>
  );
}
