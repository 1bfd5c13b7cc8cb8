// The engine room of the page in a real browser: the native trainer's losses, runs that survive, folders of every architecture.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Request } from "@playwright/test";
import { findChromium, root } from "../../scripts/lib/host.mjs";
import type { Settings } from "rootstock";
import { Engine, losses, startedRun } from "./engine.js";
import { expect, nativeProgram, test as base } from "./harness.js";

const test = base.extend<{ engine: Engine }, { shared: Engine }>({
  // A page for all tests that need no fresh one: its worker keeps the kernels that it has compiled, which takes most of a short test.
  shared: [
    async ({ browser, origin }, use) => {
      const page = await browser.newPage({ baseURL: origin });
      const engine = new Engine(page);
      await engine.load();
      await use(engine);
      await page.close();
    },
    { scope: "worker" },
  ],
  engine: async ({ page, rootstock }, use) => {
    void rootstock; // for the device and the console
    const engine = new Engine(page);
    await engine.load();
    await use(engine);
  },
});

const samples = { every: 0, prompts: [], max_new_tokens: 1 };
const steps = 20;
const recipe: Settings = {
  stage: "sft",
  finetuning_type: "full",
  cutoff_len: 64,
  per_device_train_batch_size: 2,
  learning_rate: 1e-3,
  max_steps: steps,
  logging_steps: 1,
  save_steps: 8,
};

/** The same arithmetic on the same device; browser and native program may choose other variants of a kernel. */
const tolerance = 1e-4;

