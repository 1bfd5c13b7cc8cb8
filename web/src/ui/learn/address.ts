// The address of the classroom: `#/learn`, or `#/learn/<lesson>?name=value…` with everything that a lesson was set to, so that a teacher
// can send it.
import { signal } from "@preact/signals";

export interface LessonAddress {
  /** The lesson's slug; `null` for the list. */
  lesson: string | null;
  /** Settings that differ from the lesson's own, and how far it got. */
  state: Readonly<Record<string, string>>;
}

/** Reads an address; anything that is none of the classroom's is the list. */
export function readAddress(hash: string): LessonAddress {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s, 2);
  const [place, lesson] = path.split("/");
  if (place !== "learn" || !lesson) return { lesson: null, state: {} };
  return { lesson, state: Object.fromEntries(new URLSearchParams(query)) };
}

export function writeAddress({ lesson, state }: LessonAddress): string {
  if (lesson === null) return "#/learn";
  const query = new URLSearchParams(state).toString();
  return query === "" ? `#/learn/${lesson}` : `#/learn/${lesson}?${query}`;
}

/** The present address. */
export const address = signal<LessonAddress>(readAddress(location.hash));

/** Where each lesson was left, in this tab. */
const left = new Map<string, LessonAddress>();

/** The address that leads to a lesson: as it was left. */
export function addressOf(slug: string): string {
  return writeAddress(left.get(slug) ?? { lesson: slug, state: {} });
}

/** Reads the address again, because it has changed. */
export function rereadAddress(): void {
  address.value = readAddress(location.hash);
  if (address.value.lesson !== null) left.set(address.value.lesson, address.value);
}

/** Changes the lesson's state in the address, without an entry in the history; `null` takes a value out. */
export function change(changes: Readonly<Record<string, string | null>>): void {
  const { lesson, state } = address.peek();
  if (lesson === null) return;
  const next: Record<string, string> = { ...state };
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) delete next[name];
    else next[name] = value;
  }
  history.replaceState(history.state, "", writeAddress({ lesson, state: next }));
  rereadAddress();
}

/** What says where a person is in a lesson, and not what the lesson was set to. */
const OWN = ["at", "guess", "present", "scene"];

/** The address with the settings alone: what a teacher sends. */
export function addressToSend(): string {
  const { lesson, state } = address.peek();
  const settings = Object.fromEntries(Object.entries(state).filter(([name]) => !OWN.includes(name)));
  return new URL(writeAddress({ lesson, state: settings }), location.href).href;
}

/** A setting in words. */
export function textAt(name: string, otherwise: string): string {
  return address.value.state[name] ?? otherwise;
}

/** One of a few. */
export function oneAt<T extends string>(name: string, all: readonly T[], otherwise: T): T {
  const given = address.value.state[name];
  return all.find((one) => one === given) ?? otherwise;
}

/** A number within bounds; what is no number or beyond them counts as not given. */
export function numberAt(name: string, otherwise: number, least: number, most: number): number {
  const given = address.value.state[name];
  const value = Number(given);
  return given !== undefined && given.trim() !== "" && value >= least && value <= most ? value : otherwise;
}
