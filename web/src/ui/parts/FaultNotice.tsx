// What went wrong, where it happened.
import type { Said } from "../state/faults.js";
import { FaultWords } from "./English.js";
import { Notice } from "./Notice.js";

/** A notice of what went wrong, in the page's language where its code is known. */
export function FaultNotice({ of }: { of: Said }) {
  return (
    <Notice kind="error">
      <FaultWords of={of} />
    </Notice>
  );
}
