import { Fragment, type ComponentChildren } from "preact";
import type { Preview as Shown, PreviewSample } from "rootstock";
import { count, counted, percent } from "../numbers.js";
import { showMore } from "../state/data.js";
import { Button } from "./Button.js";
import { Notice, Tag } from "./Notice.js";
import { RemarkWords } from "./English.js";
import { text } from "../text/index.js";

/** Below this number of samples, the page says that they are few. */
const FEW = 20;

/** Counts, and the first samples as tokens. */
export function Preview({ preview, busy }: { preview: Shown; busy: boolean }) {
  const words = text.data;
  return (
    <div class="stack" aria-busy={busy}>
      <dl class="figures seven">
        <Figure name={words.countRecords}>{count(preview.records)}</Figure>
        <Figure name={words.countSamples}>{count(preview.samples)}</Figure>
        <Figure name={words.countTokens}>{count(preview.tokens)}</Figure>
        <Figure name={words.countLearnt}>
          {count(preview.trained)} <small>{percent(preview.tokens > 0 ? preview.trained / preview.tokens : 0)}</small>
        </Figure>
        <Figure name={words.countEvaluate}>{count(preview.evaluation_samples)}</Figure>
        <Figure name={words.countLongest}>{count(preview.longest)}</Figure>
        <Figure name={words.countCut}>{count(preview.truncated)}</Figure>
      </dl>
      {preview.notices.map((notice) => (
        <Notice key={notice} kind="warning">
          <RemarkWords>{notice}</RemarkWords>
        </Notice>
      ))}
      {preview.samples < FEW && (
        <Notice kind="info">{words.few(counted(preview.samples, "sample"), preview.samples === 1)}</Notice>
      )}
      <ol class="samples">
        {preview.shown.map((sample, index) => (
          <li key={index}>
            <p class="row">
              <small>{words.sample(index + 1, sample.line, counted(sample.tokens.length, "token"), count(sample.trained))}</small>
              {sample.truncated && <Tag kind="warning">{words.cut}</Tag>}
            </p>
            {parts(sample).map(({ role, tokens }) => (
              <Fragment key={role}>
                {role !== "" && <p class="soft">{words.roles[role] ?? role}</p>}
                <p class="tokens">
                  {tokens.map((token, at) => (
                    <TokenBox key={at} {...token} />
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
            {words.showMore}
          </Button>
        </div>
      )}
    </div>
  );
}

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
