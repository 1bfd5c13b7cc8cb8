import type { FaultCode, Place } from "rootstock";

/** What the core says in English is shown as it is. */
interface Core {
  /** What went wrong, by its code and what it is about. */
  failures: Record<FaultCode, (place: Place) => string> | null;
  /** What is being done, by the core's own words. */
  progress: Record<string, string> | null;
  /** What a finding is and what to do, by its code. */
  findings: Record<string, string> | null;
}

export const core: Core = { failures: null, progress: null, findings: null };
