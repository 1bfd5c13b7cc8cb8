// Results that outlast a reload: kept in this browser with what they were computed from, and dropped when that changes.
import { signal, type Signal } from "@preact/signals";

const PREFIX = "rootstock.learn.";

function read(key: string): unknown {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + key) ?? "null");
  } catch {
    return null; // refused, or damaged
  }
}

/** Keeps a value in this browser, where it allows that. */
export function store(key: string, value: unknown): void {
  try {
    if (value === null) localStorage.removeItem(PREFIX + key);
    else localStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // kept for this page only
  }
}

/** A kept value, or `null`. */
export function load<T>(key: string): T | null {
  return read(key) as T | null;
}

interface Kept<T> {
  /** What it was computed from. */
  of: string;
  value: T;
}

/** A result, and what it is a result of. */
export class Result<T> {
  readonly #kept: Signal<Kept<T> | null>;

  constructor(readonly key: string) {
    this.#kept = signal(load<Kept<T>>(key));
  }

  /** The result of these inputs; `null` if it is of others, or there is none. */
  of(inputs: unknown): T | null {
    const kept = this.#kept.value;
    return kept !== null && kept.of === JSON.stringify(inputs) ? kept.value : null;
  }

  /** What is kept, whatever it is of. */
  any(): T | null {
    return this.#kept.value?.value ?? null;
  }

  set(inputs: unknown, value: T): void {
    this.#kept.value = { of: JSON.stringify(inputs), value };
    store(this.key, this.#kept.peek());
  }

  clear(): void {
    this.#kept.value = null;
    store(this.key, null);
  }
}
