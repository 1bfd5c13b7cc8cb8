import { device } from "../state/device.js";
import { obstacle } from "../state/where.js";
import { Notice } from "./Notice.js";
import { Replay } from "./Recorded.js";
import { text } from "../text/index.js";

/** Explains why nothing can be trained here, what works all the same, and what to do; with the way to a recorded run, unless another place has it. */
export function NoGpu({ replay = true }: { replay?: boolean }) {
  if (device.value !== null) return null;
  const { what, why } = obstacle();
  return (
    <div class="spaced">
      <Notice kind="warning">
        <strong>{what}</strong>
        {text.device.soNothing}
        <small>{why}</small>
        {replay && <Replay />}
      </Notice>
    </div>
  );
}
