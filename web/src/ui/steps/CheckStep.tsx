import type { Base, Finding } from "rootstock";
import { fieldWords, valueWords } from "../names.js";
import { bytes, count } from "../numbers.js";
import { Busy } from "../parts/Busy.js";
import { Button } from "../parts/Button.js";
import { Notice, Tag, type Kind } from "../parts/Notice.js";
import { Missing, Onward } from "../parts/Onward.js";
import { base, cancelOpening, opening, readAll, readWhole, repair, repaired } from "../state/base.js";
import { DoneWords, FindingWords, RepairWords } from "../parts/English.js";
import { text } from "../text/index.js";

const VERDICTS: Record<Base["report"]["verdict"], Kind> = { ready: "good", repairable: "warning", unusable: "error" };

/** Fields already shown on another line. */
const SAID = ["model_type", "torch_dtype"];

export function CheckStep() {
  const opened = base.value;
  const words = text.check;
  if (opening.value) {
    return (
      <div class="row">
        <div class="grow">
          <Busy progress={opening.value} />
        </div>
        <Button onPress={cancelOpening}>{text.shell.cancel}</Button>
      </div>
    );
  }
  if (!opened) return <Missing to="base">{words.noBase}</Missing>;
  const { report } = opened;
  const verdict = words.verdicts[report.verdict];
  const order = ["error", "warning", "info"];
  const findings = report.findings.toSorted((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity));
  // One copy contains all repairs: applying only some would leave a directory that is not ready.
  const repairable = findings.filter(({ repair }) => repair !== null).length;
  return (
    <>
      <Notice
        kind={VERDICTS[report.verdict]}
        action={
          repairable > 0 && (
            <Button kind={report.verdict === "repairable" ? "first" : "plain"} onPress={repair}>
              {repairable > 1 ? words.repairedCopyOf(repairable) : words.repairedCopy}
            </Button>
          )
        }
      >
        <strong>
          {verdict.title}
          {words.titleEnd}
        </strong>
        {text.units.gap}
        {verdict.line}
      </Notice>
      {repaired.value.length > 0 && (
        <section class="part">
          <h2>{words.repairDid}</h2>
          <ul class="plain">
            {repaired.value.map((done) => (
              <li key={done}>
                <DoneWords>{done}</DoneWords>
              </li>
            ))}
          </ul>
        </section>
      )}
      <section class="part">
        <h2>{findings.length === 0 ? words.noFindings : findings.length === 1 ? words.oneFinding : words.findings(count(findings.length))}</h2>
        <ul class="findings">
          {findings.map((finding, index) => (
            <FindingLine key={index} finding={finding} />
          ))}
        </ul>
        <div class="row spaced">
          {readWhole.value ? (
            <small>{report.loss === undefined ? words.everyWeightRead : words.everyWeightReadLoss(report.loss.toFixed(3))}</small>
          ) : (
            <>
              <Button onPress={readAll}>{words.checkEveryWeight}</Button>
              <small>{words.onlyHeaders}</small>
            </>
          )}
        </div>
      </section>
      <div class="two">
        <section class="part">
          <h2>{words.whatItIs}</h2>
          <dl class="facts">
            <dt>{words.architecture}</dt>
            <dd>{report.model_type ?? words.unknown}</dd>
            <dt>{words.parameters}</dt>
            <dd>{report.parameters === null ? words.unknown : count(report.parameters)}</dd>
            {Object.entries(opened.config).filter(([name]) => !SAID.includes(name)).map(([name, value]) => [
              <dt key={name} title={name}>
                {fieldWords(name)}
              </dt>,
              <dd key={`${name}=`}>{typeof value === "number" ? count(value) : valueWords(value)}</dd>,
            ])}
          </dl>
        </section>
        <section class="part">
          <h2>{words.itsFiles}</h2>
          <dl class="facts">
            {opened.files.map(({ name, bytes: size }) => [<dt key={name}>{name}</dt>, <dd key={`${name}=`}>{bytes(size)}</dd>])}
          </dl>
        </section>
      </div>
      <Onward to="data" missing={report.verdict === "ready" ? null : words.needsReady} />
    </>
  );
}

function FindingLine({ finding }: { finding: Finding }) {
  const where = [finding.file, finding.tensor].filter((part) => part !== null);
  return (
    <li class="finding">
      <Tag kind={finding.severity}>{text.check.severities[finding.severity]}</Tag>
      <div>
        <FindingWords finding={finding} />
        {where.length > 0 && (
          <small>
            <code>{where.join(", ")}</code>
          </small>
        )}
        <RepairWords finding={finding} />
      </div>
    </li>
  );
}
