import type { ComponentChildren } from "preact";
import { useSignal } from "@preact/signals";
import type { Run } from "rootstock";
import { bytes, duration } from "../numbers.js";
import { describeRun, removeRun, runs } from "../state/base.js";
import { Button } from "./Button.js";
import { Tag } from "./Notice.js";

const when = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
export const METHODS = { full: "all parameters", lora: "LoRA", freeze: "some layers", merge: "merged", repair: "repaired", copy: "copy" } as const;

interface RunListProps {
  actions: (run: Run) => ComponentChildren;
  only?: (run: Run) => boolean;
}

/** The stored runs with their sizes; the caller provides the actions. A run being written can only be viewed. */
export function RunList({ actions, only }: RunListProps) {
  const list = only ? runs.value.filter(only) : runs.value;
  if (list.length === 0) return <p class="soft">Nothing yet.</p>;
  const all = list.reduce((sum, run) => sum + run.bytes, 0);
  return (
    <div class="scroll">
      <table class="runs">
        <caption>
          {list.length === 1 ? "1 run" : `${list.length} runs`}, {bytes(all)}
        </caption>
        <thead>
          <tr>
            <th scope="col">Run</th>
            <th scope="col">Method</th>
            <th scope="col">From</th>
            <th scope="col" class="number">
              Steps
            </th>
            <th scope="col" class="number">
              Loss, held out
            </th>
            <th scope="col" class="number">
              Time
            </th>
            <th scope="col" class="number">
              Size
            </th>
            <th scope="col">
              <span class="unseen">What to do with it</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {list.map((run) => (
            <tr key={run.id}>
              <th scope="row">
                <RunName run={run} />
              </th>
              <td>{METHODS[run.method]}</td>
              <td data-name="from">{run.base}</td>
              <td class="number" data-name="steps">
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

/** A run's held-out loss, time and size: three cells of a row. */
export function Outcome({ run }: { run: Run }) {
  return (
    <>
      <td class="number" data-name="held-out loss">
        {run.eval_loss === null ? "–" : run.eval_loss.toFixed(3)}
      </td>
      <td class="number" data-name="time">
        {run.seconds === null ? "–" : duration(run.seconds)}
      </td>
      <td class="number" data-name="size" title={sizeWords(run)}>
        {bytes(run.bytes)}
      </td>
    </>
  );
}

/** What a run takes in this browser, and what of it is taken home. */
function sizeWords({ bytes: all, result_bytes }: Run): string {
  return all > result_bytes ? `${bytes(result_bytes)}, and ${bytes(all - result_bytes)} of snapshots` : bytes(all);
}

/** A run's name, which can be changed in place. */
export function RunName({ run }: { run: Run }) {
  const typed = useSignal<string | null>(null);
  if (typed.value === null) {
    return (
      <>
        {run.name}
        <br />
        <small>
          {when.format(run.created)}
          {!run.live && (
            <>
              {" "}
              <Button kind="quiet" small label={`Rename ${run.name}`} onPress={() => (typed.value = run.name)}>
                Rename
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
        aria-label={`New name of ${run.name}`}
        type="text"
        autocomplete="off"
        ref={(field) => {
          if (document.activeElement === document.body) field?.select(); // the button that was pressed is gone
        }}
        value={typed.value}
        onInput={(event) => (typed.value = event.currentTarget.value)}
      />
      <Button onPress={save}>Save the name</Button>
      <Button kind="quiet" onPress={() => (typed.value = null)}>
        Leave it
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
          <Tag kind="info">goes on</Tag>
        </>
      ) : (
        !run.finished && (
          <>
            {" "}
            <Tag kind="warning">not done</Tag>
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
export function Delete({ run }: { run: Run }) {
  const asked = useSignal(false);
  if (!asked.value) {
    return (
      <Button kind="danger" label={`Delete ${run.name}`} onPress={() => (asked.value = true)}>
        Delete
      </Button>
    );
  }
  return (
    <>
      <Button kind="danger" label={`Really delete ${run.name}`} onPress={() => removeRun(run.id)}>
        Really delete
      </Button>
      <Button kind="quiet" onPress={() => (asked.value = false)}>
        Keep
      </Button>
    </>
  );
}
