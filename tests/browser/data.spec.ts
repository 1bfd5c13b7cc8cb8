// Data in the page: files of any size, read a piece at a time by the worker; packed files and Parquet; files that a visit keeps.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { root } from "../../scripts/lib/host.mjs";
import type { Settings } from "rootstock";
import { Engine } from "./engine.js";
import { expect, test as base } from "./harness.js";
import { next, openVillage, patient } from "./village.js";

const test = base.extend<{ engine: Engine }>({
  engine: async ({ page, rootstock }, use) => {
    void rootstock; // for the device and the console
    const engine = new Engine(page);
    await engine.load();
    await engine.call({ kind: "open", source: { kind: "embedded" } });
    await use(engine);
  },
});

const recipe: Settings = { stage: "sft", finetuning_type: "full", cutoff_len: 64, max_steps: 1, logging_steps: 1, per_device_train_batch_size: 2 };

/** What the worker may take over the tokens, whatever the file's size. */
const BOUND = 150e6;

test("two hundred megabytes are read in bounded memory, given up in the middle, and no further than max_samples", async ({ page, engine }) => {
  void engine;
  const found = await page.evaluate(async (recipe) => {
    // One record of a hundred kilobytes, most of it not learned, two thousand times: a blob that refers to one megabyte again and again.
    const record = `${JSON.stringify({ instruction: "Who sings?", output: "Mira does.", note: "not learned ".repeat(8333) })}\n`;
    const part = new Blob([record.repeat(10)]);
    const file = new File(Array<Blob>(200).fill(part), "large.jsonl");
    const data = { files: [file] };
    let done = 0;
    const told = { onProgress: (progress: { done: number }) => void (done = progress.done) };
    const before = (await rootstock.storage()).worker_bytes ?? 0;

    const few = await rootstock.prepare(data, { ...recipe, max_samples: 50 }, told);
    const forFew = done;

    const controller = new AbortController();
    let givenUp = "";
    const onProgress = (progress: { done: number }) => {
      done = progress.done;
      if (done > file.size / 20) controller.abort(new Error("enough"));
    };
    done = 0;
    await rootstock.prepare(data, recipe, { signal: controller.signal, onProgress }).catch((error: Error) => (givenUp = error.message));
    // Whatever the worker still did when it heard of it would be told before it answers this.
    await rootstock.storage();
    const atTheEnd = done;

    done = 0;
    const all = await rootstock.prepare(data, recipe, told);
    const after = (await rootstock.storage()).worker_bytes ?? 0;
    const whole = done;
    done = 0;
    const again = await rootstock.prepare({ files: [new File([file], "large.jsonl")] }, recipe, told);
    return { size: file.size, few: few.records, forFew, givenUp, atTheEnd, whole, records: all.records, tokens: all.tokens, grown: after - before, again: again.records, forAgain: done };
  }, recipe);
  console.log(`  ${(found.size / 1e6).toFixed(0)} MB: the worker's memory grew by ${(found.grown / 1e6).toFixed(0)} MB, with ${found.tokens} tokens`);
  expect(found.size).toBeGreaterThan(200e6);
  expect(found).toMatchObject({ few: 50, givenUp: "enough", records: 2000, again: 2000, whole: found.size });
  expect(found.forFew, "50 records are in its first five megabytes").toBeLessThan(10e6);
  expect(found.atTheEnd, "it was given up in the middle").toBeLessThan(found.size / 2);
  expect(found.grown).toBeLessThan(BOUND + 8 * found.tokens);
  expect(found.forAgain, "the tokens are kept by the file's content").toBe(0);
});

