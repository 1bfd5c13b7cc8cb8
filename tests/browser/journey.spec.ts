// The whole way through the page as it is built, with the worker and the embedded model: what a person does, a few steps long.
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { root } from "../../scripts/lib/host.mjs";
import type { Report } from "rootstock";
import { expect, nativeProgram } from "./harness.js";
import { next, openVillage, patient, test, train } from "./village.js";
import { unpack } from "./zip.js";

async function question(page: Page, text: string): Promise<string> {
  await page.getByLabel("Question", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("button", { name: "Ask" })).toBeEnabled(patient);
  return page.getByRole("log").innerText();
}

/** What comes down from the page stays here: `scripts/fixtures/check_downloads.py` loads it in transformers and PEFT. */
const downloads = join(root, "target/downloads");

/** Takes what the page shows home as a zip, unpacked, and has the native program judge it. */
async function takeHome(page: Page, name: string, base?: string): Promise<string> {
  // The dialog that asks for a place cannot be answered here: the browser's downloads take the zip.
  await page.evaluate(() => Reflect.deleteProperty(globalThis, "showSaveFilePicker"));
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download as zip" }).click();
  const folder = join(downloads, name);
  const names = unpack(await (await download).path(), folder);
  const [inside = ""] = names[0]?.split("/") ?? [];
  expect(names.every((file) => file.startsWith(`${inside}/`)), "one folder").toBe(true);
  expect(inside, "a name that every system takes").toMatch(/^[\w.-]+$/);
  const { verdict, findings } = judge(join(folder, inside), base);
  const told = findings.filter(({ severity }) => severity !== "info").map(({ code }) => code);
  // An adapter is judged beside its base.
  expect(told, name).toEqual([]);
  expect(verdict).toBe("ready");
  return join(folder, inside);
}

/** Takes the result home as a GGUF file. */
async function takeGguf(page: Page, type: string): Promise<string> {
  await page.evaluate(() => Reflect.deleteProperty(globalThis, "showSaveFilePicker"));
  await page.getByRole("radio", { name: type, exact: true }).check();
  const download = page.waitForEvent("download", patient);
  await page.getByRole("button", { name: "Download the GGUF file" }).click();
  const file = await download;
  expect(file.suggestedFilename()).toMatch(/^[\w.-]+\.gguf$/);
  const place = join(downloads, file.suggestedFilename());
  await file.saveAs(place);
  return place;
}

/** `rootstock validate`; it exits with 1 for anything but ready, and prints its report all the same. */
function judge(directory: string, base?: string): Report {
  const { stdout } = spawnSync(nativeProgram(), ["--quiet", "validate", directory, "--json", ...(base ? ["--base", base] : [])], { encoding: "utf8" });
  return JSON.parse(stdout) as Report;
}

test("full fine-tuning, LoRA on its result, chat, merge, and home", async ({ page }) => {
  rmSync(downloads, { recursive: true, force: true });
  await openVillage(page);
  await next(page, "Data");
  await expect(page.getByText("812", { exact: true }).first()).toBeVisible(patient);
  await next(page, "Method");
  await expect(page.locator("dt:text-is('Time') + dd"), "known before the first run").toHaveText(/^about /, patient);
  await train(page, { steps: 6, snapshot: 6, ask: 6 });
  await expect(page.getByRole("link", { name: "Next: Use" })).toBeVisible(patient);
  const answers = page.getByRole("region", { name: "What it says while it learns" });
  await expect(answers).toContainText("Where is Emma at work?");
  await expect(answers).toContainText("After step 6");

  await next(page, "Use");
  await expect(page.getByText("a whole model, tuned from")).toBeVisible(patient);
  expect(await question(page, "Where does Anna live?")).toMatch(/Base.*Tuned.*Anna/s);
  await page.getByRole("button", { name: "Compute ΔW" }).click();
  await expect(page.getByText("Singular values of ΔW")).toBeVisible(patient);
  const full = await takeHome(page, "full");

  await page.getByRole("button", { name: "Use as the base for LoRA", exact: true }).click();
  await expect(page.getByRole("radio", { name: "pirate" })).toBeChecked(patient);
  await next(page, "Method");
  await expect(page.getByRole("radio", { name: /LoRA/ })).toBeChecked();
  await page.getByLabel("Rank").fill("4");
  await train(page, { steps: 4, snapshot: 4 });
  await expect(page.getByText("Done. Step 4 of 4")).toBeVisible(patient);
  await next(page, "Use");
  await expect(page.getByText("an adapter on")).toBeVisible(patient);
  expect(await question(page, "Where does Anna live?")).toMatch(/Tuned/);
  await page.getByRole("button", { name: "Show the loss per token" }).click();
  await expect(page.getByText(/perplexity/)).toHaveCount(2, patient);
  await page.getByRole("button", { name: "Compute ΔW" }).click();
  await expect(page.getByText("Singular values of ΔW")).toBeVisible(patient);

  const adapter = await takeHome(page, "adapter", full);
  expect(readFileSync(join(adapter, "adapter_config.json"), "utf8")).toContain('"peft_type": "LORA"');

  await page.getByRole("button", { name: "Merge into the base" }).click();
  await expect(page.getByText("the merge of an adapter into")).toBeVisible(patient);
  // Merging rounds the weights and changes nothing else.
  const losses = page.getByRole("table", { name: /^Loss before and after the merge, on \d+ held-out samples/ });
  const of = async (model: RegExp) => Number(await losses.getByRole("row", { name: model }).getByRole("cell").innerText());
  const [alone, before, after] = [await of(/^Base \d/), await of(/^Base and adapter/), await of(/^Merged/)];
  expect(Math.abs(alone - before), "the adapter changes something").toBeGreaterThan(0.001);
  expect(Math.abs(after - before), `${before} before, ${after} after`).toBeLessThan(0.02);
  await takeHome(page, "merged");
  const merged = await takeGguf(page, "Q8_0");
  expect(judge(merged).verdict, "the file is a model again").toBe("ready");
});

