import type { ChatMessage } from "rootstock";
import { written } from "../state/data.js";
import { Button } from "./Button.js";
import { text } from "../text/index.js";

const EMPTY = (): ChatMessage[] => [
  { role: "user", content: "" },
  { role: "assistant", content: "" },
];

/** An editor for a small number of conversations. */
export function Writer() {
  const list = written.value;
  const words = text.data;
  const change = (index: number, turns: ChatMessage[]) => (written.value = list.with(index, turns));
  return (
    <div class="stack">
      {list.map((turns, index) => (
        <fieldset key={index} class="sheet stack tight">
          <legend class="unseen">{words.conversation(index + 1)}</legend>
          {turns.map((turn, at) => (
            <div class="turn" key={at}>
              <label for={`turn-${index}-${at}`}>{turn.role === "user" ? words.question : words.answer}</label>
              <textarea
                id={`turn-${index}-${at}`}
                rows={turn.role === "user" ? 1 : 2}
                value={turn.content}
                onInput={(event) => change(index, turns.with(at, { ...turn, content: event.currentTarget.value }))}
              />
            </div>
          ))}
          <div class="row">
            <Button kind="quiet" onPress={() => change(index, [...turns, ...EMPTY()])}>
              {words.anotherTurn}
            </Button>
            {turns.length > 2 && (
              <Button kind="quiet" onPress={() => change(index, turns.slice(0, -2))}>
                {words.oneTurnLess}
              </Button>
            )}
            <Button
              kind="danger"
              label={words.deleteConversation(index + 1)}
              disabled={list.length === 1}
              onPress={() => (written.value = list.toSpliced(index, 1))}
            >
              {words.delete}
            </Button>
          </div>
        </fieldset>
      ))}
      <div class="row">
        <Button onPress={() => (written.value = [...list, EMPTY()])}>{words.anotherConversation}</Button>
      </div>
    </div>
  );
}