/** Losses of the native program on the browser's own software device. */
function nativeLosses(what: Settings): [number, number][] {
  const out = mkdtempSync(join(tmpdir(), "rootstock-"));
  const keys = { ...what, output_dir: join(out, "run") };
  writeFileSync(join(out, "recipe.yaml"), Object.entries(keys).map(([key, value]) => `${key}: ${String(value)}\n`).join(""));
  const driver = join(findChromium()?.startsWith("/usr/bin/") ? "/usr/lib/chromium" : "", "vk_swiftshader_icd.json");
  const env = { ...process.env, VK_DRIVER_FILES: driver };
  execFileSync(nativeProgram(), ["--quiet", "train", join(out, "recipe.yaml")], { cwd: root, env, stdio: ["ignore", "ignore", "inherit"] });
  const lines = readFileSync(join(out, "run/trainer_log.jsonl"), "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as { current_steps: number; loss: number }).map((line) => [line.current_steps, line.loss]);
}

test("twenty steps as the native program takes them, also when held, reloaded and killed", async ({ engine }) => {
  const native = nativeLosses({ ...recipe, model_name_or_path: "assets/embedded-model", dataset_dir: "assets/demo", dataset: "village" });
  expect(native).toHaveLength(steps);

  await engine.prepare(recipe);
  const whole = losses((await engine.call({ kind: "train", recipe, samples })).events);
  expect(whole.map(([step]) => step)).toEqual(native.map(([step]) => step));
  const worst = Math.max(...whole.map(([, loss], index) => Math.abs(loss - (native[index]?.[1] ?? NaN))));
  console.log(`  ${steps} losses within ${worst.toExponential(1)} of the native program's`);
  expect(worst).toBeLessThanOrEqual(tolerance);

  // Held after the fifth step, then the page is left.
  const held = await engine.interrupt({ kind: "train", recipe, samples }, 5, "pause");
  expect(held.events.at(-1)).toEqual({ kind: "paused", step: 5 });
  const run = startedRun(held.events);
  await engine.load();
  const found = (await engine.call({ kind: "runs" })).reply.find(({ id }) => id === run);
  expect(found).toMatchObject({ step: 5, steps, finished: false, usable: true });

  // The worker is killed in the middle of a step; the last snapshot is of the eighth.
  const killed = await engine.interrupt({ kind: "go_on", run }, 11, "terminate");
  expect(killed.fault).toContain("on purpose");
  expect(killed.events.find((event) => event.kind === "started")).toMatchObject({ step: 5 });

  const rest = await engine.call({ kind: "go_on", run });
  expect(rest.events.find((event) => event.kind === "started")).toMatchObject({ step: 8 });
  expect(rest.reply).toMatchObject({ finished: true, run: { step: steps } });
  const all = new Map([...losses(held.events), ...losses(killed.events), ...losses(rest.events)]);
  expect([...all], "to the same bits").toEqual(whole);
});

// All of them allocate, compile kernels and submit while the others wait for the device.
test("a run's losses stay the same while others use the device", async ({ engine }) => {
  const short: Settings = { ...recipe, max_steps: 6 };
  await engine.prepare(short);
  const alone = losses((await engine.call({ kind: "train", recipe: short, samples })).events);
  const text = "Who keeps the bees?";
  const sampling = { temperature: 0, top_p: 1, max_new_tokens: 8, seed: 1 };
  await engine.load();
  await engine.prepare(short);
  const [run] = await Promise.all([
    engine.call({ kind: "train", recipe: short, samples }),
    engine.call({ kind: "measure" }),
    engine.call({ kind: "validate" }),
    engine.call({ kind: "chat", which: "base", messages: [{ role: "user", content: text }], sampling }),
    engine.call({ kind: "estimate", recipe: short, samples: null }),
  ]);
  expect(run.reply.finished).toBe(true);
  expect(losses(run.events), "to the same bits").toEqual(alone);
});

// One directory of every architecture, as transformers 5 writes it.
for (const name of readdirSync(join(root, "tests/fixtures/validate/healthy")).filter((folder) => folder.endsWith("-v5"))) {
  test(`a folder of ${name} is opened, trained and asked`, async ({ shared: engine }) => {
    const opened = await engine.openFolder(`validate/healthy/${name}`);
    expect(opened.report.findings.filter(({ severity }) => severity !== "info")).toEqual([]);
    expect(opened.report.verdict).toBe("ready");
    const settings: Settings = { stage: "pt", finetuning_type: "full", cutoff_len: 32, max_steps: 2, logging_steps: 1, learning_rate: 1e-3 };
    const text = "the cat sat on the mat and the dog ran to the door\n".repeat(4);
    const data = { kind: "files" as const, files: [{ name: "text.txt", text }] };
    await engine.call({ kind: "prepare", data, evaluation: null, recipe: settings, first: 0, count: 1 });
    const { reply, events } = await engine.call({ kind: "train", recipe: settings, samples });
    const [first, second] = losses(events).map(([, loss]) => loss);
    expect(second).toBeLessThan(first ?? 0);
    const { reply: tokens } = await engine.call({ kind: "losses", which: "tuned", text: "the cat" });
    expect(tokens.map((token) => token.text).join("")).toContain("cat");
    await engine.call({ kind: "remove", id: reply.run.id });
  });
}

test("a GGUF file in blocks of eight types is opened, and an adapter learns beside its blocks as natively", async ({ shared: engine }) => {
  const opened = await engine.openFolder("ggml", ["llama.gguf"]);
  expect(opened.report.verdict).toBe("ready");
  const learned: Settings = {
    stage: "pt",
    finetuning_type: "lora",
    lora_rank: 4,
    cutoff_len: 32,
    per_device_train_batch_size: 1,
    max_steps: 4,
    logging_steps: 1,
    learning_rate: 1e-2,
    disable_shuffling: true,
  };
  // The file's tokens are characters, without a space.
  const text = `${"abacus,abdomen;able(about)".repeat(8)}\n`;
  const data = { kind: "files" as const, files: [{ name: "text.txt", text }] };
  await engine.call({ kind: "prepare", data, evaluation: null, recipe: learned, first: 0, count: 1 });
  const { reply, events } = await engine.call({ kind: "train", recipe: learned, samples });
  const said = events.flatMap((event) => (event.kind === "notice" ? [event.words] : []));
  for (const type of ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]) expect(said.join(" ")).toContain(`in ${type}`);
  const place = mkdtempSync(join(tmpdir(), "rootstock-"));
  writeFileSync(join(place, "text.txt"), text);
  const native = nativeLosses({ ...learned, model_name_or_path: "tests/fixtures/ggml/llama.gguf", dataset: join(place, "text.txt") });
  const here = losses(events);
  expect(here.map(([step]) => step)).toEqual(native.map(([step]) => step));
  const worst = Math.max(...here.map(([, loss], index) => Math.abs(loss - (native[index]?.[1] ?? NaN))));
  console.log(`  losses ${here.map(([, loss]) => loss.toFixed(4)).join(", ")}, within ${worst.toExponential(1)} of the native program's`);
  expect(worst).toBeLessThanOrEqual(tolerance);
  await engine.call({ kind: "remove", id: reply.run.id });
});

