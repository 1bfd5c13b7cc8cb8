// Names for people: of the page's examples, and of fields of config.json.

import { text } from "./text/index.js";

/** What data is called; files keep their names. */
export function dataWords(name: string): string {
  return text.data.examples[name] ?? name;
}

/** What a model is called; only the one that comes with the page has a name in every language. */
export function modelWords(name: string): string {
  return text.base.models[name] ?? name;
}

/** What a field of config.json is. */
export function fieldWords(name: string): string {
  return text.check.fields[name] ?? name;
}

/** A field's value: yes and no for switches. */
export function valueWords(value: boolean | number | string): string {
  if (typeof value === "boolean") return value ? text.units.yes : text.units.no;
  return String(value);
}
