import { Fragment, type ComponentChildren } from "preact";
import type { Preview as Shown, PreviewSample } from "rootstock";
import { count, counted, percent } from "../numbers.js";
import { showMore } from "../state/data.js";
import { Button } from "./Button.js";
import { Notice, Tag } from "./Notice.js";

/** Below this number of samples, the page says that they are few. */
const FEW = 20;

/** Counts, and the first samples as tokens. */
export function Preview({ preview, busy }: { preview: Shown; busy: boolean }) {
  return (
    <div class="stack" aria-busy={busy}>
      <dl class="figures seven">
        <Figure name="Records">{count(preview.records)}</Figure>
        <Figure name="Samples">{count(preview.samples)}</Figure>
        <Figure name="Tokens">{count(preview.tokens)}</Figure>
        <Figure name="Learnt">
          {count(preview.trained)} <small>{percent(preview.tokens > 0 ? preview.trained / preview.tokens : 0)}</small>
        </Figure>
        <Figure name="To evaluate">{count(preview.evaluation_samples)}</Figure>
        <Figure name="Longest">{count(preview.longest)}</Figure>
        <Figure name="Cut">{count(preview.truncated)}</Figure>
      </dl>
      {preview.notices.map((words) => (
        <Notice key={words} kind="warning">
          {words}
        </Notice>
      ))}
      {preview.samples < FEW && (
        <Notice kind="info">
          {counted(preview.samples, "sample")} {preview.samples === 1 ? "is" : "are"} little to learn from: the model will know{" "}
          {preview.samples === 1 ? "it" : "them"} by heart rather than learn a skill. A few dozen show a style, some hundreds a skill.
        </Notice>
      )}
      <ol class="samples">
        {preview.shown.map((sample, index) => (
          <li key={index}>
            <p class="row">
              <small>
                Sample {index + 1} (line {sample.line}): {counted(sample.tokens.length, "token")}, {count(sample.trained)} learnt
              </small>
              {sample.truncated && <Tag kind="warning">cut</Tag>}
            </p>
            {parts(sample).map(({ role, tokens }) => (
              <Fragment key={role}>
                {role !== "" && <p class="soft">{ROLES[role] ?? role}</p>}
                <p class="tokens">
                  {tokens.map(({ text, trained }, at) => (
                    <TokenBox key={at} text={text} trained={trained} />
                  ))}
                </p>
              </Fragment>
            ))}
          </li>
        ))}
      </ol>
      {preview.shown.length < preview.samples && (
        <div class="row">
          <Button kind="quiet" onPress={showMore}>
            Show more samples
          </Button>
        </div>
      )}
    </div>
  );
}

/** What the answers of preferences are called. */
const ROLES: Record<string, string> = {
  preferred: "The preferred answer",
  rejected: "The rejected answer",
  good: "A good answer",
  bad: "A bad answer",
  other: "For comparison: an answer to another question",
};

/** The answers of a sample, or the whole of it. */
function parts({ tokens, answers }: PreviewSample): { role: string; tokens: PreviewSample["tokens"] }[] {
  if (answers.length === 0) return [{ role: "", tokens }];
  return answers.map(({ role, end }, index) => ({ role, tokens: tokens.slice(answers[index - 1]?.end ?? 0, end) }));
}

function TokenBox({ text, trained }: { text: string; trained: boolean }) {
  const shown = visible(text);
  return (
    <>
      {trained ? <mark class="token trained">{shown}</mark> : <span class="token">{shown}</span>}
      {text.endsWith("\n") && <br />}
    </>
  );
}

/** Makes spaces and line ends visible, since they are part of tokens. */
export function visible(text: string): string {
  return text.replaceAll("\n", "↵").replaceAll("\t", "⇥").replace(/^ /, "·");
}

export function Figure({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
