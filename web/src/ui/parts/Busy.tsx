import { useId } from "preact/hooks";
import type { Progress } from "rootstock";
import { bytes, count } from "../numbers.js";

/** A progress indicator. */
export function Busy({ progress }: { progress: Progress }) {
  const { what, done, total, unit } = progress;
  const amount = (value: number) => (unit === "bytes" ? bytes(value) : count(value));
  const things = unit === "bytes" ? "" : ` ${total === 1 ? unit.replace(/s$/, "") : unit}`;
  const id = useId();
  return (
    <div class="stack tight">
      <div class="row">
        <span id={id}>{what}</span>
        <small class="number">{total ? `${amount(done)} of ${amount(total)}${things}` : done > 0 ? `${amount(done)}${things}` : ""}</small>
      </div>
      <progress class="progress" aria-labelledby={id} {...(total ? { max: total, value: done } : {})} />
    </div>
  );
}
