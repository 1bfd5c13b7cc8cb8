import type { ComponentChildren } from "preact";
import { useEffect, useId } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { readNumber, type Range } from "../numbers.js";
import { route } from "../route.js";
import { keep, wrong } from "../state/wrong.js";

interface Named {
  /** The name of the setting. */
  name: string;
  /** A one-line explanation. */
  help: string;
}

/** The frame of a setting. `control` receives the ids that associate it with its name and explanation. */
function Field(props: Named & { fault?: string | null; unit?: string; control: (ids: Ids) => ComponentChildren }) {
  const id = useId();
  const ids = { id, "aria-describedby": `${id}-help${props.fault ? ` ${id}-fault` : ""}` };
  return (
    <div class="setting">
      <div class="field">
        <label for={id}>{props.name}</label>
        <small id={`${id}-help`}>{props.help}</small>
        <div class="control">
          {props.control(ids)}
          {props.unit && <span class="unit">{props.unit}</span>}
        </div>
        {props.fault && (
          <p class="fault" id={`${id}-fault`}>
            {props.fault}
          </p>
        )}
      </div>
    </div>
  );
}

interface Ids {
  id: string;
  "aria-describedby": string;
}

export interface NumberProps extends Named, Range {
  /** What it sets, by a name that is the same in every language: invalid text is kept under it. */
  of?: string;
  value: number | null;
  /** The default, shown as a placeholder if no value is set. */
  otherwise?: string;
  unit?: string;
  onChange: (value: number | null) => void;
}

/** A number field. Typed text is kept as it is, even across steps if it is invalid; only a valid number reaches `onChange`. */
export function NumberField({ of, value, otherwise, unit, onChange, ...rest }: NumberProps) {
  const key = of ?? rest.name;
  const typed = useSignal<string | null>(null);
  const shown = wrong.value.get(key)?.text ?? typed.value ?? (value === null ? "" : String(value));
  const read = readNumber(shown, rest, otherwise !== undefined);
  const input = (text: string) => {
    typed.value = text;
    const next = readNumber(text, rest, otherwise !== undefined);
    keep(key, next.fault === null ? null : { text, step: route.peek(), name: rest.name });
    if (next.fault === null) onChange(next.value);
  };
  useEffect(() => {
    const step = route.peek();
    return () => {
      // A field removed while its step stays no longer counts, such as the rank when the method changes.
      if (route.peek() === step) keep(key, null);
    };
  }, [key]);
  return (
    <Field
      name={rest.name}
      help={rest.help}
      fault={read.fault}
      {...(unit === undefined ? {} : { unit })}
      control={(ids) => (
        <input
          {...ids}
          type="text"
          inputMode="decimal"
          autocomplete="off"
          spellcheck={false}
          value={shown}
          placeholder={otherwise}
          aria-invalid={read.fault !== null}
          onInput={(event) => input(event.currentTarget.value)}
          onBlur={() => {
            if (readNumber(shown, rest, otherwise !== undefined).fault === null) typed.value = null;
          }}
        />
      )}
    />
  );
}

interface TextProps extends Named {
  value: string;
  otherwise?: string;
  onChange: (value: string) => void;
}

/** A text field. */
export function TextField({ name, help, value, otherwise, onChange }: TextProps) {
  return (
    <Field
      name={name}
      help={help}
      control={(ids) => (
        <input
          {...ids}
          class="words"
          type="text"
          autocomplete="off"
          spellcheck={false}
          value={value}
          placeholder={otherwise}
          onInput={(event) => onChange(event.currentTarget.value)}
        />
      )}
    />
  );
}

export interface SwitchProps extends Named {
  value: boolean;
  onChange: (value: boolean) => void;
}

/** A switch. */
export function SwitchField({ name, help, value, onChange }: SwitchProps) {
  return (
    <Field
      name={name}
      help={help}
      control={(ids) => (
        <input {...ids} type="checkbox" checked={value} onChange={(event) => onChange(event.currentTarget.checked)} />
      )}
    />
  );
}

interface SelectProps<T extends string> extends Named {
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}

/** A drop-down list. */
export function SelectField<T extends string>({ name, help, value, options, onChange }: SelectProps<T>) {
  return (
    <Field
      name={name}
      help={help}
      control={(ids) => (
        <select {...ids} value={value} onChange={(event) => onChange(event.currentTarget.value as T)}>
          {options.map(([key, words]) => (
            <option key={key} value={key}>
              {words}
            </option>
          ))}
        </select>
      )}
    />
  );
}
