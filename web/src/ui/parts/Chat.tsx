import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { modelWords } from "../names.js";
import { base } from "../state/base.js";
import { ask, forget, remembers, sameModels, settings, stopChat, turns, type Named, type Turn } from "../state/chat.js";
import { failed } from "../state/faults.js";
import { asked } from "../state/questions.js";
import { stacked } from "../state/stack.js";
import { tuned } from "../state/tuned.js";
import { Button } from "./Button.js";
import { NumberField, SwitchField } from "./Field.js";
import { text } from "../text/index.js";

/** The models that a question goes to now. */
function presentModels(): Named[] {
  const result = tuned.value;
  const from: Named = { which: "base", name: result?.base ?? base.value?.name ?? "" };
  const stack = stacked.value;
  if (stack) return [from, { which: "adapted", name: stack.name }];
  return result ? [from, { which: "tuned", name: result.name }] : [from];
}

/** Pixels from the end within which the conversation counts as read to its end. */
const NEAR = 40;

/** Chat with the base and the tuned model, side by side. */
export function Chat() {
  const typed = useSignal("");
  const words = text.use;
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
    const question = typed.value.trim();
    if (question === "" || busy) return;
    typed.value = "";
    follows.current = true;
    try {
      await ask(question, models);
    } catch (error) {
      failed(error);
    }
  };
  return (
    <section class="part" aria-labelledby="chat">
      <h2 id="chat">{words.talk}</h2>
      <p>{words.talkText}</p>
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
        {shown.length === 0 && <p class="soft empty">{words.noQuestion}</p>}
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
          {words.question}
        </label>
        <input
          id="question"
          class="grow"
          type="text"
          autocomplete="off"
          placeholder={asked.value[0]?.question ?? words.aQuestion}
          value={typed.value}
          onInput={(event) => (typed.value = event.currentTarget.value)}
        />
        {busy ? (
          <Button onPress={stopChat}>{text.shell.stop}</Button>
        ) : (
          <Button kind="first" onPress={send}>
            {words.ask}
          </Button>
        )}
        <Button kind="quiet" disabled={shown.length === 0} onPress={forget}>
          {words.clear}
        </Button>
      </form>
      <details>
        <summary>{words.howItAnswers}</summary>
        <SwitchField
          {...words.remember}
          value={remembers.value}
          onChange={(value) => (remembers.value = value)}
        />
        <NumberField
          of="answer.temperature"
          {...words.temperature}
          least={0}
          most={5}
          value={settings.value.temperature}
          onChange={(value) => (settings.value = { ...settings.value, temperature: value ?? 0 })}
        />
        <NumberField
          of="answer.longest"
          {...words.longest}
          unit={words.tokensUnit}
          whole
          least={1}
          most={4096}
          value={settings.value.max_new_tokens}
          onChange={(value) => (settings.value = { ...settings.value, max_new_tokens: value ?? 60 })}
        />
        <NumberField
          of="answer.seed"
          {...words.seed}
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
          {text.use.model(text.use.models[which], modelWords(name))}
        </span>
      ))}
    </div>
  );
}

function Exchange({ turn }: { turn: Turn }) {
  const words = text.use;
  return (
    <div class="exchange">
      <p class="question">
        <span class="unseen">{words.questionColon}</span>
        {turn.question}
      </p>
      <div class="answers" data-models={turn.models.length}>
        {turn.models.map(({ which }) => (
          <p key={which} data-which={which}>
            <span class="who">{words.models[which]}</span>
            {turn.answers[which]}
            {turn.speaking === which && <span class="caret" aria-hidden="true" />}
            {turn.cut[which] && <span class="soft">{words.cut}</span>}
            {turn.speaking === null && !turn.answers[which] && <span class="soft">{words.nothing}</span>}
          </p>
        ))}
      </div>
    </div>
  );
}
