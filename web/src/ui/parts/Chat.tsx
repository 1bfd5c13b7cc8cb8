import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import type { Which } from "../../messages.js";
import { base } from "../state/base.js";
import { ask, forget, settings, stopChat, turns, type Turn } from "../state/chat.js";
import { failed } from "../state/faults.js";
import { tuned } from "../state/tuned.js";
import { Button } from "./Button.js";
import { NumberField } from "./Field.js";

/** Chat with the base and the tuned model, side by side. */
export function Chat() {
  const text = useSignal("");
  const busy = turns.value.some(({ speaking }) => speaking !== null);
  const models: Which[] = tuned.value ? ["base", "tuned"] : ["base"];
  const log = useRef<HTMLDivElement>(null);
  const length = turns.value.length;
  useEffect(() => {
    if (log.current) log.current.scrollTop = log.current.scrollHeight;
  }, [length]);
  const send = async () => {
    const question = text.value.trim();
    if (question === "" || busy) return;
    text.value = "";
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
      <div class="chat" data-models={models.length} ref={log} tabIndex={0} role="log" aria-live="off" aria-labelledby="chat">
        <div class="heads" aria-hidden="true">
          {models.map((which) => (
            <span key={which} data-which={which}>
              {which === "base" ? `Base: ${tuned.value?.base ?? base.value?.name ?? ""}` : `Tuned: ${tuned.value?.name}`}
            </span>
          ))}
        </div>
        {turns.value.length === 0 && <p class="soft empty">No question yet.</p>}
        {turns.value.map((turn, index) => (
          <Exchange key={index} turn={turn} models={models} />
        ))}
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
          placeholder="Who lives in the red house?"
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
        <Button kind="quiet" disabled={turns.value.length === 0} onPress={forget}>
          Begin anew
        </Button>
      </form>
      <details>
        <summary>How it answers</summary>
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

function Exchange({ turn, models }: { turn: Turn; models: Which[] }) {
  return (
    <div class="exchange">
      <p class="question">
        <span class="unseen">Question: </span>
        {turn.question}
      </p>
      <div class="answers">
        {models.map((which) => (
          <p key={which} data-which={which}>
            <span class="who">{which === "base" ? "Base" : "Tuned"}</span>
            {turn.answers[which]}
            {turn.speaking === which && <span class="caret" aria-hidden="true" />}
            {turn.speaking === null && !turn.answers[which] && <span class="soft">(nothing)</span>}
          </p>
        ))}
      </div>
    </div>
  );
}
