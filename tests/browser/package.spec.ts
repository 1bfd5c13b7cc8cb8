// The npm package as a stranger gets it: the packed tarball, installed in an empty folder, with the examples of examples/web.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test as base, type Page } from "@playwright/test";
import { root } from "../../scripts/lib/host.mjs";
import { serve } from "../../scripts/lib/serve.mjs";

/** Waits for what a software device computes on cores that others use too. */
const patient = { timeout: 240_000 };

const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self' blob:; style-src 'self'; img-src 'self' data:; base-uri 'none'";

const test = base.extend<object, { folder: string }>({
  /** A folder with the package in its node_modules, the pages without a bundler, and the Vite app. */
  folder: [
    async ({}, use) => {
      const folder = mkdtempSync(join(tmpdir(), "rootstock-package-"));
      const npm = (...args: string[]) => execFileSync("npm", args, { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
      npm("pack", "--loglevel=error", join(root, "web/package"));
      const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? "";
      writeFileSync(join(folder, "package.json"), "{}");
      npm("install", "--offline", "--no-audit", "--no-fund", "--loglevel=error", `./${tarball}`);
      const examples = join(root, "examples/web");
      for (const from of ["vite", "compare"]) {
        for (const name of readdirSync(join(examples, from))) {
          if (/\.(ts|js|css|html|json)$/.test(name)) cpSync(join(examples, from, name), join(folder, from === "compare" ? name.replace("index", from) : name));
        }
      }
      cpSync(join(examples, "textarea/index.html"), join(folder, "textarea.html"));
      writeFileSync(join(folder, "blank.html"), "<!doctype html><title>blank</title>");
      symlinkSync(join(root, "node_modules/vite"), join(folder, "node_modules/vite"));
      execFileSync("npm", ["run", "build", "--silent"], {
        cwd: folder,
        env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env["PATH"] ?? ""}` },
        stdio: ["ignore", "ignore", "inherit"],
      });
      await use(folder);
      rmSync(folder, { recursive: true, force: true });
    },
    { scope: "worker" },
  ],
});

/** What a page asks for elsewhere, and what its policy refuses. */
function watch(page: Page, origins: string[]): string[] {
  const faults: string[] = [];
  page.on("request", (request) => {
    if (![...origins, "blob:", "data:"].some((start) => request.url().startsWith(start))) faults.push(`asks for ${request.url()}`);
  });
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" || /Content.Security.Policy|panicked/.test(message.text())) faults.push(message.text());
  });
  return faults;
}

test("a text area in a page without a build step", async ({ page, folder }) => {
  const server = await serve([["/some/where/", folder]]);
  const faults = watch(page, [server.origin]);
  await page.goto(`${server.origin}/some/where/textarea.html`);
  await page.getByLabel("Steps").fill("2");
  await page.getByRole("button", { name: "Train" }).click();
  await expect(page.getByRole("link", { name: "model.safetensors" })).toBeVisible(patient);
  await expect(page.getByRole("link", { name: "config.json", exact: true })).toBeVisible();
  await expect(page.locator("#answer")).not.toBeEmpty();
  await expect(page.locator("#state")).toHaveText(/^Step 2 of 2: loss \d/);
  expect(faults).toEqual([]);
  server.close();
});

test("a Vite app below a path, under a strict policy, in a frame of another site", async ({ page, folder }) => {
  const app = await serve([["/deep/er/", join(folder, "dist")]], 0, { "Content-Security-Policy": POLICY });
  const outside = await serve([["/", "tests/browser/page"]]);
  // Another site than the app's: localhost and 127.0.0.1 are both secure.
  const host = outside.origin.replace("127.0.0.1", "localhost");
  const faults = watch(page, [host, app.origin]);
  await page.goto(`${host}/index.html`);
  await page.setContent(`<iframe width="800" height="800" sandbox="allow-scripts allow-same-origin allow-forms" src="${app.origin}/deep/er/"></iframe>`);
  const frame = page.frameLocator("iframe");
  await frame.getByRole("button", { name: "The village model" }).click();
  await expect(frame.locator("#state")).toHaveText(/village model: ready/, patient);
  await frame.getByLabel("Steps").fill("2");
  await frame.getByRole("button", { name: "Train" }).click();
  await expect(frame.locator("#state")).toHaveText(/^Done/, patient);
  // Chromium refuses storage to frames of other sites in windows as these tests open them: the files come from the worker's memory.
  const link = frame.getByRole("link", { name: "adapter_model.safetensors" });
  const bytes = await link.evaluate(async (link) => (await (await fetch((link as HTMLAnchorElement).href)).arrayBuffer()).byteLength);
  expect(bytes).toBeGreaterThan(100_000);
  await frame.getByRole("button", { name: "Ask" }).click();
  await expect(frame.locator("#answer")).not.toBeEmpty(patient);
  expect(faults).toEqual([]);
  app.close();
  outside.close();
});

test("two adapters are compared, each in a session of its own", async ({ page, folder }) => {
  const server = await serve([["/", folder]], 0, { "Content-Security-Policy": POLICY });
  const faults = watch(page, [server.origin]);
  await page.goto(`${server.origin}/compare.html`);
  await page.getByLabel("Steps").fill("1");
  const start = page.getByRole("button", { name: "Train both" });
  await start.click();
  await expect(start).toBeEnabled(patient);
  await expect(page.locator("#state")).toHaveText("Done.");
  const rows = await page.locator("tbody tr").allInnerTexts();
  expect(rows.map((row) => row.split("\t").length)).toEqual([7, 7]);
  const [small, large] = rows.map((row) => row.split("\t").map((cell) => Number(cell.replace(/[^\d.]/g, ""))));
  expect(large?.[1], "eight times the rank, eight times the parameters").toBe(8 * (small?.[1] ?? 0));
  expect(large?.[5]).toBeGreaterThan(small?.[5] ?? 0);
  for (const held of [small?.[4], large?.[4]]) expect(held).toBeGreaterThan(5);
  expect(faults).toEqual([]);
  server.close();
});

test("the client: faults, signals, streams, results, closing", async ({ page, folder }) => {
  const server = await serve([["/x/", folder]], 0, { "Content-Security-Policy": POLICY });
  await page.goto(`${server.origin}/x/blank.html`);
  const seen = await page.evaluate(async () => {
    const index = "/x/node_modules/rootstock/dist/index.js";
    const { Rootstock, Fault } = (await import(index)) as typeof import("rootstock");
    const fault = async (work: Promise<unknown>) =>
      work.then(
        () => "no fault",
        (error: unknown) => (error instanceof Fault ? { code: error.code, sentence: error.sentence, place: error.place } : String(error)),
      );
    const assets = "/x/node_modules/rootstock/dist/assets";
    const recipe = { finetuning_type: "lora", cutoff_len: 32, max_steps: 4, logging_steps: 1, per_device_train_batch_size: 1 };
    const records = [
      { instruction: "Who rows?", output: "Ada rows." },
      { instruction: "Who bakes?", output: "Bruno bakes." },
    ];
    const session = new Rootstock({ assets });
    const others = [new Rootstock()];
    const faults = {
      early: await fault(session.prepare({ records }, recipe)),
      aborted: await fault(session.open("embedded", { signal: AbortSignal.abort() })),
      empty: await fault(others[0]?.open("embedded") ?? Promise.resolve()),
      noWorker: await fault(new Rootstock({ worker: "https://example.com/worker.js" }).device()),
      missing: await fault(new Rootstock({ worker: "/x/nothing.js" }).device()),
      noAssets: await fault(new Rootstock({ assets: "/x/nowhere" }).device()),
    };
    const base = await session.open("embedded");
    const names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    const files = await Promise.all(
      names.map(async (name) => [name, await (await fetch(`${assets}/embedded-model/${name}`)).arrayBuffer()] as const),
    );
    const second = new Rootstock();
    const copy = await second.open({ bytes: Object.fromEntries(files), name: "a copy" });
    const byFiles = await second.open({ files: files.map(([name, bytes]) => new File([bytes], name)) });
    const byAddress = await second.open({ url: new URL(`${assets}/embedded-model`, location.href).href });
    const untied = { ...(JSON.parse(new TextDecoder().decode(files[0]?.[1])) as object), tie_word_embeddings: false };
    const odd = await second.open({ bytes: { ...Object.fromEntries(files), "config.json": JSON.stringify(untied) } });
    const repair = await second.repair();
    await second.remove(repair.id);
    const broken = await second.open({ bytes: { "config.json": "{}" } });
    const data = {
      json: await fault(session.prepare({ text: '{"instruction": "a", "output": "b"}\n{"instruction"', name: "data.jsonl" }, recipe)),
      key: await fault(session.prepare({ records }, { ...recipe, learning_rat: 1 })),
    };
    second.close();
    others.forEach((one) => one.close());
    const closed = await fault(second.device());

    const preview = await session.prepare({ records }, recipe);
    const plan = await session.plan(recipe, { prompts: ["Who rows?"], every: 4 });
    const run = session.train(recipe, { prompts: ["Who rows?"], every: 4, maxNewTokens: 4 });
    const kinds: string[] = [];
    let held = 0;
    for await (const event of run) {
      kinds.push(event.kind);
      if (event.kind !== "step" || event.line.current_steps !== 1) continue;
      held = await run.hold();
      await run.resume();
    }
    const ended = await run.result;
    const late = await fault(run.hold());
    const listed = await session.files(ended.run.id);
    const config = listed.find(({ name }) => name === "adapter_config.json");
    const adapter = JSON.parse(new TextDecoder().decode(await config?.bytes())) as { peft_type: string };

    const { file: gguf } = await session.gguf(ended.run.id, { type: "q8_0" });
    const third = new Rootstock();
    const byGguf = await third.open({ gguf: await gguf.bytes(), name: gguf.name });
    third.close();
    await session.dropGguf(ended.run.id);

    const answer = session.generate("Who rows?", { maxNewTokens: 6 });
    let text = "";
    for await (const piece of answer) text += piece;
    const whole = (await answer.result).text;
    let pieces = 0;
    const long = session.generate("Who bakes?", { maxNewTokens: 200 });
    for await (const piece of long) {
      pieces += piece.length > 0 ? 1 : 0;
      break;
    }
    const left = (await long.result).finish;
    const stop = new AbortController();
    const given = session.generate("Who bakes?", { maxNewTokens: 200, signal: stop.signal });
    const first = given[Symbol.asyncIterator]();
    await first.next();
    stop.abort();
    const aborted = await fault(given.result);
    const score = await session.evaluate({ records });
    const baseScore = await session.evaluate({ records }, { model: "base" });

    // Leaving the loop stops the run; it is kept, and goes on.
    const stopped = session.train({ ...recipe, max_steps: 50 });
    for await (const event of stopped) if (event.kind === "step") break;
    const part = await stopped.result;
    const again = new AbortController();
    const resumed = session.resume(part.run.id, { signal: again.signal });
    const begun: number[] = [];
    const cut = await fault(
      (async () => {
        for await (const event of resumed) {
          if (event.kind === "started") begun.push(event.step);
          if (event.kind === "step") again.abort();
        }
      })(),
    );
    await session.remove(part.run.id);
    const kept = (await session.runs()).map(({ id }) => id);
    session.close();
    const over = await fault(session.runs());
    return {
      faults,
      base: [base.report.verdict, copy.name, copy.report.verdict, broken.report.verdict],
      ways: [byFiles, byAddress, odd, repair.base, byGguf].map(({ report }) => report.verdict),
      data,
      closed,
      preview: [preview.samples, preview.shown.length],
      plan: [plan.fits, plan.steps, plan.answers],
      kinds,
      held,
      ended: [ended.finished, ended.run.step],
      late,
      names: listed.map(({ name }) => name),
      adapter: adapter.peft_type,
      answer: [text === whole, pieces, left, aborted],
      scores: [score, baseScore],
      part: [part.finished, part.run.step, begun, cut],
      kept: kept.length === 1 && kept[0] === ended.run.id,
      over,
    };
  });

  expect.soft(seen.faults.early).toMatchObject({ code: "out_of_turn", sentence: expect.stringContaining("no base is open"), place: {} });
  expect.soft(seen.faults.aborted).toMatch(/AbortError/);
  expect.soft(seen.faults.empty).toMatchObject({ code: "file", sentence: expect.stringContaining("no model of its own") });
  expect.soft(seen.faults.noWorker).toMatchObject({ code: "worker", sentence: expect.stringContaining("own origin") });
  expect.soft(seen.faults.missing).toMatchObject({ code: "worker_lost", sentence: expect.stringContaining("could not be loaded") });
  expect.soft(seen.faults.noAssets).toMatchObject({ sentence: expect.stringMatching(/could not start: .*files\.json/) });
  expect.soft(seen.base).toEqual(["ready", "a copy", "ready", "unusable"]);
  expect.soft(seen.ways, "files, an address, without its head, repaired, a GGUF file").toEqual(["ready", "ready", "repairable", "ready", "ready"]);
  expect.soft(seen.data.json).toMatchObject({ code: "line", sentence: expect.stringContaining("data.jsonl, line 2"), place: { file: "data.jsonl", line: 2 } });
  expect.soft(seen.data.key).toMatchObject({ code: "recipe", sentence: expect.stringContaining("learning_rate") });
  expect.soft(seen.closed).toMatchObject({ code: "closed" });
  expect.soft(seen.preview).toEqual([2, 2]);
  expect.soft(seen.plan).toEqual([true, 4, 2]);
  for (const kind of ["progress", "started", "step", "paused", "resumed", "writing", "sample", "finished"]) expect.soft(seen.kinds).toContain(kind);
  expect.soft(seen.held).toBeGreaterThan(0);
  expect.soft(seen.ended).toEqual([true, 4]);
  expect.soft(seen.late).toMatchObject({ code: "out_of_turn" });
  expect.soft(seen.names).toContain("adapter_model.safetensors");
  expect.soft(seen.adapter).toBe("LORA");
  expect.soft(seen.answer).toEqual([true, 1, "cancelled", expect.stringMatching(/AbortError/)]);
  expect.soft(seen.scores[0]?.samples).toBe(2);
  expect.soft(seen.scores[0]?.loss).not.toBe(seen.scores[1]?.loss);
  expect.soft(seen.part).toEqual([false, expect.any(Number), [expect.any(Number)], expect.stringMatching(/AbortError/)]);
  expect.soft(seen.kept).toBe(true);
  expect.soft(seen.over).toMatchObject({ code: "closed" });
  await expect.poll(() => page.workers().length, { message: "no worker is left" }).toBe(0);
  server.close();
});
