import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface ChoiceProps<T extends string> {
  /** What is chosen, for those who do not see it. */
  label: string;
  value: T;
  options: readonly (readonly [T, ComponentChildren])[];
  onChange: (value: T) => void;
}

/** One of a few, side by side. Radio buttons: the arrow keys go through them. */
export function Choice<T extends string>({ label, value, options, onChange }: ChoiceProps<T>) {
  const group = useId();
  return (
    <div class="choice" role="radiogroup" aria-label={label}>
      {options.map(([key, words]) => (
        <label key={key}>
          <input type="radio" name={group} checked={key === value} onChange={() => onChange(key)} />
          {words}
        </label>
      ))}
    </div>
  );
}

interface OptionsProps<T extends string> {
  label: string;
  value: T;
  /** Key, name, one line on what it means. */
  options: readonly (readonly [T, string, string])[];
  onChange: (value: T) => void;
}

/** One of a few, each with its sentence. */
export function Options<T extends string>({ label, value, options, onChange }: OptionsProps<T>) {
  const group = useId();
  return (
    <div class="options" role="radiogroup" aria-label={label}>
      {options.map(([key, name, line]) => (
        <label key={key}>
          <input type="radio" name={group} checked={key === value} onChange={() => onChange(key)} />
          <strong>{name}</strong>
          <small>{line}</small>
        </label>
      ))}
    </div>
  );
}
