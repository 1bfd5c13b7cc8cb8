// Parses and formats numbers for the user, in the page's language.
import { text } from "./text/index.js";
import { locale } from "./text/language.js";
import type { Thing } from "./text/noun.js";

/** The valid range of a number. */
export interface Range {
  least?: number;
  most?: number;
  whole?: boolean;
}

/** Parses a typed number, or says what is wrong with it. Empty text is `null` if the number is optional. */
export function readNumber(typed: string, range: Range, optional: boolean): { value: number | null; fault: string | null } {
  const trimmed = typed.trim().replace(",", ".");
  const { units } = text;
  if (trimmed === "") return { value: null, fault: optional ? null : units.numberNeeded };
  const value = Number(trimmed);
  const fault = (words: string) => ({ value: null, fault: words });
  if (!Number.isFinite(value)) return fault(units.notANumber);
  if (range.whole && !Number.isInteger(value)) return fault(units.notWhole);
  if (range.least !== undefined && value < range.least) return fault(units.atLeast(range.least));
  if (range.most !== undefined && value > range.most) return fault(units.atMost(range.most));
  return { value, fault: null };
}

const UNITS = ["B", "KB", "MB", "GB", "TB"] as const;

/** Formats bytes in decimal units with three significant digits, as file managers and hubs do. */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${UNITS[unit]}`;
}

/** Makes something of `Intl` once for each language. */
function inEach<T>(make: (locale: string) => T): () => T {
  const made = new Map<string, T>();
  return () => {
    const now = locale();
    const known = made.get(now) ?? make(now);
    made.set(now, known);
    return known;
  };
}

const grouped = inEach((locale) => new Intl.NumberFormat(locale, { maximumFractionDigits: 0 }));
const plural = inEach((locale) => new Intl.PluralRules(locale));
const when = inEach((locale) => new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }));

/** Formats a count with separated groups of digits. */
export function count(value: number): string {
  return grouped().format(value);
}

/** Formats a count with its noun: 1 sample, 1,234 samples. */
export function counted(value: number, thing: Thing): string {
  return text.units.things[thing](count(value), plural().select(value) === "one");
}

/** Formats a moment, given in milliseconds since 1970, as date and time. */
export function moment(milliseconds: number): string {
  return when().format(milliseconds);
}

/** Formats a large count with a unit: 1.05 M, 135 M. */
export function short(value: number): string {
  return text.units.short(value);
}

/** Formats a number with this many significant digits, in its shortest form. */
export function figures(value: number, digits = 4): string {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e7) return value.toExponential(digits - 2);
  return size >= 10 ** digits ? count(value) : value.toPrecision(digits);
}

/** Formats seconds as a duration: 8 s, 4 min 10 s, 2 h 5 min. */
export function duration(seconds: number): string {
  const { units } = text;
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  if (seconds < 1) return units.underOneSecond;
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (hours > 0) return units.hours(hours, minutes);
  return minutes > 0 ? units.minutes(minutes, rest) : units.seconds(rest);
}

/** Formats a fraction as a percentage. */
export function percent(share: number): string {
  return text.units.percent((share * 100).toPrecision(share < 0.1 ? 2 : 3));
}
