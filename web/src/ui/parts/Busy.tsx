import { useId } from "preact/hooks";
import type { Progress, Unit } from "rootstock";
import { bytes, count, counted } from "../numbers.js";
import type { Thing } from "../text/noun.js";
import { ProgressWords } from "./English.js";
import { text } from "../text/index.js";

const THINGS: Record<Exclude<Unit, "bytes">, Thing> = { steps: "step", samples: "sample", tensors: "tensor", prompts: "prompt", kernels: "kernel", tokens: "token" };

interface BusyProps {
  progress: Progress;
  /** What is being done, where the page knows more than the progress says. */
  label?: string;
}

/** A progress indicator. */
export function Busy({ progress, label }: BusyProps) {
  const { what, done, total, unit } = progress;
  const amount = (value: number) => (unit === "bytes" ? bytes(value) : count(value));
  const withThing = (value: number) => (unit === "bytes" ? bytes(value) : counted(value, THINGS[unit]));
  const id = useId();
  return (
    <div class="stack tight">
      <div class="row">
        <span id={id}>
          {label ?? <ProgressWords what={what} />}
        </span>
        <small class="number">{total ? text.units.doneOf(amount(done), withThing(total)) : done > 0 ? withThing(done) : ""}</small>
      </div>
      <progress class="progress" aria-labelledby={id} {...(total ? { max: total, value: done } : {})} />
    </div>
  );
}
