import { useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import type { Progress, TokenLoss, Which } from "rootstock";
import { modelWords } from "../names.js";
import { base } from "../state/base.js";
import { ask, progressTo } from "../state/engine.js";
import { say } from "../state/faults.js";
import { asked } from "../state/questions.js";
import { tuned } from "../state/tuned.js";
import { Busy } from "./Busy.js";
import { Button } from "./Button.js";
import { shade } from "./heat.js";
import { visible } from "./Preview.js";
import { Scale } from "./Scale.js";
import { progressText } from "../text/core.js";
import { text } from "../text/index.js";

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
  const progress = useSignal<{ which: Which; now: Progress } | null>(null);
  const abort = useRef<AbortController | null>(null);
  const looked = typed.value ?? example();
  const words = text.use;
  const look = async () => {
    const result = tuned.value;
    const models: [Which, string][] = [["base", result?.base ?? base.value?.name ?? ""]];
    if (result) models.push(["tuned", result.name]);
    const results: Found[] = [];
    abort.current = new AbortController();
    const { signal } = abort.current;
    try {
      for (const [which, name] of models) {
        const show = progressTo((now) => (progress.value = { which, now }));
        results.push({ which, name, tokens: await ask({ kind: "losses", which, text: looked }, { ...show, signal }) });
      }
      found.value = results;
      say(results.map(({ which, tokens }) => words.lossSpoken(words.models[which], mean(tokens).toFixed(3))).join(", "));
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      progress.value = null;
    }
  };
  return (
    <section class="part" aria-labelledby="heat">
      <h2 id="heat">{words.surprised}</h2>
      <p>{words.surprisedText}</p>
      <div class="stack tight">
        <label class="unseen" for="heat-text">
          {words.text}
        </label>
        <textarea
          id="heat-text"
          rows={2}
          placeholder={words.textPlaceholder}
          value={looked}
          onInput={(event) => (typed.value = event.currentTarget.value)}
        />
        {progress.value ? (
          <div class="row">
            <div class="grow">
              <Busy progress={progress.value.now} label={words.model(words.models[progress.value.which], progressText(progress.value.now.what).toLowerCase())} />
            </div>
            <Button onPress={() => abort.current?.abort()}>{text.shell.cancel}</Button>
          </div>
        ) : (
          <div class="row">
            <Button disabled={looked.trim() === ""} onPress={look}>
              {words.showLoss}
            </Button>
          </div>
        )}
        <div class="two">
          {found.value.map(({ which, name, tokens }) => (
            <figure key={which} class="heat">
              <figcaption>
                <strong>{words.model(words.models[which], modelWords(name))}</strong>{" "}
                <span class="soft number">{words.lossAndPerplexity(mean(tokens).toFixed(3), Math.exp(mean(tokens)).toFixed(2))}</span>
              </figcaption>
              <p class="tokens">
                {tokens.map(({ text: token, loss }, index) => (
                  <span key={index} class="token" data-heat={shade(loss)} title={loss === null ? words.notPredicted : words.nats(loss.toFixed(3))}>
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
  const words = text.use;
  const longest = Math.max(...found.map(({ tokens }) => tokens.length));
  return (
    <details>
      <summary>{words.inNumbers}</summary>
      <div class="scroll tall" tabIndex={0} role="region" aria-label={words.lossInNumbers}>
        <table>
          <thead>
            <tr>
              <th scope="col" class="number">
                {words.token}
              </th>
              <th scope="col">{words.text}</th>
              {found.map(({ which }) => (
                <th key={which} scope="col" class="number">
                  {words.inNats(words.models[which])}
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
