import type { Base, Finding } from "rootstock";
import { fieldWords, valueWords } from "../names.js";
import { bytes, count } from "../numbers.js";
import { Busy } from "../parts/Busy.js";
import { Button } from "../parts/Button.js";
import { Notice, Tag, type Kind } from "../parts/Notice.js";
import { Missing, Onward } from "../parts/Onward.js";
import { base, cancelOpening, opening, readAll, readWhole, repair, repaired } from "../state/base.js";

const VERDICTS: Record<Base["report"]["verdict"], { kind: Kind; title: string; line: string }> = {
  ready: { kind: "good", title: "Ready", line: "It loads, and computes what its configuration says, here and in transformers." },
  repairable: { kind: "warning", title: "Not ready, but it can be repaired", line: "A repaired copy is made in this browser; your files stay as they are." },
  unusable: { kind: "error", title: "It cannot be used as it is", line: "What is missing cannot be made up for here. The findings say what to do." },
};

/** Fields already shown on another line. */
const SAID = ["model_type", "torch_dtype"];

const SEVERITIES: Record<Finding["severity"], { kind: Kind; word: string }> = {
  error: { kind: "error", word: "Error" },
  warning: { kind: "warning", word: "Warning" },
  info: { kind: "info", word: "Note" },
};

export function CheckStep() {
  const opened = base.value;
  if (opening.value) {
    return (
      <div class="row">
        <div class="grow">
          <Busy progress={opening.value} />
        </div>
        <Button onPress={cancelOpening}>Cancel</Button>
      </div>
    );
  }
  if (!opened) return <Missing to="base">There is no base yet.</Missing>;
  const { report } = opened;
  const verdict = VERDICTS[report.verdict];
  const order = ["error", "warning", "info"];
  const findings = report.findings.toSorted((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity));
  // One copy contains all repairs: applying only some would leave a directory that is not ready.
  const repairable = findings.filter(({ repair }) => repair !== null).length;
  return (
    <>
      <Notice
        kind={verdict.kind}
        action={
          repairable > 0 && (
            <Button kind={report.verdict === "repairable" ? "first" : "plain"} onPress={repair}>
              {repairable > 1 ? `Make a repaired copy: all ${repairable} findings` : "Make a repaired copy"}
            </Button>
          )
        }
      >
        <strong>{verdict.title}.</strong> {verdict.line}
      </Notice>
      {repaired.value.length > 0 && (
        <section class="part">
          <h2>What the repair did</h2>
          <ul class="plain">
            {repaired.value.map((words) => (
              <li key={words}>{words}</li>
            ))}
          </ul>
        </section>
      )}
      <section class="part">
        <h2>
          {findings.length === 0 ? "No findings" : findings.length === 1 ? "1 finding" : `${count(findings.length)} findings`}
        </h2>
        <ul class="findings">
          {findings.map((finding, index) => (
            <FindingLine key={index} finding={finding} />
          ))}
        </ul>
        <div class="row spaced">
          {readWhole.value ? (
            <small>
              Every weight was read{report.loss === undefined ? "" : `, and the model was run: loss ${report.loss.toFixed(3)}`}.
            </small>
          ) : (
            <>
              <Button onPress={readAll}>Check every weight too</Button>
              <small>So far only headers were read. This reads every weight, finds NaN, infinities and zeros, and runs the model on a text.</small>
            </>
          )}
        </div>
      </section>
      <div class="two">
        <section class="part">
          <h2>What it is</h2>
          <dl class="facts">
            <dt>Architecture</dt>
            <dd>{report.model_type ?? "unknown"}</dd>
            <dt>Parameters</dt>
            <dd>{report.parameters === null ? "unknown" : count(report.parameters)}</dd>
            {Object.entries(opened.config).filter(([name]) => !SAID.includes(name)).map(([name, value]) => [
              <dt key={name} title={name}>
                {fieldWords(name)}
              </dt>,
              <dd key={`${name}=`}>{typeof value === "number" ? count(value) : valueWords(value)}</dd>,
            ])}
          </dl>
        </section>
        <section class="part">
          <h2>Its files</h2>
          <dl class="facts">
            {opened.files.map(({ name, bytes: size }) => [<dt key={name}>{name}</dt>, <dd key={`${name}=`}>{bytes(size)}</dd>])}
          </dl>
        </section>
      </div>
      <Onward to="data" missing={report.verdict === "ready" ? null : "Training needs a base that is ready."} />
    </>
  );
}

function FindingLine({ finding }: { finding: Finding }) {
  const { kind, word } = SEVERITIES[finding.severity];
  const where = [finding.file, finding.tensor].filter((part) => part !== null);
  return (
    <li class="finding">
      <Tag kind={kind}>{word}</Tag>
      <div>
        <p>{finding.message}</p>
        {where.length > 0 && (
          <small>
            <code>{where.join(", ")}</code>
          </small>
        )}
        {finding.repair !== null && <small class="line">Repair: {finding.repair}</small>}
      </div>
    </li>
  );
}