test("clicked pairs are learned from by stage dpo", async ({ page }) => {
  await openVillage(page);
  await page.goto("/page/#/use");
  const part = page.getByRole("region", { name: "Which answer is better?" });
  await part.getByLabel("How much it dares").fill("2");
  for (const asked of ["Where does Anna live?", "Who bakes the bread?"]) {
    await part.getByLabel("Question to answer twice").fill(asked);
    await page.keyboard.press("Enter");
    await expect(part.getByRole("button", { name: /^The better one/ })).toHaveCount(2, patient);
    await part.getByRole("button", { name: /^The better one/ }).first().click();
  }
  await expect(part.getByText("2 pairs, kept in this browser")).toBeVisible();
  await part.getByRole("button", { name: "Learn from them" }).click();
  await expect(page.getByLabel("What is learnt")).toHaveValue("dpo", patient);
  await expect(page.getByText(/^Sample 1/)).toBeVisible(patient);
  await next(page, "Method");
  await train(page, { steps: 4, snapshot: 4 });
  await expect(page.getByText("Done. Step 4 of 4")).toBeVisible(patient);
  // The model has learned to tell the answers apart: before the first step the preferred one gains nothing over the other.
  const margin = async () => Number(await page.locator("dl[aria-label='The answers'] dt:text-is('Margin') + dd").innerText());
  await expect.poll(margin).toBeGreaterThan(0);
});

test("a reloaded tab tells of its run and goes on", async ({ page }) => {
  await openVillage(page);
  await next(page, "Data");
  await next(page, "Method");
  await train(page, { steps: 6, snapshot: 2 });
  await expect(page.getByText(/Snapshot of step [2-4] is kept/)).toBeVisible(patient);
  await page.goto("/page/#/base");
  await page.reload();
  await page.getByRole("link", { name: "To the interrupted run" }).click(patient);
  await page.getByRole("button", { name: /^Go on with/ }).click();
  await expect(page.getByText(/The run goes on from its snapshot of step/).first()).toBeVisible(patient);
  await expect(page.getByText("Done. Step 6 of 6")).toBeVisible(patient);
});

test("what a person gives wrongly is said in a sentence", async ({ page }) => {
  await page.goto("/page/#/base");
  const files = page.locator("input[type=file]:not([webkitdirectory])");
  await files.setInputFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("hello") });
  await expect(page.getByRole("alert").first()).toContainText(/config\.json|cannot be used/, patient);

  const golden = (name: string) => join(root, "tests/fixtures/golden/llama", name);
  await page.goto("/page/#/base");
  await files.setInputFiles([golden("config.json"), golden("model.safetensors")]);
  await expect(page.getByRole("heading", { name: "Check the base" })).toBeVisible(patient);
  await expect(page.getByRole("listitem").filter({ hasText: "tokenizer" }).first()).toBeVisible(patient);

  await openVillage(page);
  await next(page, "Data");
  await page.getByText("Paste", { exact: true }).click();
  await page.getByLabel("Records").fill('{"instruction": "a", "output": "b"}\n{broken');
  await expect(page.getByRole("alert")).toHaveText(/line 2/i, patient);
});
