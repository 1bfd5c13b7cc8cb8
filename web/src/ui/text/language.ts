// The page's language, and catalogues of its texts. English is part of the page; another language is loaded when it is chosen.
import { batch, signal } from "@preact/signals";

/** The languages, each by its own name and the tag that the document carries. */
export const LANGUAGES = { en: { name: "English", tag: "en" }, zh: { name: "中文", tag: "zh-CN" } } as const;
export type Language = keyof typeof LANGUAGES;
type Other = Exclude<Language, "en">;

const KEY = "rootstock.language";
/** The page's address says it for one visit: `?lang=zh`. */
const PARAMETER = "lang";

/** The language that is shown: it changes when all of its texts are there. */
export const language = signal<Language>("en");

/** Loads a language's texts unless they are loaded, and returns how to show them. */
type Load = (wanted: Language) => Promise<() => void>;
const catalogues: Load[] = [];

/** Texts in all languages: the English ones, whose type the others have to satisfy, and how those are loaded. */
export type Others<T> = Record<Other, () => Promise<T>>;

/**
 * A catalogue of texts. What is read from it is in the language that is shown, and what reads it while it renders (or in an effect or a
 * computed signal) is told when that changes.
 */
export function catalogue<T extends object>(english: T, others: Others<NoInfer<T>>): Readonly<T> {
  const shown = signal<T>(english);
  const loaded = new Map<Language, T>([["en", english]]);
  catalogues.push(async (wanted) => {
    const texts = loaded.get(wanted) ?? (wanted === "en" ? english : await others[wanted]());
    loaded.set(wanted, texts);
    return () => (shown.value = texts);
  });
  if (language.peek() !== "en") late = Promise.all([late, show(language.peek()).catch(inEnglish)]);
  const texts = {} as T;
  for (const name of Object.keys(english) as (keyof T)[]) {
    Object.defineProperty(texts, name, { enumerable: true, get: () => shown.value[name] });
  }
  return texts;
}

const inEnglish = (error: unknown) => console.warn("Some texts cannot be loaded and are shown in English:", error);

let wanted: Language = "en";
/** Settles when what was loaded late, with a part of the page, has its texts. */
let late: Promise<unknown> = Promise.resolve();

/** Settles when every catalogue that there is has its texts in the language that is shown. */
export async function textsThere(): Promise<void> {
  await late;
}

/** Shows a language, once its texts are loaded; nothing of the page's state changes. */
async function show(next: Language): Promise<void> {
  wanted = next;
  const ready = await Promise.all(catalogues.map((load) => load(next)));
  if (wanted !== next) return; // another one was chosen meanwhile
  batch(() => {
    for (const take of ready) take();
    language.value = next;
  });
  document.documentElement.lang = LANGUAGES[next].tag;
  // What the page is called where it is installed as an app.
  document.querySelector("link[rel=manifest]")?.setAttribute("href", next === "en" ? "./manifest.webmanifest" : `./manifest.${next}.webmanifest`);
}

/**
 * Chooses a language, for later visits too. An address that names another one names this one from then on.
 *
 * # Errors
 * When its texts cannot be loaded; the page then stays as it is.
 */
export async function choose(next: Language): Promise<void> {
  await show(next);
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // kept for this page only
  }
  const address = new URL(location.href);
  if (!address.searchParams.has(PARAMETER)) return;
  address.searchParams.set(PARAMETER, next);
  history.replaceState(history.state, "", address);
}

/** The language of a tag such as `zh-Hans-CN`, if the page speaks it. */
export function languageOf(tag: string | null): Language | null {
  const [first = ""] = (tag ?? "").toLowerCase().split(/[-_]/, 1);
  return Object.hasOwn(LANGUAGES, first) ? (first as Language) : null;
}

/** The language to begin with: that of the address, else the one that was chosen before, else the first that the browser's user reads. */
export function firstLanguage(query: string, kept: string | null, reads: readonly string[]): Language {
  const asked = languageOf(new URLSearchParams(query).get(PARAMETER)) ?? languageOf(kept);
  return asked ?? reads.map(languageOf).find((one) => one !== null) ?? "en";
}

/** Shows the language to begin with. Where its texts cannot be loaded, English is shown. */
export async function startLanguage(): Promise<void> {
  let kept: string | null = null;
  try {
    kept = localStorage.getItem(KEY);
  } catch {
    // a browser that keeps nothing
  }
  try {
    await show(firstLanguage(location.search, kept, navigator.languages));
  } catch (error) {
    console.warn("The texts of this language cannot be loaded:", error);
    await show("en");
  }
}

/** The tag for `Intl`: English as in Britain, whose dates and numbers the page has always had. */
export function locale(): string {
  return language.value === "en" ? "en-GB" : LANGUAGES[language.value].tag;
}
