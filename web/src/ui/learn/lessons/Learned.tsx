// Lesson: what is learned of an example, and what is only read; the loss of each token before and after; a wrong mask.
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import type { SeenToken, Settings } from "rootstock";
import { count, percent } from "../../numbers.js";
import { Button } from "../../parts/Button.js";
import { NumberField } from "../../parts/Field.js";
import { Notice } from "../../parts/Notice.js";
import { Scale } from "../../parts/Scale.js";
import { device } from "../../state/device.js";
import { failed } from "../../state/faults.js";
import { change, numberAt, textAt } from "../address.js";
import { goTo, LessonFrame, Scene } from "../frame.js";
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
  const fault = useSignal<string | null>(null);
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
      }).catch((error: unknown) => (fault.value = error instanceof Error ? error.message : String(error)));
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
  if (before) views.push({ name: "Before", tokens: before });
  if (after) views.push({ name: `After ${count(steps)} steps`, tokens: after });
  if (everything) views.push({ name: "With the wrong mask", tokens: everything });
  const place = chosen.value ?? (before ? Math.max(0, before.findIndex(({ trained }) => trained)) : 0);
  return (
    <LessonFrame
      prediction={{
        question: `The model is trained with this example: “${question}” – “${answer}”. It reads all of it. On which part is it graded, so that its weights change?`,
        options: [
          ["all", "On every token: question, answer, and the marks between them"],
          ["question", "On the question"],
          ["answer", "On the answer and the mark that ends it"],
          ["last", "On the last word alone"],
        ],
        came: before ? gradedOn(before) : null,
      }}
      doing={
        <>
          <Scene>
            <p>
              This is the example as the model sees it: tokens, pieces of words with the marks of a conversation around them. Underlined ones are
              learned, the others only read. Write another one; the link to this lesson then holds it.
            </p>
            <div class="two">
              <div class="label-above">
                <label for="learned-q">Question</label>
                <input id="learned-q" type="text" autocomplete="off" value={question} onInput={({ currentTarget }) => change({ q: currentTarget.value })} />
              </div>
              <div class="label-above">
                <label for="learned-a">Answer</label>
                <input id="learned-a" type="text" autocomplete="off" value={answer} onInput={({ currentTarget }) => change({ a: currentTarget.value })} />
              </div>
            </div>
            {fault.value !== null && <Notice kind="error">{fault.value}</Notice>}
            {before ? (
              <>
                <Strip view={{ name: `${count(before.length)} tokens, ${count(learned.length)} of them learned`, tokens: before }} chosen={chosen} heat={false} />
              </>
            ) : (
              device.value && <p class="soft">Reading it …</p>
            )}
          </Scene>
          <Scene>
            <p>Now train on the village’s 812 questions. This example is not among them. Then once more with a wrong mask: the model is graded on the questions as well.</p>
            <NumberField name="Steps" help="More take longer and show more." value={steps} least={1} most={400} whole onChange={(value) => change({ steps: value === null || value === STEPS ? null : String(value) })} />
            <div class="row">
              <Button kind={right.phase.value === "done" ? "plain" : "first"} disabled={!device.value || right.busy || right.phase.value === "done"} onPress={() => train(right, tasks.right, looks.right)}>
                {right.phase.value === "interrupted" ? "Go on" : "Train on the answers"}
              </Button>
              <Button disabled={!device.value || wrong.busy || wrong.phase.value === "done"} onPress={() => train(wrong, tasks.wrong, looks.wrong)}>
                {wrong.phase.value === "interrupted" ? "Go on with the wrong mask" : "Train with the wrong mask"}
              </Button>
              {[right, wrong].some((run) => !run.busy && run.phase.value !== "none") && (
                <Button
                  kind="quiet"
                  onPress={async () => {
                    await right.forget();
                    await wrong.forget();
                  }}
                >
                  Begin again
                </Button>
              )}
            </div>
            <Watch name="On the answers" run={right} steps={steps} />
            <Watch name="With the wrong mask" run={wrong} steps={steps} />
          </Scene>
        </>
      }
      seeing={
        before && (after ?? everything) ? (
          <>
            <Scene>
              <p>
                The stronger its colour, the less the model expected a token. Press one, or move with the arrow keys, to see what it expected there.
              </p>
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
              <Means views={views} graded={{ "With the wrong mask": everything?.filter(({ trained }) => trained).length ?? 0 }} />
            </Scene>
          </>
        ) : null
      }
      explaining={
        <Scene>
          <p>
            Training asks at every learned token: how probable did you think this one was? The loss is minus the logarithm of that probability, and
            the weights move so that it grows. Of the tokens that are only read nothing is asked: they are there so that the answer can be about
            them. The mark at the end is learned, too; without it a model would not know when to stop.
          </p>
          <p>
            A mask that grades the question spends the same steps on guessing what a person will ask. Its loss on the question falls, which nobody
            needs; and since questions are most of the tokens, less of each step is about answering. In a recipe the key is{" "}
            <code>train_on_prompt</code>; the Data step of this page shows the mask of your own examples before you train.
          </p>
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
function Means({ views, graded }: { views: readonly View[]; graded: Readonly<Record<string, number>> }) {
  const mask = views[0]?.tokens.map(({ trained }) => trained) ?? [];
  const mean = (tokens: readonly SeenToken[], wanted: boolean) => meanLoss(tokens.filter((_, index) => mask[index] === wanted), () => true);
  return (
    <div class="scroll">
      <table class="means">
        <caption>Mean loss a token of this example</caption>
        <thead>
          <tr>
            <th scope="col">Model</th>
            <th scope="col" class="number">
              Question and marks
            </th>
            <th scope="col" class="number">
              Answer
            </th>
            <th scope="col" class="number">
              Right answer, token for token
            </th>
            <th scope="col" class="number">
              Tokens graded
            </th>
          </tr>
        </thead>
        <tbody>
          {views.map(({ name, tokens }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="number">{mean(tokens, false).toFixed(3)}</td>
              <td class="number">{mean(tokens, true).toFixed(3)}</td>
              <td class="number">{percent(probability(tokens.filter((_, index) => mask[index])))}</td>
              <td class="number">{name === "Before" ? "–" : `${graded[name] || mask.filter(Boolean).length} of ${tokens.length}`}</td>
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
