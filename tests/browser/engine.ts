// The page's worker, asked through the client that the page itself uses: `rootstock` in its console.
import { expect, type Page } from "@playwright/test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/lib/host.mjs";
import type { Rootstock, Event, Replies, Request, Settings } from "rootstock";

export interface Done<R extends Request> {
  reply: Replies[R["kind"]];
  events: Event[];
}

declare global {
  var rootstock: Rootstock;
}

export class Engine {
  constructor(private readonly page: Page) {}

  /** Loads the page, or loads it again: another worker over the same storage. */
  async load(): Promise<void> {
    await this.page.goto("/page/");
    await this.page.waitForFunction(() => "rootstock" in globalThis);
  }

  async call<R extends Request>(request: R): Promise<Done<R>> {
    const done = await this.page.evaluate(async (request) => {
      const events: Event[] = [];
      const reply: unknown = await rootstock.call(request, { on: (event) => events.push(event) });
      return { reply, events };
    }, request);
    return done as Done<R>;
  }

  /** Opens a folder of tests/fixtures, or some of its files, as a person would give it: as files. */
  async openFolder(folder: string, names = readdirSync(join(root, "tests/fixtures", folder))): Promise<Replies["open"]> {
    return this.page.evaluate(
      async ({ folder, names }) => {
        const read = names.map(async (path) => {
          const response = await fetch(`/fixtures/${folder}/${path}`);
          return { path, file: new File([await response.blob()], path) };
        });
        const source = { kind: "files" as const, name: folder };
        return rootstock.call({ kind: "open", source }, { files: await Promise.all(read) });
      },
      { folder, names },
    );
  }

  /** Opens the embedded model and prepares the village's questions. */
  async prepare(recipe: Settings): Promise<void> {
    await this.call({ kind: "open", source: { kind: "embedded" } });
    await this.call({ kind: "prepare", data: { kind: "example", name: "village" }, evaluation: null, recipe, first: 0, count: 0 });
  }

  /**
   * Trains, or goes on with a run, until a step is logged, then does something to the run and waits for what follows.
   * `reload` leaves the page in the middle of whatever it computes.
   */
  async interrupt(request: Request, at: number, how: "pause" | "terminate"): Promise<{ events: Event[]; fault: string | null }> {
    return this.page.evaluate(
      ({ request, at, how }) =>
        new Promise((resolve) => {
          const events: Event[] = [];
          let fault: string | null = null;
          const on = (event: Event) => {
            events.push(event);
            if (event.kind === "paused") resolve({ events, fault });
            if (event.kind !== "step" || event.line.current_steps !== at) return;
            if (how === "pause") void rootstock.call({ kind: "pause" });
            else rootstock.terminate("on purpose");
          };
          rootstock.call(request, { on }).catch((error: unknown) => {
            fault = String(error);
            resolve({ events, fault });
          });
        }),
      { request, at, how },
    );
  }
}

/** (step, loss) of the logged steps. */
export function losses(events: Event[]): [number, number][] {
  return events.flatMap((event): [number, number][] => (event.kind === "step" ? [[event.line.current_steps, event.line.loss]] : []));
}

export function startedRun(events: Event[]): string {
  const started = events.find((event) => event.kind === "started");
  expect(started, "the run has begun").toBeDefined();
  return started?.run ?? "";
}
