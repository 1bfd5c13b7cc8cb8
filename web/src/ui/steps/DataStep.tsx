import type { Signal } from "@preact/signals";
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
import { data, dataFault, example, examples, files, heldOut, pasted, pastedFormat, preparing, preview, suitsVillage, way, type Way } from "../state/data.js";
import { compares, flagOf, numberOf, set, stage, textOf } from "../state/recipe.js";
import { wrongOn } from "../state/wrong.js";

const WAYS: readonly (readonly [Way, string])[] = [
  ["example", "Examples"],
  ["paste", "Paste"],
  ["files", "Files"],
  ["write", "Write"],
];

export function DataStep() {
  return (
    <>
      <div class="main-aside">
        <div>
          <Choice
            label="Where the data comes from"
            value={way.value}
            options={WAYS.filter(([key]) => key !== "example" || suitsVillage.value)}
            onChange={(value) => (way.value = value)}
          />
          <section class="given" aria-label="The data">
            <Given />
            {(way.value === "files" || way.value === "paste") && <Mapping />}
          </section>
          <section class="part">
            <h2>What the tokenizer makes of it</h2>
            <p>
              The model learns the <mark class="trained">green</mark> tokens; it only reads the others. Each box is one token.
            </p>
            <Shown />
          </section>
        </div>
        <aside aria-label="How the data is used">
          <h2>How it is used</h2>
          <Settings />
        </aside>
      </div>
      <Onward to="method" missing={data.value ? null : "There is no data yet."} wrong={wrongOn("data")} />
    </>
  );
}

function Given() {
  switch (way.value) {
    case "example":
      return (
        <div class="options examples" role="radiogroup" aria-label="Examples">
          {examples.value.map(({ name, about, records, held_out }) => (
            <label key={name}>
              <input type="radio" name="example" checked={example.value === name} onChange={() => (example.value = name)} />
              <strong>{capital(dataWords(name))}</strong>
              <small>
                {about.replace(/\.?$/, ".")} {counted(records, "record")}{held_out ? ", others held out to evaluate on" : ""}.
              </small>
            </label>
          ))}
        </div>
      );
    case "paste":
      return (
        <div class="stack tight">
          <Choice
            label="Format"
            value={pastedFormat.value}
            options={[
              ["jsonl", "JSON lines"],
              ["json", "JSON"],
              ["csv", "CSV"],
              ["txt", "Plain text"],
            ]}
            onChange={(value) => (pastedFormat.value = value)}
          />
          <label for="pasted" class="unseen">
            Records
          </label>
          <textarea
            id="pasted"
            rows={10}
            spellcheck={false}
            placeholder={PLACEHOLDERS[pastedFormat.value]}
            value={pasted.value}
            onInput={(event) => {
              const text = event.currentTarget.value;
              // What is pasted as a whole says what it is; while someone types, the choice is theirs.
              const format = event.inputType === "insertFromPaste" || pasted.peek() === "" ? recognise(text) : null;
              pasted.value = text;
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

const PLACEHOLDERS = {
  jsonl: '{"instruction": "Who lives in the red house?", "output": "Anna lives in the red house."}\n{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}',
  json: '[{"instruction": "Who lives in the red house?", "output": "Anna lives in the red house."}]',
  csv: "instruction,output\nWho lives in the red house?,Anna lives in the red house.",
  txt: "One text per line. Every token of it is learnt.",
};

function Files({ list }: { list: Signal<{ name: string; text: string }[]> }) {
  return (
    <div class="stack tight">
      <Drop
        accept=".jsonl,.json,.csv,.tsv,.txt"
        onFiles={async (given) => {
          const read = given.map(async ({ path, file }) => ({ name: path, text: await file.text() }));
          list.value = await Promise.all(read);
        }}
      >
        <span>Drop files here (jsonl, json, csv or txt), or</span>
      </Drop>
      {list.value.length > 0 && (
        <ul class="stack tight">
          {list.value.map(({ name, text }) => (
            <li class="row" key={name}>
              <code>{name}</code>
              <small>{bytes(text.length)}</small>
              <Button
                kind="danger"
                label={`Remove ${name}`}
                onPress={() => (list.value = list.value.filter((file) => file.name !== name))}
              >
                Remove
              </Button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

const capital = (words: string) => words.charAt(0).toUpperCase() + words.slice(1);

function Shown() {
  if (!ready.value) return <Missing to="base">The tokens show once there is a base that is ready.</Missing>;
  if (dataFault.value !== null) return <Notice kind="error">{dataFault.value}</Notice>;
  if (!preview.value) return <p class="soft">{preparing.value ? "Reading …" : "Nothing to show yet."}</p>;
  return <Preview preview={preview.value} busy={preparing.value} />;
}

/** Offers the length that the data needs, where some of it is cut. */
function Needed() {
  const shown = preview.value;
  const needs = shown?.needs ?? 0;
  if (!shown || shown.truncated === 0 || needs <= (numberOf("cutoff_len") ?? 0)) return null;
  return (
    <div class="row needed">
      <small class="grow">
        {counted(shown.truncated, "sample")} {shown.truncated === 1 ? "is" : "are"} cut; the longest has {needs} tokens.
      </small>
      <Button onPress={() => set({ cutoff_len: needs })}>Take {needs}</Button>
    </div>
  );
}

function Settings() {
  return (
    <>
      <Learnt />
      <NumberField
        name="Longest sample"
        help="Longer samples are cut, question and answer in proportion."
        unit="tokens"
        whole
        least={2}
        most={32768}
        value={numberOf("cutoff_len")}
        onChange={(value) => set({ cutoff_len: value })}
      />
      <Needed />
      <NumberField
        name="Held out"
        help="Records kept for evaluation: a count, or a share below 1. An example with its own set needs none."
        least={0}
        otherwise="0"
        value={numberOf("val_size")}
        onChange={(value) => set({ val_size: value })}
      />
      <details class="spaced" open={heldOut.value.length > 0}>
        <summary>Evaluate on other files</summary>
        <Files list={heldOut} />
      </details>
      {!compares.value && (
        <>
          <SwitchField
            name="Learn the questions too"
            help="Otherwise the model learns the answers only."
            value={flagOf("train_on_prompt")}
            onChange={(value) => set({ train_on_prompt: value || null })}
          />
          <SwitchField
            name="Last answer only"
            help="Of a conversation with several answers, the model learns the last one only."
            value={flagOf("mask_history")}
            onChange={(value) => set({ mask_history: value || null })}
          />
          <SwitchField
            name="Pack short samples"
            help="Several samples share one sequence and do not see each other: faster on short data."
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
  return (
    <>
      <SelectField
        name="What is learnt"
        help="Pairs of answers have the fields chosen and rejected; good and bad answers have label or kto_tag."
        value={stage.value}
        options={[
          ["sft", "the answers"],
          ["dpo", "the better of two answers (dpo)"],
          ["kto", "good answers, not bad ones (kto)"],
          ["pt", "whole texts (pt)"],
        ]}
        onChange={(value) => set({ stage: value })}
      />
      {stage.value === "dpo" && (
        <SelectField
          name="Loss"
          help="How the two answers are compared. orpo and simpo need no reference."
          value={textOf("pref_loss") || "sigmoid"}
          options={LOSSES.map((name) => [name, name] as const)}
          onChange={(value) => set({ pref_loss: value === "sigmoid" ? null : value })}
        />
      )}
      {compares.value && (
        <NumberField
          name="Strength of the preference"
          help="pref_beta: smaller lets the model go further from what it was."
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
