// Repeated requests while the user types.

interface Outcome<T> {
  done: (value: T) => void;
  failed: (error: unknown) => void;
}

export interface Latest<A, T> {
  (argument: A, outcome: Outcome<T>): void;
  /** Ends what goes on, without an outcome. */
  cancel: () => void;
}

/**
 * Debounces a request until nothing changed for `quiet` milliseconds and never runs it twice at the same time. A newer one aborts the signal
 * of the one before, and only the newest has an outcome.
 */
export function latest<A, T>(quiet: number, question: (argument: A, signal: AbortSignal) => Promise<T>): Latest<A, T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: AbortController | null = null;
  let next: (() => void) | null = null;
  const start = async (argument: A, outcome: Outcome<T>) => {
    const controller = new AbortController();
    running = controller;
    try {
      const value = await question(argument, controller.signal);
      if (!controller.signal.aborted) outcome.done(value);
    } catch (error) {
      if (!controller.signal.aborted) outcome.failed(error);
    } finally {
      running = null;
      const waiting: (() => void) | null = next;
      next = null;
      waiting?.();
    }
  };
  const ask = (argument: A, outcome: Outcome<T>) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const go = () => void start(argument, outcome);
      if (running === null) return go();
      next = go;
      running.abort();
    }, quiet);
  };
  const cancel = () => {
    clearTimeout(timer);
    next = null;
    running?.abort();
  };
  return Object.assign(ask, { cancel });
}
