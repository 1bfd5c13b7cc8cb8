// A conversation as tokens that can be pressed: what is learned, how little each was expected, and what was expected instead.
import type { Signal } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { SeenToken } from "rootstock";
import { percent } from "../../numbers.js";
import { shade } from "../../parts/heat.js";
import { lessonText } from "../../text/lessons.js";
import { visible } from "../../parts/Preview.js";

/** One model's view of the conversation. */
export interface View {
  name: string;
  tokens: readonly SeenToken[];
}

/** Tokens in a row; the arrow keys move between them. `heat` colours them by their loss, otherwise they only tell what is learned. */
export function Strip({ view, chosen, heat }: { view: View; chosen: Signal<number | null>; heat: boolean }) {
  const words = lessonText.parts.strip;
  const place = useRef<HTMLParagraphElement>(null);
  const move = (to: number) => {
    if (to < 0 || to >= view.tokens.length) return;
    chosen.value = to;
    place.current?.querySelectorAll("button")[to]?.focus();
  };
  return (
    <figure class="strip">
      <figcaption>{view.name}</figcaption>
      <p
        class="tokens"
        role="toolbar"
        aria-label={words.tokens(view.name)}
        ref={place}
        onKeyDown={(event) => {
          const from = chosen.value ?? 0;
          const to = { ArrowRight: from + 1, ArrowLeft: from - 1, Home: 0, End: view.tokens.length - 1 }[event.key];
          if (to === undefined) return;
          event.preventDefault();
          move(to);
        }}
      >
        {view.tokens.map(({ text, trained, loss }, index) => (
          <>
            <button
              key={index}
              type="button"
              class="token"
              data-heat={heat ? shade(loss) : undefined}
              data-trained={trained || undefined}
              aria-pressed={chosen.value === index}
              tabIndex={index === (chosen.value ?? 0) ? 0 : -1}
              aria-label={words.spoken(spoken(text), trained, heat && loss !== null ? loss.toFixed(2) : null)}
              title={heat ? (loss === null ? words.firstToken : words.lossAnd(loss.toFixed(3), percent(Math.exp(-loss)))) : trained ? words.learned : words.onlyRead}
              onClick={() => (chosen.value = index)}
            >
              {visible(text)}
            </button>
            {text.endsWith("\n") && <br />}
          </>
        ))}
      </p>
    </figure>
  );
}

function spoken(text: string): string {
  const { lineEnd, space } = lessonText.parts.strip;
  return text === "\n" ? lineEnd : text.trim() === "" ? space : text;
}

/** What a token is decoded to that is a byte of a character with several. */
const PIECE = "\ufffd";

/** What each model expected at the chosen token. */
export function Expected({ views, at }: { views: readonly View[]; at: number }) {
  const token = views[0]?.tokens[at];
  if (!token) return null;
  const words = lessonText.parts.strip;
  return (
    <div class="two">
      {views.map(({ name, tokens }) => {
        const here = tokens[at];
        const listed = here?.likeliest.some(({ text }) => text === here.text);
        const rows = [...(here?.likeliest ?? []), ...(here && here.loss !== null && !listed ? [{ text: here.text, probability: Math.exp(-here.loss) }] : [])];
        return (
          <table key={name} class="likeliest">
            <caption>
              {words.mayCome(name)[0]}
              <code>{visible(token.text)}</code>
              {words.mayCome(name)[1]}
            </caption>
            <tbody>
              {rows.map(({ text, probability }, index) => (
                <tr key={index} data-right={text === here?.text || undefined}>
                  <th scope="row">
                    {text === PIECE ? <small>{words.pieceOfLetter}</small> : <code>{visible(text)}</code>}
                    {text === here?.text && <span class="unseen">{words.theOne}</span>}
                  </th>
                  <td class="number">{percent(probability)}</td>
                  <td class="share" aria-hidden="true">
                    <span style={{ inlineSize: `${100 * probability}%` }} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        );
      })}
    </div>
  );
}

/** Every token of several views in numbers. */
export function StripNumbers({ views }: { views: readonly View[] }) {
  const words = lessonText.parts.strip;
  return (
    <details>
      <summary>{lessonText.parts.inNumbers}</summary>
      <div class="scroll tall" tabIndex={0} role="region" aria-label={words.everyToken}>
        <table>
          <thead>
            <tr>
              <th scope="col">{words.token}</th>
              <th scope="col">{words.learnedHead}</th>
              {views.map(({ name }) => (
                <th key={name} scope="col" class="number">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {views[0]?.tokens.map(({ text, trained }, at) => (
              <tr key={at}>
                <td>
                  <code>{visible(text)}</code>
                </td>
                <td>{trained ? words.yes : words.no}</td>
                {views.map(({ name, tokens }) => (
                  <td key={name} class="number">
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
