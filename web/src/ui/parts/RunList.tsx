import type { ComponentChildren } from "preact";
import { useSignal } from "@preact/signals";
import type { Run } from "rootstock";
import { modelWords } from "../names.js";
import { bytes, counted, duration, moment } from "../numbers.js";
import { describeRun, removeRun, runs } from "../state/base.js";
import { Button } from "./Button.js";
import { Tag } from "./Notice.js";
import { text } from "../text/index.js";

interface RunListProps {
  actions: (run: Run) => ComponentChildren;
  only?: (run: Run) => boolean;
}

/** The stored runs with their sizes; the caller provides the actions. A run being written can only be viewed. */
export function RunList({ actions, only }: RunListProps) {
  const words = text.runs;
  const list = only ? runs.value.filter(only) : runs.value;
  if (list.length === 0) return <p class="soft">{words.nothing}</p>;
  const all = list.reduce((sum, run) => sum + run.bytes, 0);
  return (
    <div class="scroll">
      <table class="runs">
        <caption>{words.caption(counted(list.length, "run"), bytes(all))}</caption>
        <thead>
          <tr>
            <th scope="col">{words.run}</th>
            <th scope="col">{words.method}</th>
            <th scope="col">{words.from}</th>
            <th scope="col" class="number">
              {words.steps}
            </th>
            <th scope="col" class="number">
              {words.lossHeldOut}
            </th>
            <th scope="col" class="number">
              {words.time}
            </th>
            <th scope="col" class="number">
              {words.size}
            </th>
            <th scope="col">
              <span class="unseen">{words.whatToDo}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {list.map((run) => (
            <tr key={run.id}>
              <th scope="row">
                <RunName run={run} />
              </th>
              <td>{text.method.short[run.method]}</td>
              <td data-name={words.narrow.from}>{modelWords(run.base)}</td>
              <td class="number" data-name={words.narrow.steps}>
                <Steps run={run} />
              </td>
              <Outcome run={run} />
              <td>
                <div class="row end">
                  {!run.live && actions(run)}
                  {!run.live && <Delete run={run} />}
                </div>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A run's held-out loss, time and size: three cells of a row, or two where room is dear. */
export function Outcome({ run, together = false }: { run: Run; together?: boolean }) {
  return (
    <>
      <td class="number" data-name={text.runs.narrow.heldOut}>
        {run.eval_loss === null ? "–" : run.eval_loss.toFixed(3)}
      </td>
      <td class="number" data-name={text.runs.narrow.time}>
        {run.seconds === null ? "–" : duration(run.seconds)}
        {together && (
          <small class="line" title={sizeWords(run)} data-name={text.runs.narrow.size}>
            {bytes(run.bytes)}
          </small>
        )}
      </td>
      {!together && (
        <td class="number" data-name={text.runs.narrow.size} title={sizeWords(run)}>
          {bytes(run.bytes)}
        </td>
      )}
    </>
  );
}

/** What a run takes in this browser, and what of it is taken home. */
function sizeWords({ bytes: all, result_bytes }: Run): string {
  return all > result_bytes ? text.runs.sizes(bytes(result_bytes), bytes(all - result_bytes)) : bytes(all);
}

/** A run's name, which can be changed in place. */
export function RunName({ run }: { run: Run }) {
  const words = text.runs;
  const typed = useSignal<string | null>(null);
  if (typed.value === null) {
    return (
      <>
        {run.name}
        <br />
        <small>
          {moment(run.created)}
          {!run.live && (
            <>
              {" "}
              <Button kind="quiet" small label={words.renameRun(run.name)} onPress={() => (typed.value = run.name)}>
                {words.rename}
              </Button>
            </>
          )}
        </small>
      </>
    );
  }
  const save = async () => {
    const name = typed.value ?? "";
    await describeRun(run.id, name, run.notes);
    typed.value = null;
  };
  return (
    <form
      class="row"
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
      onKeyDown={(event) => event.key === "Escape" && (typed.value = null)}
    >
      <input
        aria-label={words.newName(run.name)}
        type="text"
        autocomplete="off"
        ref={(field) => {
          if (document.activeElement === document.body) field?.select(); // the button that was pressed is gone
        }}
        value={typed.value}
        onInput={(event) => (typed.value = event.currentTarget.value)}
      />
      <Button onPress={save}>{words.saveName}</Button>
      <Button kind="quiet" onPress={() => (typed.value = null)}>
        {words.leaveIt}
      </Button>
    </form>
  );
}

export function Steps({ run }: { run: Run }) {
  return (
    <>
      {stepsOf(run)}
      {run.live ? (
        <>
          {" "}
          <Tag kind="info">{text.runs.goesOn}</Tag>
        </>
      ) : (
        !run.finished && (
          <>
            {" "}
            <Tag kind="warning">{text.runs.notDone}</Tag>
          </>
        )
      )}
    </>
  );
}

/** The progress of a run; a dash for copies and merged models, which were not trained. */
function stepsOf({ step, steps, finished }: Run): string {
  if (finished) return step === 0 ? "–" : String(step);
  return steps > 0 ? `${step} / ${steps}` : String(step);
}

/** A delete button that asks for confirmation in place. */
export function Delete({ run, small = false }: { run: Run; small?: boolean }) {
  const words = text.runs;
  const asked = useSignal(false);
  if (!asked.value) {
    return (
      <Button kind="danger" small={small} label={words.deleteRun(run.name)} onPress={() => (asked.value = true)}>
        {words.delete}
      </Button>
    );
  }
  return (
    <>
      <Button kind="danger" small={small} label={words.reallyDeleteRun(run.name)} onPress={() => removeRun(run.id)}>
        {words.reallyDelete}
      </Button>
      <Button kind="quiet" small={small} onPress={() => (asked.value = false)}>
        {words.keep}
      </Button>
    </>
  );
}
