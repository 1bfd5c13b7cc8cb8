// Parses and formats numbers for the user.

/** The valid range of a number. */
export interface Range {
  least?: number;
  most?: number;
  whole?: boolean;
}

/** Parses a typed number, or says what is wrong with it. Empty text is `null` if the number is optional. */
export function readNumber(text: string, range: Range, optional: boolean): { value: number | null; fault: string | null } {
  const trimmed = text.trim().replace(",", ".");
  if (trimmed === "") return { value: null, fault: optional ? null : "A number is needed here." };
  const value = Number(trimmed);
  const fault = (words: string) => ({ value: null, fault: words });
  if (!Number.isFinite(value)) return fault("This is not a number. Write it as 0.0001 or 1e-4.");
  if (range.whole && !Number.isInteger(value)) return fault("A whole number is needed here.");
  if (range.least !== undefined && value < range.least) return fault(`At least ${range.least}.`);
  if (range.most !== undefined && value > range.most) return fault(`At most ${range.most}.`);
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

const grouped = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });

/** Formats a count with separated groups of digits. */
export function count(value: number): string {
  return grouped.format(value);
}

/** Formats a count with its noun: 1 sample, 1,234 samples. */
export function counted(value: number, thing: string): string {
  return `${count(value)} ${thing}${value === 1 ? "" : "s"}`;
}

/** Formats a large count with a unit: 1.05 M, 135 M. */
export function short(value: number): string {
  for (const [size, letter] of [[1e9, "B"], [1e6, "M"], [1e3, "K"]] as const) {
    if (value >= size) return `${(value / size).toPrecision(3)} ${letter}`;
  }
  return String(value);
}

/** Formats a number with this many significant digits, in its shortest form. */
export function figures(value: number, digits = 4): string {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e7) return value.toExponential(digits - 2);
  return size >= 10 ** digits ? grouped.format(value) : value.toPrecision(digits);
}

/** Formats seconds as a duration: 8 s, 4 min 10 s, 2 h 5 min. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  if (seconds < 1) return "under 1 s";
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${rest} s` : `${rest} s`;
}

/** Formats a fraction as a percentage. */
export function percent(share: number): string {
  return `${(share * 100).toPrecision(share < 0.1 ? 2 : 3)} %`;
}