test("Parquet files and packed files hold what they hold for the program", async ({ page, engine }) => {
  void engine;
  const held = JSON.parse(readFileSync(join(root, "tests/fixtures/parquet/records.json"), "utf8")) as Record<string, object[]>;
  const shown = (given: { fixture: string } | { name: string; base64: string } | { records: object[] }) =>
    page.evaluate(
      async ({ given, recipe }) => {
        if ("records" in given) return rootstock.prepare({ records: given.records }, recipe, { count: 50 });
        const [name, bytes] =
          "fixture" in given
            ? [given.fixture, await (await fetch(`/fixtures/parquet/${given.fixture}`)).blob()]
            : [given.name, Uint8Array.from(atob(given.base64), (letter) => letter.charCodeAt(0))];
        return rootstock.prepare({ files: [new File([bytes], name)] }, recipe, { count: 50 });
      },
      { given, recipe },
    );
  const expected = { alpaca: await shown({ records: held["alpaca"] ?? [] }), chat: await shown({ records: held["chat"] ?? [] }) };
  expect(expected.alpaca.records).toBe(4);
  for (const compression of ["none", "snappy", "gzip", "zstd", "lz4"]) {
    const found = await shown({ fixture: `alpaca.${compression}.parquet` });
    expect(found.shown, compression).toEqual(expected.alpaca.shown);
  }
  expect((await shown({ fixture: "brotli.parquet" })).shown, "which the program does not read").toEqual(expected.alpaca.shown);
  for (const name of ["chat.parquet", "chat-plain.parquet"]) {
    const found = await shown({ fixture: name });
    expect([found.records, found.shown], name).toEqual([40, expected.chat.shown]);
  }
  const lines = (held["chat"] ?? []).map((record) => `${JSON.stringify(record)}\n`).join("");
  const packed = await shown({ name: "chat.jsonl.gz", base64: gzipSync(lines).toString("base64") });
  expect(packed.shown).toEqual(expected.chat.shown);

  const fault = (name: string, base64: string) => shown({ name, base64 }).then(String, (error: Error) => error.message);
  expect(await fault("empty.parquet", readFileSync(join(root, "tests/fixtures/parquet/empty.parquet")).toString("base64"))).toContain("holds no record");
  const whole = readFileSync(join(root, "tests/fixtures/parquet/alpaca.snappy.parquet"));
  expect(await fault("cut.parquet", whole.subarray(0, whole.length - 9).toString("base64"))).toContain("does not end as a Parquet file does");
  const wrong = Buffer.from(whole);
  wrong.fill(0xff, 4, 200);
  expect(await fault("wrong.parquet", wrong.toString("base64"))).toMatch(/wrong\.parquet.*damaged/);
  expect(await fault("a.arrow", Buffer.from("x").toString("base64"))).toMatch(/program only.*to_parquet/);
});

test("a large file's reading is stopped; a file is given, its columns are mapped, and the next visit has it again", async ({ page }) => {
  await openVillage(page);
  await next(page, "Data");
  await page.getByText("Files", { exact: true }).click();
  const table = `frage;antwort\n${"Who sings?;Mira does.\n".repeat(30)}`;
  const files = page.locator("input[type=file]").first();
  // Two gigabytes, so that nothing can read them before the button is pressed: a blob that refers to one megabyte again and again.
  await files.evaluate((input: HTMLInputElement) => {
    const record = `${JSON.stringify({ instruction: "Who sings?", output: "Mira does.", note: "not learned ".repeat(8333) })}\n`;
    const part = new Blob([record.repeat(10)]);
    const chosen = new DataTransfer();
    chosen.items.add(new File(Array<Blob>(2000).fill(part), "large.jsonl"));
    input.files = chosen.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  const stopped = page.getByText("The reading was stopped; there is nothing to train on yet.");
  for (const again of [false, true]) {
    if (again) await page.getByRole("button", { name: "Read it again" }).click();
    await page.getByRole("button", { name: "Stop reading" }).click(patient);
    await expect(stopped).toBeVisible();
    await expect(page.getByText("The data is not read yet.")).toBeVisible();
  }
  await page.getByRole("button", { name: "Remove large.jsonl" }).click();
  await expect(stopped).toBeHidden();
  await files.setInputFiles({ name: "lieder.csv.gz", mimeType: "application/gzip", buffer: gzipSync(table) });
  await expect(page.getByText("lieder.csv.gz").first()).toBeVisible();
  await page.getByLabel("Question", { exact: true }).selectOption("frage", patient);
  await page.getByLabel("Answer", { exact: true }).selectOption("antwort");
  await expect(page.getByText("30", { exact: true }).first()).toBeVisible(patient);
  await expect(page.getByText("Mira").first()).toBeVisible(patient);
  await page.waitForTimeout(1000); // the visit is kept when nothing has changed for a while
  await page.reload();
  await expect(page.getByText("lieder.csv.gz").first()).toBeVisible(patient);
  await expect(page.getByText("30", { exact: true }).first()).toBeVisible(patient);
  await expect(page.getByText("Mira").first()).toBeVisible(patient);
});
