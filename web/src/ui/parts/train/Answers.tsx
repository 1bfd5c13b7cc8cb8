import { computed } from "@preact/signals";
import { count } from "../../numbers.js";
import { asked } from "../../state/questions.js";
import { active, phase } from "../../state/phase.js";
import { progress, samples, sampling, shownRun, skip, writing } from "../../state/run.js";
import { Button } from "../Button.js";
import { RecordedMark } from "../Recorded.js";
import { ProgressWords } from "../English.js";
import { text } from "../../text/index.js";

const WHEN = (step: number) => (step === 0 ? text.train.beforeFirst : text.train.afterStep(count(step)));

/** What the shown run is asked: its own prompts, and others that it has answered. */
export const prompts = computed(() => {
  const answered = samples.value.map(({ prompt }) => prompt).toReversed();
  const now = writing.value ? [writing.value.prompt] : [];
  return [...new Set([...(shownRun.value?.samples.prompts ?? []), ...answered, ...now])];
});

/** What the model answers while it learns: the first and the newest answer to each prompt, one below the other. */
export function Answers() {
  const now = writing.value;
  if (prompts.value.length === 0) return null;
  const own = active.value && phase.value !== "elsewhere";
  return (
    <section class="answers-live" aria-label={text.train.whatItSaysLabel}>
      <div class="row">
        <h2 class="grow">
          {text.train.whatItSays} <RecordedMark />
        </h2>
        {own && now && (
          <Button kind="quiet" onPress={skip}>
            {text.train.skip}
          </Button>
        )}
      </div>
      <ul class="stack tight">
        {prompts.value.map((prompt) => (
          <Prompt key={prompt} prompt={prompt} />
        ))}
      </ul>
    </section>
  );
}

function Prompt({ prompt }: { prompt: string }) {
  const now = writing.value?.prompt === prompt ? writing.value : null;
  const answers = samples.value.filter((sample) => sample.prompt === prompt);
  const [newest] = answers;
  const oldest = answers.at(-1);
  const right = asked.value.find(({ question }) => question === prompt)?.answer;
  const words = text.train;
  const waiting = !now && !newest && (active.value || phase.value === "elsewhere");
  return (
    <li class="prompt">
      <p class="question">{prompt}</p>
      <dl>
        {oldest && (oldest !== newest || now !== null) && (
          <div>
            <dt>{WHEN(oldest.step)}</dt>
            <dd class="soft">{oldest.text || words.nothing}</dd>
          </div>
        )}
        {now ? (
          <div aria-busy="true">
            <dt>{WHEN(now.step)}</dt>
            <dd>
              {now.text}
              <span class="caret" aria-hidden="true" />
            </dd>
          </div>
        ) : (
          newest && (
            <div>
              <dt>{WHEN(newest.step)}</dt>
              <dd>
                {newest.text || words.nothing}
                {newest.finish === "skipped" && <span class="soft">{words.skipped}</span>}
                {(newest.finish === "length" || newest.finish === "context") && <span class="soft"> …</span>}
              </dd>
            </div>
          )
        )}
        {waiting && (
          <div>
            <dt>{progress.value ? <ProgressWords what={progress.value.what} /> : words.soon}</dt>
            <dd class="soft">{sampling.value.every > 0 ? words.firstAnswer : words.notAsked}</dd>
          </div>
        )}
        {right != null && (
          <div class="right">
            <dt>{words.rightAnswer}</dt>
            <dd>{right}</dd>
          </div>
        )}
      </dl>
    </li>
  );
}

/** All answers, newest first. */
export function AllAnswers() {
  if (samples.value.length === 0) return null;
  return (
    <details>
      <summary>{text.train.allAnswers}</summary>
      <div class="scroll tall" tabIndex={0} role="region" aria-label={text.train.allAnswers}>
        <table class="said">
          <thead>
            <tr>
              <th scope="col" class="number">
                {text.train.step}
              </th>
              <th scope="col">{text.train.asked}</th>
              <th scope="col">{text.train.answered}</th>
            </tr>
          </thead>
          <tbody>
            {samples.value.map(({ step, prompt, text: answer }, index) => (
              <tr key={samples.value.length - index}>
                <td class="number">{step}</td>
                <td>{prompt}</td>
                <td>{answer}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
