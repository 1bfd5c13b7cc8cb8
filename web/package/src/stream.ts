/**
 * Something that takes a while: its items as they come, and its result at the end.
 *
 * `for await (const item of stream)` gives each item once and throws what it fails with; leaving the loop ends the work. `result` can be
 * awaited without a loop.
 */
export class Stream<Item, Result> implements AsyncIterable<Item, Result, undefined> {
  /** What it ends with. */
  readonly result: Promise<Result>;
  readonly #items: Item[] = [];
  readonly #end: () => Promise<unknown>;
  #waiting: (() => void)[] = [];
  #over = false;

  /** @internal `work` puts items; `end` ends it early. */
  protected constructor(work: (put: (item: Item) => void) => Promise<Result>, end: () => Promise<unknown>) {
    this.#end = end;
    const over = () => {
      this.#over = true;
      this.#wake();
    };
    this.result = work((item) => {
      this.#items.push(item);
      this.#wake();
    }).finally(over);
    // Whoever only reads the items learns of a failure there.
    this.result.catch(() => undefined);
  }

  /** @internal Whether it has ended, in whatever way. */
  protected get over(): boolean {
    return this.#over;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  [Symbol.asyncIterator](): AsyncIterator<Item, Result, undefined> {
    return {
      next: async () => {
        for (;;) {
          const [item] = this.#items.splice(0, 1);
          if (item !== undefined) return { done: false, value: item };
          if (this.#over) return { done: true, value: await this.result };
          await new Promise<void>((resolve) => this.#waiting.push(resolve));
        }
      },
      return: async () => {
        if (!this.#over) await this.#end().catch(() => undefined);
        return { done: true, value: await this.result };
      },
    };
  }
}
