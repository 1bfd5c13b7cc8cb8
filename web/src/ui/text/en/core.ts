import type { FaultCode, FindingCode, Place } from "rootstock";

/** What the core says, by codes and patterns; `null` in English, where its own sentences are shown. */
interface Core {
  /** What went wrong, by its code and what it is about. */
  failures: Record<FaultCode, (place: Place) => string>;
  /** What is being done, by the core's own words. */
  progress: Record<string, string>;
  /** What a finding is and what to do, by its code: for findings whose sentence has no pattern. */
  findings: Record<FindingCode, string>;
  /** What a finding says, by its pattern, from its values. */
  sentences: Record<string, (...values: string[]) => string>;
  /** How a finding is repaired, from the core's words; `null` where it is not known. */
  repair: (words: string) => string | null;
  /** What it remarks on recipes, data and runs, from its own words; `null` where they are not known. */
  notice: (words: string) => string | null;
}

export const core: Core | null = null as Core | null;
