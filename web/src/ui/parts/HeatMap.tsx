import { useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import type { Progress, TokenLoss, Which } from "rootstock";
import { base } from "../state/base.js";
import { WORDS } from "../state/chat.js";
import { ask, progressTo } from "../state/engine.js";
import { say } from "../state/faults.js";
import { asked } from "../state/questions.js";
import { tuned } from "../state/tuned.js";
import { Busy } from "./Busy.js";
import { Button } from "./Button.js";
import { shade } from "./heat.js";
import { visible } from "./Preview.js";
import { Scale } from "./Scale.js";

interface Found {
  which: Which;
  /** The model that it was computed with: another one may be in use by now. */
  name: string;
  tokens: TokenLoss[];
}

/** The default text: a question of the data with its right answer, held out from training where the data says so. */
function example(): string {
  const [first] = asked.value;
  return first ? [first.question, first.answer].filter((part) => part !== null).join("\n") : "";
}

/** Shows the loss of each token of a text. */
export function HeatMap() {
  const typed = useSignal<string | null>(null);
  const found = useSignal<Found[]>([]);
  const progress = useSignal<Progress | null>(null);
  const abort = useRef<AbortController | null>(null);
  const text = typed.value ?? example();
  const look = async () => {
    const result = tuned.value;
    const models: [Which, string][] = [["base", result?.base ?? base.value?.name ?? ""]];
    if (result) models.push(["tuned", result.name]);
    const results: Found[] = [];
    abort.current = new AbortController();
    const { signal } = abort.current;
    try {
      for (const [which, name] of models) {
        const show = progressTo((now) => (progress.value = { ...now, what: `${WORDS[which]}: ${now.what.toLowerCase()}` }));
        results.push({ which, name, tokens: await ask({ kind: "losses", which, text }, { ...show, signal }) });
      }
      found.value = results;
      say(results.map(({ which, tokens }) => `${WORDS[which]}: loss ${mean(tokens).toFixed(3)}`).join(", "));
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      progress.value = null;
    }
  };
  return (
    <section class="part" aria-labelledby="heat">
      <h2 id="heat">Where it is surprised</h2>
      <p>The loss of each token of a text: the stronger its colour, the less the model expected it.</p>
      <div class="stack tight">
        <label class="unseen" for="heat-text">
          Text
        </label>
        <textarea
          id="heat-text"
          rows={2}
          placeholder="A text that it has not learnt from says most."
          value={text}
          onInput={(event) => (typed.value = event.currentTarget.value)}
        />
        {progress.value ? (
          <div class="row">
            <div class="grow">
              <Busy progress={progress.value} />
            </div>
            <Button onPress={() => abort.current?.abort()}>Cancel</Button>
          </div>
        ) : (
          <div class="row">
            <Button disabled={text.trim() === ""} onPress={look}>
              Show the loss per token
            </Button>
          </div>
        )}
        <div class="two">
          {found.value.map(({ which, name, tokens }) => (
            <figure key={which} class="heat">
              <figcaption>
                <strong>
                  {WORDS[which]}: {name}
                </strong>{" "}
                <span class="soft number">
                  loss {mean(tokens).toFixed(3)}, perplexity {Math.exp(mean(tokens)).toFixed(2)}
                </span>
              </figcaption>
              <p class="tokens">
                {tokens.map(({ text: token, loss }, index) => (
                  <span key={index} class="token" data-heat={shade(loss)} title={loss === null ? "not predicted" : `${loss.toFixed(3)} nats`}>
                    {visible(token)}
                  </span>
                ))}
              </p>
            </figure>
          ))}
        </div>
        {found.value.length > 0 && <Scale />}
        {found.value.length > 0 && <Numbers found={found.value} />}
      </div>
    </section>
  );
}

function Numbers({ found }: { found: Found[] }) {
  const longest = Math.max(...found.map(({ tokens }) => tokens.length));
  return (
    <details>
      <summary>In numbers</summary>
      <div class="scroll tall" tabIndex={0} role="region" aria-label="The loss of every token in numbers">
        <table>
          <thead>
            <tr>
              <th scope="col" class="number">
                Token
              </th>
              <th scope="col">Text</th>
              {found.map(({ which }) => (
                <th key={which} scope="col" class="number">
                  {WORDS[which]}, nats
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {Array.from({ length: longest }, (_, at) => (
              <tr key={at}>
                <td class="number">{at + 1}</td>
                <td>
                  <code>{visible((found[0]?.tokens[at] ?? found.at(-1)?.tokens[at])?.text ?? "")}</code>
                </td>
                {found.map(({ which, tokens }) => (
                  <td key={which} class="number">
                    {tokens[at]?.loss?.toFixed(3) ?? "–"}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

function mean(tokens: TokenLoss[]): number {
  const losses = tokens.flatMap(({ loss }) => (loss === null ? [] : [loss]));
  return losses.reduce((sum, loss) => sum + loss, 0) / Math.max(1, losses.length);
}
