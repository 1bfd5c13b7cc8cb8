// What the core says, which speaks English: in another language by its code and values where the catalogue has them, and as it is.
import type { Finding } from "rootstock";
import type { Said } from "../state/faults.js";
import type { RunNotice } from "../state/run.js";
import { findingWords, noticeWords, progressWords, repairWords } from "../text/core.js";
import { text } from "../text/index.js";
import { language } from "../text/language.js";

/** A sentence that is English in every language, so that it is read and hyphenated as such. */
export function English({ children }: { children: string }) {
  return language.value === "en" ? <>{children}</> : <span lang="en">{children}</span>;
}

/** The original below its translation, for who searches for it or asks someone. */
function Original({ children }: { children: string }) {
  return (
    <small class="line original" lang="en">
      {children}
    </small>
  );
}

/** What went wrong. */
export function FaultWords({ of: { sentence, code, place } }: { of: Said }) {
  const words = code === null ? undefined : text.core?.failures[code](place);
  if (words === undefined) return <>{sentence}</>;
  return (
    <>
      {words}
      <Original>{sentence}</Original>
    </>
  );
}

/** What a finding says: in English its sentence; else what it is, and the sentence where that says more. */
export function FindingWords({ finding }: { finding: Finding }) {
  if (language.value === "en") return <p>{finding.message}</p>;
  const { words, whole } = findingWords(finding);
  return (
    <>
      <p>{words}</p>
      {!whole && <Original>{finding.message}</Original>}
    </>
  );
}

/** How a finding is repaired. */
export function RepairWords({ finding }: { finding: Finding }) {
  if (finding.repair === null) return null;
  const words = repairWords(finding.repair) ?? <English>{finding.repair}</English>;
  return <small class="line">{text.check.repair(words)}</small>;
}

/** What the core remarks on a recipe, on data or on a run. */
export function RemarkWords({ children: words }: { children: string }) {
  const known = noticeWords(words);
  return known === null ? <English>{words}</English> : <>{known}</>;
}

/** What a repair did. */
export function DoneWords({ children: words }: { children: string }) {
  const known = repairWords(words);
  return known === null ? <English>{words}</English> : <>{known}</>;
}

/** A notice of a run. */
export function NoticeWords({ of: notice }: { of: RunNotice }) {
  return "page" in notice ? <>{notice.page()}</> : <RemarkWords>{notice.core}</RemarkWords>;
}

/** What is being done. */
export function ProgressWords({ what }: { what: string }) {
  const known = progressWords(what);
  return known === null ? <English>{what}</English> : <>{known}</>;
}