test("a folder behind a host that compresses what it sends is opened", async ({ engine }) => {
  const folder = join(root, "tests/fixtures/validate/healthy/llama-v5");
  let compressed = 0;
  const server = createServer((request, response) => {
    const file = join(folder, basename(request.url ?? ""));
    response.setHeader("Access-Control-Allow-Origin", "*");
    if (!existsSync(file)) return void response.writeHead(404).end();
    const bytes = readFileSync(file);
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    if (request.method === "GET" && range) {
      const part = bytes.subarray(Number(range[1]), Number(range[2]) + 1);
      return void response.writeHead(206, { "Content-Range": `bytes ${range[1]}-${range[2]}/${bytes.length}` }).end(part);
    }
    const sent = /\bgzip\b/.test(String(request.headers["accept-encoding"])) ? gzipSync(bytes) : bytes;
    if (sent !== bytes) {
      compressed += 1;
      response.setHeader("Content-Encoding", "gzip");
    }
    response.writeHead(200, { "Content-Length": sent.length }).end(request.method === "HEAD" ? undefined : sent);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/llama-v5`;
    const { reply } = await engine.call({ kind: "open", source: { kind: "url", url } });
    expect(compressed, "the host compresses").toBeGreaterThan(0);
    expect(reply.report.findings.filter(({ severity }) => severity === "error")).toEqual([]);
    expect(reply.report.verdict).toBe("ready");
  } finally {
    server.close();
  }
});

test("a run belongs to one tab: another one sees it and cannot touch it", async ({ page, engine, context }) => {
  const long: Settings = { ...recipe, max_steps: 200, save_steps: 2 };
  await engine.prepare(long);
  const held = await engine.interrupt({ kind: "train", recipe: long, samples }, 3, "pause");
  const run = startedRun(held.events);
  const second = await context.newPage();
  const other = new Engine(second);
  await other.load();
  const fault = (request: object) =>
    second.evaluate(
      (request) => rootstock.call(request as Parameters<typeof rootstock.call>[0]).then(String, (error: Error) => error.message),
      request,
    );
  const seen = async () => (await other.call({ kind: "runs" })).reply.find(({ id }) => id === run);
  expect(await seen()).toMatchObject({ live: true, finished: false });
  expect(await fault({ kind: "go_on", run })).toContain("in another tab");
  expect(await fault({ kind: "remove", id: run })).toContain("in another tab");
  // The browser frees what a closed tab had.
  await page.close();
  await expect.poll(async () => (await seen())?.live).toBe(false);
  await other.call({ kind: "remove", id: run });
  expect(await seen()).toBeUndefined();
});

test("nothing is asked of any other host, and the page loads little", async ({ page, engine }) => {
  const { origin } = new URL(page.url());
  const asked: Request[] = [];
  page.on("request", (request) => asked.push(request));
  await engine.load();
  await engine.call({ kind: "open", source: { kind: "embedded" } });
  expect(asked.filter((request) => !request.url().startsWith(origin)).map((request) => request.url())).toEqual([]);

  // What the server says it sends, each file once: what the build compressed, as `npm start` and `rootstock serve` do. (What came over the wire is less: the
  // browser has files of this page already.)
  const own = asked.filter((request) => !/\/(embedded-model|demo)\//.test(request.url()));
  const sent = async (request: Request) => [request.url(), Number(await (await request.response())?.headerValue("content-length"))] as const;
  const sizes = [...new Map(await Promise.all(own.map(sent)))];
  const total = sizes.reduce((sum, [, size]) => sum + size, 0);
  console.log(`  first load: ${sizes.length} files, ${(total / 1e6).toFixed(2)} MB transferred`);
  const wasm = sizes.find(([url]) => url.endsWith(".wasm"))?.[1] ?? 0;
  expect(wasm, "the largest part was counted").toBeGreaterThan(0.5e6);
  expect(sizes.some(([url]) => url.includes("rootstock_deferred")), "what a first visit does not need is not loaded").toBe(false);
  expect(total).toBeLessThan(1.35e6);
});

test("without the program's second part a base is opened all the same, and what needs it says so and tries again", async ({ page, engine }) => {
  const second = /rootstock_deferred.*\.wasm$/;
  await page.route(second, (route) => route.abort());
  await engine.load();
  await engine.call({ kind: "open", source: { kind: "embedded" } });
  const keys = () => page.evaluate(() => rootstock.call({ kind: "keys" }).then((list) => String(list.length), (error: Error) => error.message));
  expect(await keys()).toContain("A part of this page's program could not be loaded");
  await page.unroute(second);
  expect(Number(await keys()), "it is asked for again").toBeGreaterThan(50);
});

test("what is wrong is said, and what is stored can be seen and deleted", async ({ page, engine }) => {
  const fault = (request: object) =>
    page.evaluate(
      (request) => rootstock.call(request as Parameters<typeof rootstock.call>[0]).then(String, (error: Error) => error.message),
      request,
    );
  expect(await fault({ kind: "estimate", recipe, samples: null })).toContain("choose one first");
  expect(await fault({ kind: "open", source: { kind: "url", url: "no such thing" } })).toContain("owner/name");
  expect(await fault({ kind: "open", source: { kind: "run", id: "x" } })).toContain("nothing of this name");
  const { origin } = new URL(page.url());
  expect(await fault({ kind: "open", source: { kind: "url", url: `${origin}/fixtures/nowhere` } })).toContain("no config.json");
  const broken = await engine.openFolder("golden/llama");
  expect(broken.report.findings.map(({ message }) => message).join()).toContain("tokenizer");
  const byAddress = await engine.call({ kind: "open", source: { kind: "url", url: `${origin}/fixtures/validate/healthy/llama-v5` } });
  expect(byAddress.reply.report.verdict).toBe("ready");
  expect((await engine.call({ kind: "runs" })).reply).toEqual([]);
});
