// Two answers of one model, and a click on the better one: data for preference training.
import { useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { counted } from "../numbers.js";
import { save } from "../save.js";
import { failed, say } from "../state/faults.js";
import { learnPreferences } from "../state/further.js";
import { askTwice, daring, forgetPair, PAIRS_FILE, pairs, pairsAsText, prefer, two } from "../state/preferences.js";
import { asked } from "../state/questions.js";
import { tuned } from "../state/tuned.js";
import { text as texts } from "../text/index.js";
import { Button } from "./Button.js";
import { NumberField } from "./Field.js";

export function Prefer() {
  const text = useSignal("");
  const busy = useSignal(false);
  const same = useSignal(false);
  const abort = useRef(new AbortController());
  const words = texts.results.prefer;
  const model = tuned.value;
  const now = two.value;
  const list = pairs.value;
  const twice = async () => {
    const question = text.value.trim();
    if (question === "" || busy.peek()) return;
    abort.current = new AbortController();
    busy.value = true;
    same.value = false;
    two.value = null;
    try {
      const found = await askTwice(model ? "tuned" : "base", question, abort.current.signal);
      same.value = found === null && !abort.current.signal.aborted;
      if (found) say(words.twoAnswers);
    } catch (error) {
      failed(error);
    } finally {
      busy.value = false;
    }
  };
  const choose = (better: 0 | 1) => {
    prefer(better);
    text.value = "";
    say(words.soFar(counted(pairs.peek().length, "pair")));
    document.getElementById("prefer-question")?.focus();
  };
  return (
    <section class="part" aria-labelledby="prefer">
      <h2 id="prefer">{words.title}</h2>
      <p>{words.about(model ? model.name : words.theBase)}</p>
      <form
        class="row ask"
        onSubmit={(event) => {
          event.preventDefault();
          void twice();
        }}
      >
        <label class="unseen" for="prefer-question">
          {words.question}
        </label>
        <input
          id="prefer-question"
          class="grow"
          type="text"
          autocomplete="off"
          placeholder={asked.value[0]?.question ?? texts.use.aQuestion}
          value={text.value}
          onInput={(event) => (text.value = event.currentTarget.value)}
        />
        {busy.value ? <Button onPress={() => abort.current.abort()}>{texts.shell.stop}</Button> : <Button onPress={twice}>{words.twice}</Button>}
      </form>
      {same.value && <p class="soft">{words.same}</p>}
      {now && (
        <div class="versus" role="group" aria-label={words.answersTo(now.question)}>
          {([0, 1] as const).map((index) => (
            <button key={index} type="button" class="sheet" onClick={() => choose(index)}>
              <span class="unseen">{words.better}</span>
              {now.answers[index]}
            </button>
          ))}
          <Button kind="quiet" onPress={() => (two.value = null)}>
            {words.neither}
          </Button>
        </div>
      )}
      <NumberField
        {...words.dares}
        least={0.1}
        most={5}
        value={daring.value}
        onChange={(value) => (daring.value = value ?? 0.8)}
      />
      {list.length > 0 && (
        <>
          <div class="row spaced">
            <span class="grow">{words.kept(counted(list.length, "pair"))}</span>
            <Button kind="first" onPress={learnPreferences}>
              {words.learn}
            </Button>
            <Button onPress={() => save(PAIRS_FILE, new Blob([pairsAsText()], { type: "application/jsonl" }))}>{words.takeHome}</Button>
          </div>
          <details>
            <summary>{words.all}</summary>
            <div class="scroll tall" tabIndex={0} role="region" aria-label={words.all}>
              <table class="said">
                <thead>
                  <tr>
                    <th scope="col">{words.asked}</th>
                    <th scope="col">{words.betterHead}</th>
                    <th scope="col">{words.worseHead}</th>
                    <th scope="col">
                      <span class="unseen">{texts.runs.whatToDo}</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {list.map(({ question, chosen, rejected }, index) => (
                    <tr key={index}>
                      <td>{question}</td>
                      <td>{chosen}</td>
                      <td>{rejected}</td>
                      <td>
                        <Button kind="danger" label={words.removePair(index + 1)} onPress={() => forgetPair(index)}>
                          {words.remove}
                        </Button>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          </details>
        </>
      )}
    </section>
  );
}
