import { useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { settings } from "../../state/chat.js";
import { ask } from "../../state/engine.js";
import { failed, say } from "../../state/faults.js";
import { phase } from "../../state/phase.js";
import { last } from "../../state/run.js";
import { Button } from "../Button.js";
import { text } from "../../text/index.js";

/** Asks the model that is being trained, between two steps or while the run is held. */
export function AskLearning() {
  const typed = useSignal("");
  const words = text.train;
  const answers = useSignal<{ step: number; question: string; answer: string }[]>([]);
  const abort = useRef<AbortController | null>(null);
  const busy = useSignal(false);
  const held = phase.value === "paused";
  if (!held && phase.value !== "running") return null;
  const send = async () => {
    const question = typed.value.trim();
    if (question === "" || busy.value) return;
    const entry = { step: last.value?.current_steps ?? 0, question, answer: "" };
    const write = (more: string) => {
      entry.answer += more;
      answers.value = [{ ...entry }, ...answers.value.slice(1)];
    };
    answers.value = [entry, ...answers.value];
    busy.value = true;
    abort.current = new AbortController();
    try {
      const messages = [{ role: "user", content: question }];
      await ask(
        { kind: "chat", which: "learning", messages, sampling: settings.peek() },
        { on: (event) => event.kind === "text" && write(event.text), signal: abort.current.signal },
      );
      typed.value = "";
      say(text.train.learning(entry.answer));
    } catch (error) {
      failed(error);
    } finally {
      busy.value = false;
    }
  };
  return (
    <section class="stack tight" aria-label={words.askLearning}>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <label class="unseen" for="ask-learning">
          {words.questionToLearning}
        </label>
        <input
          id="ask-learning"
          class="grow"
          type="text"
          autocomplete="off"
          placeholder={held ? words.askAsItIs : words.askNow}
          value={typed.value}
          onInput={(event) => (typed.value = event.currentTarget.value)}
        />
        {busy.value ? <Button onPress={() => abort.current?.abort()}>{words.stopAnswer}</Button> : <Button onPress={send}>{words.ask}</Button>}
      </form>
      {answers.value.length > 0 && (
        <ul class="stack tight">
          {answers.value.slice(0, 5).map(({ step, question, answer }, index) => (
            <li class="prompt" key={answers.value.length - index}>
              <p class="question">{question}</p>
              <p>
                <small>{words.afterStepColon(step)}</small>
                {answer}
              </p>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
