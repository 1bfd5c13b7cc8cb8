import { columns, dataFault, mapping } from "../state/data.js";
import { SelectField } from "./Field.js";
import { text } from "../text/index.js";

/** Stands for "as their names say", and for "there is no answer". */
const BY_NAME = "";
const NONE = " ";

/** Which columns of a table, or fields of records, are question and answer. */
export function Mapping() {
  const names = columns.value;
  const words = text.data;
  if (names.length === 0) return null;
  const { prompt, response } = mapping.value ?? { prompt: BY_NAME, response: null };
  const named = names.map((name) => [name, name] as const);
  const choose = (next: string) => {
    if (next === BY_NAME) mapping.value = null;
    else mapping.value = { prompt: next, response: mapping.value ? response : (names.find((name) => name !== next) ?? null) };
  };
  return (
    <details open={mapping.value !== null || dataFault.value !== null}>
      <summary>{words.columns(names.join(", "))}</summary>
      <SelectField
        name={words.question}
        help={words.questionHelp}
        value={prompt}
        options={[[BY_NAME, words.byName], ...named]}
        onChange={choose}
      />
      {mapping.value && (
        <SelectField
          name={words.answer}
          help={words.answerHelp}
          value={response ?? NONE}
          options={[...named.filter(([name]) => name !== prompt), [NONE, words.noAnswer]]}
          onChange={(next) => (mapping.value = { prompt, response: next === NONE ? null : next })}
        />
      )}
    </details>
  );
}
