// Lesson: what is learned of an example, and what is only read; the loss of each token before and after; a wrong mask.
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import type { SeenToken, Settings } from "rootstock";
import { count, percent } from "../../numbers.js";
import { Button } from "../../parts/Button.js";
import { NumberField } from "../../parts/Field.js";
import { FaultNotice } from "../../parts/FaultNotice.js";
import { Scale } from "../../parts/Scale.js";
import { device } from "../../state/device.js";
import { failed, saidOf, type Said } from "../../state/faults.js";
import { lessonText } from "../../text/lessons.js";
import { change, numberAt, textAt } from "../address.js";
import { goTo, LessonFrame, Scene, Why } from "../frame.js";
import { Result } from "../kept.js";
import { Expected, Strip, StripNumbers, type View } from "../parts/Strip.js";
import { Watch } from "../parts/Watch.js";
import { bare, EMBEDDED, exchange, inTurn, look, meanLoss, open } from "../room.js";
import { recipeOf, training, VILLAGE, type Task } from "../training.js";

const QUESTION = "Where is Emma at work?";
const ANSWER = "Emma works at the studio.";
const STEPS = 40;
const LIKELIEST = 5;

const right = training("learned.answer");
const wrong = training("learned.everything");
const looks = { before: new Result<SeenToken[]>("look.before"), right: new Result<SeenToken[]>("look.right"), wrong: new Result<SeenToken[]>("look.wrong") };

/** The lesson's settings, from the address. */
function settings() {
  const steps = numberAt("steps", STEPS, 1, 400);
  const batch = numberAt("batch", 16, 1, 64);
  const recipe = recipeOf({ learning_rate: numberAt("rate", 1e-3, 0, 10), max_steps: steps, per_device_train_batch_size: batch });
  const task = (name: string, more: Settings): Task => ({ name, base: EMBEDDED, data: VILLAGE, recipe: { ...recipe, ...more } });
  return {
    steps,
    question: textAt("q", QUESTION),
    answer: textAt("a", ANSWER),
    right: task("Lesson: learns the answers", {}),
    wrong: task("Lesson: learns questions, too", { train_on_prompt: true }),
  };
}

