import { columns, dataFault, mapping } from "../state/data.js";
import { SelectField } from "./Field.js";

/** Stands for "as their names say", and for "there is no answer". */
const BY_NAME = "";
const NONE = " ";

/** Which columns of a table, or fields of records, are question and answer. */
export function Mapping() {
  const names = columns.value;
  if (names.length === 0) return null;
  const { prompt, response } = mapping.value ?? { prompt: BY_NAME, response: null };
  const named = names.map((name) => [name, name] as const);
  const choose = (next: string) => {
    if (next === BY_NAME) mapping.value = null;
    else mapping.value = { prompt: next, response: mapping.value ? response : (names.find((name) => name !== next) ?? null) };
  };
  return (
    <details open={mapping.value !== null || dataFault.value !== null}>
      <summary>Columns: {names.join(", ")}</summary>
      <SelectField
        name="Question"
        help="The column that the model reads. Known names, such as instruction, prompt or messages, are found without this."
        value={prompt}
        options={[[BY_NAME, "by its name"], ...named]}
        onChange={choose}
      />
      {mapping.value && (
        <SelectField
          name="Answer"
          help="The column that the model learns. Without one, the other column is a text that is learnt whole."
          value={response ?? NONE}
          options={[...named.filter(([name]) => name !== prompt), [NONE, "none: a text"]]}
          onChange={(next) => (mapping.value = { prompt, response: next === NONE ? null : next })}
        />
      )}
    </details>
  );
}
