import { base } from "../state/base.js";
import { set, textOf } from "../state/recipe.js";
import { TextField } from "./Field.js";
import { text } from "../text/index.js";

/** `lora_target`: checkboxes for the base's modules, or a text field if they are not known. */
export function Modules() {
  const names = base.value?.report.lora_targets ?? [];
  const words = text.method;
  const value = textOf("lora_target") || "all";
  const write = (text: string) => set({ lora_target: text.trim() || null });
  if (names.length === 0) return <TextField name={words.modules.name} help={`${words.modules.help}${words.withCommas}`} value={value} onChange={write} />;
  const toggle = (name: string, on: boolean) => {
    const next = names.filter((other) => (other === name ? on : isChosen(other)));
    const all = names.every((other) => next.includes(other) === (other !== "lm_head"));
    // The last module cannot be deselected: an adapter needs at least one.
    if (next.length > 0) set({ lora_target: all ? null : next.join(",") });
  };
  return (
    <fieldset class="field modules-field">
      <legend class="unseen">{words.modules.name}</legend>
      <span class="label" aria-hidden="true">
        {words.modules.name}
      </span>
      <small>{words.modules.help}</small>
      <div class="modules">
        {names.map((name) => (
          <label class="check" key={name}>
            <input
              type="checkbox"
              checked={isChosen(name)}
              onChange={(event) => {
                toggle(name, event.currentTarget.checked);
                event.currentTarget.checked = isChosen(name); // undo a refused change in the checkbox
              }}
            />
            {name}
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** Whether a module is selected in the current settings. */
function isChosen(name: string): boolean {
  const value = textOf("lora_target") || "all";
  return value === "all" ? name !== "lm_head" : value.split(",").some((one) => one.trim() === name);
}
