import { useSignal } from "@preact/signals";
import type { TokenLoss, Which } from "../../messages.js";
import { ask } from "../state/engine.js";
import { say } from "../state/faults.js";
import { tuned } from "../state/tuned.js";
import { Button } from "./Button.js";
import { visible } from "./Preview.js";

/** Number of shades; a loss of SURPRISE nats or more (a probability of one in four hundred) gets the darkest. */
const SHADES = 7;
const SURPRISE = 6;

/** Shows the loss of each token of a text. */
export function HeatMap() {
  const text = useSignal("Anna lives in the red house. Anna has a dog.");
  const found = useSignal<[Which, TokenLoss[]][]>([]);
  const look = async () => {
    const models: Which[] = tuned.value ? ["base", "tuned"] : ["base"];
    const results: [Which, TokenLoss[]][] = [];
    for (const which of models) results.push([which, await ask({ kind: "losses", which, text: text.value })]);
    found.value = results;
    say(results.map(([which, tokens]) => `${name(which)}: loss ${mean(tokens).toFixed(3)}`).join(", "));
  };
  return (
    <section class="part" aria-labelledby="heat">
      <h2 id="heat">Where it is surprised</h2>
      <p>The loss of each token of a text: the stronger its colour, the less the model expected it.</p>
      <div class="stack tight">
        <label class="unseen" for="heat-text">
          Text
        </label>
        <textarea id="heat-text" rows={2} value={text.value} onInput={(event) => (text.value = event.currentTarget.value)} />
        <div class="row">
          <Button disabled={text.value.trim() === ""} onPress={look}>
            Show the loss per token
          </Button>
        </div>
        <div class="two">
          {found.value.map(([which, tokens]) => (
            <figure key={which} class="heat">
              <figcaption>
                <strong>{name(which)}</strong>{" "}
                <span class="soft number">
                  loss {mean(tokens).toFixed(3)}, perplexity {Math.exp(mean(tokens)).toFixed(2)}
                </span>
              </figcaption>
              <p class="tokens">
                {tokens.map(({ text: token, loss }, index) => (
                  <span key={index} class="token" data-heat={shade(loss)} title={loss === null ? "not predicted" : `${loss.toFixed(3)} nats`}>
                    {visible(token)}
                    {loss !== null && <span class="unseen"> ({loss.toFixed(1)}) </span>}
                  </span>
                ))}
              </p>
            </figure>
          ))}
        </div>
        {found.value.length > 0 && (
          <p class="row scale" aria-hidden="true">
            <small>expected</small>
            {Array.from({ length: SHADES }, (_, index) => (
              <span key={index} class="token" data-heat={index}>
                {((index * SURPRISE) / (SHADES - 1)).toFixed(0)}
              </span>
            ))}
            <small>nats, surprising</small>
          </p>
        )}
      </div>
    </section>
  );
}

const name = (which: Which) => (which === "base" ? "Base" : "Tuned");

function mean(tokens: TokenLoss[]): number {
  const losses = tokens.flatMap(({ loss }) => (loss === null ? [] : [loss]));
  return losses.reduce((sum, loss) => sum + loss, 0) / Math.max(1, losses.length);
}

function shade(loss: number | null): number {
  if (loss === null) return 0;
  return Math.max(0, Math.min(SHADES - 1, Math.round((loss / SURPRISE) * (SHADES - 1))));
}
