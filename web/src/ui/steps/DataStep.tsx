import type { Signal } from "@preact/signals";
import { Busy } from "../parts/Busy.js";
import { Choice } from "../parts/Choice.js";
import { Drop } from "../parts/Drop.js";
import { NumberField, SelectField, SwitchField } from "../parts/Field.js";
import { Notice } from "../parts/Notice.js";
import { Mapping } from "../parts/Mapping.js";
import { Missing, Onward } from "../parts/Onward.js";
import { Preview } from "../parts/Preview.js";
import { Writer } from "../parts/Writer.js";
import { dataWords } from "../names.js";
import { bytes, counted } from "../numbers.js";
import { recognise } from "rootstock";
import { Button } from "../parts/Button.js";
import { ready } from "../state/base.js";
import {
  data,
  dataFault,
  example,
  examples,
  files,
  heldOut,
  ownFile,
  pasted,
  pastedFormat,
  preparing,
  preview,
  readAgain,
  reading,
  readingStopped,
  sizeOf,
  stopReading,
  suitsVillage,
  way,
  type OwnFile,
  type Way,
} from "../state/data.js";
import { compares, flagOf, numberOf, set, stage, textOf } from "../state/recipe.js";
import { wrongOn } from "../state/wrong.js";
import { FaultWords } from "../parts/English.js";
import { text } from "../text/index.js";

const WAYS: readonly Way[] = ["example", "paste", "files", "write"];

export function DataStep() {
  const words = text.data;
  return (
    <>
      <div class="main-aside">
        <div>
          <Choice
            label={words.whereFrom}
            value={way.value}
            options={WAYS.filter((key) => key !== "example" || suitsVillage.value).map((key) => [key, words.ways[key]] as const)}
            onChange={(value) => (way.value = value)}
          />
          <section class="given" aria-label={words.theData}>
            <Given />
            {(way.value === "files" || way.value === "paste") && <Mapping />}
          </section>
          <section class="part">
            <h2>{words.tokenizerMakes}</h2>
            <p>{words.greenTokens}</p>
            <Shown />
          </section>
        </div>
        <aside aria-label={words.howUsedLabel}>
          <h2>{words.howUsed}</h2>
          <Settings />
        </aside>
      </div>
      <Onward to="method" missing={missing()} wrong={wrongOn("data")} />
    </>
  );
}

/** Why there is nothing to learn from yet, in a sentence. */
function missing(): string | null {
  const words = text.data;
  if (!data.value) return words.noData;
  if (dataFault.value !== null) return words.faulty;
  return readingStopped.value ? words.notRead : null;
}

function Given() {
  const words = text.data;
  switch (way.value) {
    case "example":
      return (
        <div class="options examples" role="radiogroup" aria-label={words.examplesLabel}>
          {examples.value.map(({ name, about, records, held_out }) => (
            <label key={name}>
              <input type="radio" name="example" checked={example.value === name} onChange={() => (example.value = name)} />
              <strong>{capital(dataWords(name))}</strong>
              <small>{words.exampleLine(words.about(name, about), counted(records, "record"), held_out !== null)}</small>
            </label>
          ))}
        </div>
      );
    case "paste":
      return (
        <div class="stack tight">
          <Choice
            label={words.format}
            value={pastedFormat.value}
            options={[
              ["jsonl", words.formats.jsonl],
              ["json", words.formats.json],
              ["csv", words.formats.csv],
              ["txt", words.formats.txt],
            ]}
            onChange={(value) => (pastedFormat.value = value)}
          />
          <label for="pasted" class="unseen">
            {words.records}
          </label>
          <textarea
            id="pasted"
            rows={10}
            spellcheck={false}
            placeholder={pastedFormat.value === "txt" ? words.plainTextPlaceholder : RECORDS[pastedFormat.value]}
            value={pasted.value}
            onInput={(event) => {
              const typed = event.currentTarget.value;
              // What is pasted as a whole says what it is; while someone types, the choice is theirs.
              const format = event.inputType === "insertFromPaste" || pasted.peek() === "" ? recognise(typed) : null;
              pasted.value = typed;
              if (format !== null) pastedFormat.value = format;
            }}
          />
        </div>
      );
    case "files":
      return <Files list={files} />;
    case "write":
      return <Writer />;
  }
}

const RECORDS = {
  jsonl: '{"instruction": "Who lives in the red house?", "output": "Anna lives in the red house."}\n{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}',
  json: '[{"instruction": "Who lives in the red house?", "output": "Anna lives in the red house."}]',
  csv: "instruction,output\nWho lives in the red house?,Anna lives in the red house.",
};

