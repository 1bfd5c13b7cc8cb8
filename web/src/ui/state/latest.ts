// Repeated requests while the user types.

interface Outcome<T> {
  done: (value: T) => void;
  failed: (error: unknown) => void;
}

/**
 * Debounces a request until nothing changed for `quiet` milliseconds, never runs it twice at the same time, and uses only the newest
 * answer.
 */
export function latest<A, T>(quiet: number, question: (argument: A) => Promise<T>): (argument: A, outcome: Outcome<T>) => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running = false;
  let next: (() => void) | null = null;
  const start = async (argument: A, outcome: Outcome<T>) => {
    running = true;
    try {
      const value = await question(argument);
      if (!next) outcome.done(value);
    } catch (error) {
      if (!next) outcome.failed(error);
    } finally {
      running = false;
      const waiting: (() => void) | null = next;
      next = null;
      waiting?.();
    }
  };
  return (argument, outcome) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const go = () => void start(argument, outcome);
      if (running) next = go;
      else go();
    }, quiet);
  };
}
