import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface ChoiceProps<T extends string> {
  /** What is being chosen, for screen readers. */
  label: string;
  value: T;
  options: readonly (readonly [T, ComponentChildren])[];
  onChange: (value: T) => void;
}

/** A choice among a few options, side by side. Radio buttons, so the arrow keys move between them. */
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
  /** Key, name, one-line explanation. */
  options: readonly (readonly [T, string, string])[];
  onChange: (value: T) => void;
}

/** A choice among a few options, each with an explanation. */
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
