// Adapters on the open base, several at once and in any strength.
import { useSignal } from "@preact/signals";
import type { Run } from "rootstock";
import { adapters, isPut, mergeStack, putOn, stacked, strengths, takeOff } from "../state/stack.js";
import { text } from "../text/index.js";
import { Button } from "./Button.js";
import { RemarkWords } from "./English.js";
import { Notice } from "./Notice.js";

export function Stack() {
  const list = adapters.value;
  const working = useSignal(false);
  if (list.length === 0) return null;
  const now = stacked.value;
  const words = text.results.stack;
  const work = async (act: () => Promise<void>) => {
    working.value = true;
    try {
      await act();
    } finally {
      working.value = false;
    }
  };
  return (
    <section class="part" aria-labelledby="stack">
      <h2 id="stack">{words.title}</h2>
      <p>{words.about}</p>
      <ul class="stack tight">
        {list.map((run) => (
          <Part key={run.id} run={run} />
        ))}
      </ul>
      <div class="row spaced">
        <Button kind={isPut.value ? "plain" : "first"} disabled={working.value || strengths.value.size === 0 || isPut.value} onPress={() => work(putOn)}>
          {words.put}
        </Button>
        {now && (
          <>
            <Button disabled={working.value || !isPut.value} onPress={() => work(mergeStack)}>
              {words.merge}
            </Button>
            <Button kind="quiet" onPress={takeOff}>
              {words.off}
            </Button>
          </>
        )}
      </div>
      {now && (
        <Notice kind={now.notes.length > 0 ? "warning" : "info"}>
          {words.now(now.name)}
          {now.notes.map((note) => (
            <small key={note}>
              <RemarkWords>{note}</RemarkWords>
            </small>
          ))}
        </Notice>
      )}
    </section>
  );
}

function Part({ run }: { run: Run }) {
  const strength = strengths.value.get(run.id);
  const set = (value: number | null) => {
    const next = new Map(strengths.peek());
    if (value === null) next.delete(run.id);
    else next.set(run.id, value);
    strengths.value = next;
  };
  return (
    <li class="row">
      <label class="check grow">
        <input type="checkbox" checked={strength !== undefined} onChange={({ currentTarget }) => set(currentTarget.checked ? 1 : null)} />
        {run.name}
      </label>
      {strength !== undefined && (
        <label class="row">
          <span class="number">× {strength}</span>
          <input
            type="range"
            min={0}
            max={2}
            step={0.25}
            value={strength}
            aria-label={text.results.stack.strengthOf(run.name)}
            onInput={({ currentTarget }) => set(Number(currentTarget.value))}
          />
        </label>
      )}
    </li>
  );
}