export function Learned() {
  const { question, answer, steps, ...tasks } = settings();
  const chosen = useSignal<number | null>(null);
  const fault = useSignal<Said | null>(null);
  right.follow(tasks.right);
  wrong.follow(tasks.wrong);
  const inputs = { question, answer };
  const before = looks.before.of(inputs);
  // The base's view belongs to the text alone, and is there before anything is trained.
  useEffect(() => {
    if (question.trim() === "" || answer.trim() === "" || !device.value) return;
    const timer = setTimeout(() => {
      if (looks.before.of(inputs)) return;
      inTurn(async () => {
        await bare(EMBEDDED);
        looks.before.set(inputs, await look("adapted", exchange(question, answer), tasks.right.recipe, LIKELIEST));
        fault.value = null;
      }).catch((error: unknown) => (fault.value = saidOf(error)));
    }, 300);
    return () => clearTimeout(timer);
  }, [question, answer, device.value]);

  const after = looks.right.of({ ...inputs, task: tasks.right });
  const everything = looks.wrong.of({ ...inputs, task: tasks.wrong });
  const train = async (run: typeof right, task: Task, result: typeof looks.right) => {
    goTo("do");
    await run.train(task);
    if (run.phase.peek() !== "done") return;
    await inTurn(async () => {
      if (result.of({ ...inputs, task })) return;
      await open(EMBEDDED);
      await run.use();
      result.set({ ...inputs, task }, await look("tuned", exchange(question, answer), task.recipe, LIKELIEST));
    });
    goTo("see");
  };
  // A run that a reload has kept, or another text: look again.
  useEffect(() => {
    const timer = setTimeout(() => {
      if (right.phase.value === "done" && !looks.right.of({ ...inputs, task: tasks.right })) train(right, tasks.right, looks.right).catch(failed);
      if (wrong.phase.value === "done" && !looks.wrong.of({ ...inputs, task: tasks.wrong })) train(wrong, tasks.wrong, looks.wrong).catch(failed);
    }, 500);
    return () => clearTimeout(timer);
  }, [right.phase.value, wrong.phase.value, question, answer]);

  const learned = before?.filter(({ trained }) => trained) ?? [];
  const views: View[] = [];
  const words = lessonText.learned;
  const graded: (number | null)[] = [];
  const add = (name: string, tokens: SeenToken[] | null, of: number | null) => {
    if (!tokens) return;
    views.push({ name, tokens });
    graded.push(of);
  };
  add(words.before, before, null);
  add(words.after(count(steps)), after, learned.length);
  add(words.wrongMask, everything, everything?.filter(({ trained }) => trained).length ?? 0);
  const place = chosen.value ?? (before ? Math.max(0, before.findIndex(({ trained }) => trained)) : 0);
  return (
    <LessonFrame
      prediction={{
        question: words.predict(question, answer),
        options: [
          ["all", words.options.all],
          ["question", words.options.question],
          ["answer", words.options.answer],
          ["last", words.options.last],
        ],
        came: before ? gradedOn(before) : null,
      }}
      doing={
        <>
          <Scene>
            <p>{words.theExample}</p>
            <div class="two">
              <div class="label-above">
                <label for="learned-q">{lessonText.parts.question}</label>
                <input id="learned-q" type="text" autocomplete="off" value={question} onInput={({ currentTarget }) => change({ q: currentTarget.value })} />
              </div>
              <div class="label-above">
                <label for="learned-a">{lessonText.parts.answer}</label>
                <input id="learned-a" type="text" autocomplete="off" value={answer} onInput={({ currentTarget }) => change({ a: currentTarget.value })} />
              </div>
            </div>
            {fault.value !== null && <FaultNotice of={fault.value} />}
            {before ? (
              <Strip view={{ name: words.counts(count(before.length), count(learned.length)), tokens: before }} chosen={chosen} heat={false} />
            ) : (
              device.value && <p class="soft">{lessonText.parts.doing(words.reading)}</p>
            )}
          </Scene>
          <Scene>
            <p>{words.nowTrain}</p>
            <NumberField name={lessonText.parts.steps} help={words.stepsHelp} value={steps} least={1} most={400} whole onChange={(value) => change({ steps: value === null || value === STEPS ? null : String(value) })} />
            <div class="row">
              <Button kind={right.phase.value === "done" ? "plain" : "first"} disabled={!device.value || right.busy || right.phase.value === "done"} onPress={() => train(right, tasks.right, looks.right)}>
                {right.phase.value === "interrupted" ? lessonText.parts.goOn : words.train}
              </Button>
              <Button disabled={!device.value || wrong.busy || wrong.phase.value === "done"} onPress={() => train(wrong, tasks.wrong, looks.wrong)}>
                {wrong.phase.value === "interrupted" ? words.goOnWrong : words.trainWrong}
              </Button>
              {[right, wrong].some((run) => !run.busy && run.phase.value !== "none") && (
                <Button
                  kind="quiet"
                  onPress={async () => {
                    await right.forget();
                    await wrong.forget();
                  }}
                >
                  {lessonText.parts.beginAgain}
                </Button>
              )}
            </div>
            <Watch name={words.onTheAnswers} run={right} steps={steps} />
            <Watch name={words.wrongMask} run={wrong} steps={steps} />
          </Scene>
        </>
      }
      seeing={
        before && (after ?? everything) ? (
          <>
            <Scene>
              <p>{words.howToRead}</p>
              {views.map((view) => (
                <Strip key={view.name} view={view} chosen={chosen} heat />
              ))}
              <Scale />
              <StripNumbers views={views} />
            </Scene>
            <Scene>
              <Expected views={views} at={place} />
            </Scene>
            <Scene>
              <Means views={views} graded={graded} />
            </Scene>
          </>
        ) : null
      }
      explaining={
        <Scene>
          <Why paragraphs={words.why} />
        </Scene>
      }
    />
  );
}

/** Which of the guesses describes the mask that the engine made. */
function gradedOn(tokens: readonly SeenToken[]): string {
  const learned = tokens.map(({ trained }) => trained);
  const first = learned.indexOf(true);
  if (learned.slice(1).every(Boolean)) return "all";
  if (learned.filter(Boolean).length === 1) return "last";
  return learned.slice(first).filter(Boolean).length > 1 && first > tokens.length / 4 ? "answer" : "question";
}

/** The mean loss of what is learned and of what is only read, by the right mask. */
function Means({ views, graded }: { views: readonly View[]; graded: readonly (number | null)[] }) {
  const words = lessonText.learned.table;
  const mask = views[0]?.tokens.map(({ trained }) => trained) ?? [];
  const mean = (tokens: readonly SeenToken[], wanted: boolean) => meanLoss(tokens.filter((_, index) => mask[index] === wanted), () => true);
  return (
    <div class="scroll">
      <table class="means">
        <caption>{words.caption}</caption>
        <thead>
          <tr>
            <th scope="col">{words.model}</th>
            <th scope="col" class="number">
              {words.question}
            </th>
            <th scope="col" class="number">
              {words.answer}
            </th>
            <th scope="col" class="number">
              {words.right}
            </th>
            <th scope="col" class="number">
              {words.graded}
            </th>
          </tr>
        </thead>
        <tbody>
          {views.map(({ name, tokens }, index) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="number">{mean(tokens, false).toFixed(3)}</td>
              <td class="number">{mean(tokens, true).toFixed(3)}</td>
              <td class="number">{percent(probability(tokens.filter((_, index) => mask[index])))}</td>
              <td class="number">{graded[index] == null ? "–" : words.of(graded[index], tokens.length)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The probability that a model writes exactly these tokens. */
function probability(tokens: readonly SeenToken[]): number {
  return Math.exp(-tokens.reduce((sum, { loss }) => sum + (loss ?? 0), 0));
}