function Files({ list }: { list: Signal<OwnFile[]> }) {
  return (
    <div class="stack tight">
      <Drop
        accept=".jsonl,.json,.csv,.tsv,.txt,.gz,.zst,.parquet"
        onFiles={async (given) => (list.value = await Promise.all(given.map(({ path, file }) => ownFile(path, file))))}
      >
        <span>{text.data.dropFiles}</span>
      </Drop>
      {list.value.length > 0 && (
        <ul class="stack tight">
          {list.value.map((own) => (
            <li class="row" key={own.name}>
              <code>{own.name}</code>
              <small>{bytes(sizeOf(own))}</small>
              <Button kind="danger" label={text.data.removeFile(own.name)} onPress={() => (list.value = list.value.filter((file) => file !== own))}>
                {text.data.remove}
              </Button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** Bytes of data whose reading is over before a bar is seen. */
const WORTH_A_BAR = 1_000_000;

const capital = (words: string) => words.charAt(0).toUpperCase() + words.slice(1);

function Shown() {
  if (!ready.value) return <Missing to="base">{text.data.needsReady}</Missing>;
  if (dataFault.value !== null) return (
      <Notice kind="error">
        <FaultWords of={dataFault.value} />
      </Notice>
    );
  if (readingStopped.value)
    return (
      <div class="row">
        <p class="soft grow">{text.data.readingStopped}</p>
        <Button onPress={readAgain}>{text.data.readAgain}</Button>
      </div>
    );
  const progress = preparing.value && (reading.value?.total ?? 0) > WORTH_A_BAR ? reading.value : null;
  return (
    <>
      {progress && (
        <div class="row">
          <div class="grow">
            <Busy progress={progress} />
          </div>
          <Button onPress={stopReading}>{text.data.stopReading}</Button>
        </div>
      )}
      {preview.value ? (
        <Preview preview={preview.value} busy={preparing.value} />
      ) : (
        !progress && <p class="soft">{preparing.value ? text.data.reading : text.data.nothingYet}</p>
      )}
    </>
  );
}

/** Offers the length that the data needs, where some of it is cut. */
function Needed() {
  const shown = preview.value;
  const needs = shown?.needs ?? 0;
  if (!shown || shown.truncated === 0 || needs <= (numberOf("cutoff_len") ?? 0)) return null;
  return (
    <div class="row needed">
      <small class="grow">{text.data.samplesCut(counted(shown.truncated, "sample"), shown.truncated === 1, needs)}</small>
      <Button onPress={() => set({ cutoff_len: needs })}>{text.data.takeLength(needs)}</Button>
    </div>
  );
}

function Settings() {
  const words = text.data;
  return (
    <>
      <Learnt />
      <NumberField
        of="cutoff_len"
        name={words.longest}
        help={words.longestHelp}
        unit={words.tokens}
        whole
        least={2}
        most={32768}
        value={numberOf("cutoff_len")}
        onChange={(value) => set({ cutoff_len: value })}
      />
      <Needed />
      <NumberField
        of="val_size"
        name={words.heldOut}
        help={words.heldOutHelp}
        least={0}
        otherwise="0"
        value={numberOf("val_size")}
        onChange={(value) => set({ val_size: value })}
      />
      <details class="spaced" open={heldOut.value.length > 0}>
        <summary>{words.otherFiles}</summary>
        <Files list={heldOut} />
      </details>
      {!compares.value && (
        <>
          <SwitchField
            name={words.learnQuestions}
            help={words.learnQuestionsHelp}
            value={flagOf("train_on_prompt")}
            onChange={(value) => set({ train_on_prompt: value || null })}
          />
          <SwitchField
            name={words.lastOnly}
            help={words.lastOnlyHelp}
            value={flagOf("mask_history")}
            onChange={(value) => set({ mask_history: value || null })}
          />
          <SwitchField
            name={words.pack}
            help={words.packHelp}
            value={flagOf("neat_packing")}
            onChange={(value) => set({ neat_packing: value || null, packing: value || null })}
          />
        </>
      )}
    </>
  );
}

const LOSSES = ["sigmoid", "hinge", "ipo", "orpo", "simpo"] as const;

/** What is learnt from the data, and how answers are compared. */
function Learnt() {
  const words = text.data;
  return (
    <>
      <SelectField
        name={words.whatIsLearnt}
        help={words.whatIsLearntHelp}
        value={stage.value}
        options={(["sft", "dpo", "kto", "pt"] as const).map((one) => [one, words.stages[one]] as const)}
        onChange={(value) => set({ stage: value })}
      />
      {stage.value === "dpo" && (
        <SelectField
          name={words.loss}
          help={words.lossHelp}
          value={textOf("pref_loss") || "sigmoid"}
          options={LOSSES.map((name) => [name, name] as const)}
          onChange={(value) => set({ pref_loss: value === "sigmoid" ? null : value })}
        />
      )}
      {compares.value && (
        <NumberField
          of="pref_beta"
          name={words.strength}
          help={words.strengthHelp}
          least={0.001}
          most={100}
          otherwise="0.1"
          value={numberOf("pref_beta")}
          onChange={(value) => set({ pref_beta: value })}
        />
      )}
    </>
  );
}
