import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { base } from "../state/base.js";
import { ask, forget, remembers, sameModels, settings, stopChat, turns, WORDS, type Named, type Turn } from "../state/chat.js";
import { failed } from "../state/faults.js";
import { asked } from "../state/questions.js";
import { tuned } from "../state/tuned.js";
import { Button } from "./Button.js";
import { NumberField, SwitchField } from "./Field.js";

/** The models that a question goes to now. */
function presentModels(): Named[] {
  const result = tuned.value;
  const from: Named = { which: "base", name: result?.base ?? base.value?.name ?? "" };
  return result ? [from, { which: "tuned", name: result.name }] : [from];
}

/** Pixels from the end within which the conversation counts as read to its end. */
const NEAR = 40;

/** Chat with the base and the tuned model, side by side. */
export function Chat() {
  const text = useSignal("");
  const busy = turns.value.some(({ speaking }) => speaking !== null);
  const models = presentModels();
  const log = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const shown = turns.value;
  // Follows what is written, unless the user has scrolled up to read.
  useEffect(() => {
    if (log.current && follows.current) log.current.scrollTop = log.current.scrollHeight;
  }, [shown]);
  const send = async () => {
    const question = text.value.trim();
    if (question === "" || busy) return;
    text.value = "";
    follows.current = true;
    try {
      await ask(question, models);
    } catch (error) {
      failed(error);
    }
  };
  return (
    <section class="part" aria-labelledby="chat">
      <h2 id="chat">Talk to it</h2>
      <p>The same question to both, so that the difference shows.</p>
      <div
        class="chat"
        data-models={models.length}
        ref={log}
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-labelledby="chat"
        onScroll={({ currentTarget: place }) => (follows.current = place.scrollHeight - place.scrollTop - place.clientHeight < NEAR)}
      >
        {shown.length === 0 && <Heads models={models} />}
        {shown.length === 0 && <p class="soft empty">No question yet.</p>}
        {shown.map((turn, index) => {
          const before = shown[index - 1];
          return [
            // Answers stand under the models that gave them.
            (!before || !sameModels(before.models, turn.models)) && <Heads key={`${index} heads`} models={turn.models} />,
            <Exchange key={index} turn={turn} />,
          ];
        })}
        {shown.length > 0 && !sameModels(shown.at(-1)?.models ?? [], models) && <Heads models={models} />}
      </div>
      <form
        class="row ask"
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <label class="unseen" for="question">
          Question
        </label>
        <input
          id="question"
          class="grow"
          type="text"
          autocomplete="off"
          placeholder={asked.value[0]?.question ?? "A question"}
          value={text.value}
          onInput={(event) => (text.value = event.currentTarget.value)}
        />
        {busy ? (
          <Button onPress={stopChat}>Stop</Button>
        ) : (
          <Button kind="first" onPress={send}>
            Ask
          </Button>
        )}
        <Button kind="quiet" disabled={shown.length === 0} onPress={forget}>
          Clear
        </Button>
      </form>
      <details>
        <summary>How it answers</summary>
        <SwitchField
          name="Remember the conversation"
          help="Each question carries those before it. Off, every question stands alone, so that answers can be compared."
          value={remembers.value}
          onChange={(value) => (remembers.value = value)}
        />
        <NumberField
          name="Temperature"
          help="0 always takes the likeliest token; higher values dare more."
          least={0}
          most={5}
          value={settings.value.temperature}
          onChange={(value) => (settings.value = { ...settings.value, temperature: value ?? 0 })}
        />
        <NumberField
          name="Longest answer"
          help="It is cut after so many tokens."
          unit="tokens"
          whole
          least={1}
          most={4096}
          value={settings.value.max_new_tokens}
          onChange={(value) => (settings.value = { ...settings.value, max_new_tokens: value ?? 60 })}
        />
        <NumberField
          name="Seed"
          help="The same seed says the same."
          whole
          least={0}
          value={settings.value.seed}
          onChange={(value) => (settings.value = { ...settings.value, seed: value ?? 42 })}
        />
      </details>
    </section>
  );
}

function Heads({ models }: { models: readonly Named[] }) {
  return (
    <div class="heads" data-models={models.length}>
      {models.map(({ which, name }) => (
        <span key={which} data-which={which}>
          {WORDS[which]}: {name}
        </span>
      ))}
    </div>
  );
}

function Exchange({ turn }: { turn: Turn }) {
  return (
    <div class="exchange">
      <p class="question">
        <span class="unseen">Question: </span>
        {turn.question}
      </p>
      <div class="answers" data-models={turn.models.length}>
        {turn.models.map(({ which }) => (
          <p key={which} data-which={which}>
            <span class="who">{WORDS[which]}</span>
            {turn.answers[which]}
            {turn.speaking === which && <span class="caret" aria-hidden="true" />}
            {turn.cut[which] && <span class="soft"> … (cut at its longest length)</span>}
            {turn.speaking === null && !turn.answers[which] && <span class="soft">(nothing)</span>}
          </p>
        ))}
      </div>
    </div>
  );
}
