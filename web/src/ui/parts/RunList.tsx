import type { ComponentChildren } from "preact";
import { useSignal } from "@preact/signals";
import type { Run } from "../../messages.js";
import { bytes } from "../numbers.js";
import { removeRun, runs } from "../state/base.js";
import { Button } from "./Button.js";
import { Tag } from "./Notice.js";

const when = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const METHODS = { full: "full", lora: "LoRA", freeze: "some layers", merge: "merged", repair: "repaired", copy: "copy" } as const;

/** The stored runs with their sizes; the caller provides the actions. A run being written can only be viewed. */
export function RunList({ actions, only }: { actions: (run: Run) => ComponentChildren; only?: (run: Run) => boolean }) {
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
              Loss
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
                {run.name}
                <br />
                <small>{when.format(run.created)}</small>
              </th>
              <td>{METHODS[run.method]}</td>
              <td data-name="from">{run.base}</td>
              <td class="number" data-name="steps">
                {stepsOf(run)}
                {run.live ? (
                  <>
                    {" "}
                    <Tag kind="info">goes on</Tag>
                  </>
                ) : !run.finished && (
                  <>
                    {" "}
                    <Tag kind="warning">not done</Tag>
                  </>
                )}
              </td>
              <td class="number" data-name="loss">{run.loss === null ? "–" : run.loss.toFixed(3)}</td>
              <td class="number">{bytes(run.bytes)}</td>
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

/** The progress of a run; a dash for copies and merged models, which were not trained. */
function stepsOf({ step, steps, finished }: Run): string {
  if (finished) return step === 0 ? "–" : String(step);
  return steps > 0 ? `${step} / ${steps}` : String(step);
}

/** A delete button that asks for confirmation in place. */
function Delete({ run }: { run: Run }) {
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
