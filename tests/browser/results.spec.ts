// What is done with results and given things, with a worker by script: preferences chosen by clicks, adapters on the base, the folder of the last visit, recorded
// runs.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/lib/host.mjs";
import { openVillage, expect, step, test, title } from "./ui/test.js";

test("the better of two answers becomes a pair, which is kept, taken home and learned from", async ({ page }) => {
  await openVillage(page);
  await step(page, "Use");
  await page.getByRole("button", { name: "Try village-1" }).click();
  const part = page.getByRole("region", { name: "Which answer is better?" });
  const question = part.getByLabel("Question to answer twice");
  for (const [asked, better] of [["Who sings?", "Draw 43."], ["Who bakes?", "Draw 48."]] as const) {
    await question.fill(asked);
    await page.keyboard.press("Enter");
    await expect(part.getByRole("button", { name: /^The better one/ })).toHaveCount(2);
    await part.getByRole("button", { name: better }).click();
    await expect(question, "ready for the next one").toBeFocused();
  }
  await expect(part.getByText("2 pairs, kept in this browser")).toBeVisible();
  await page.waitForTimeout(600); // what changes is written a moment later
  await page.reload();
  await expect(part.getByText("2 pairs, kept in this browser")).toBeVisible();
  await part.getByText("All pairs").click();
  await part.getByRole("button", { name: "Remove pair 2" }).click();
  const download = page.waitForEvent("download");
  await part.getByRole("button", { name: "Take the pairs home" }).click();
  const file = await download;
  expect(file.suggestedFilename()).toBe("preferences.jsonl");
  expect(readFileSync(await file.path(), "utf8")).toBe(
    `${JSON.stringify({ instruction: "Who sings?", chosen: "Anna lives in the red house. (1) Draw 43.", rejected: "Anna lives in the red house. (1) Draw 42." })}\n`,
  );
  await part.getByRole("button", { name: "Learn from them" }).click();
  await title(page, "Give it examples");
  await expect(page.getByText("preferences.jsonl").first()).toBeVisible();
});

test("a model that says the same twice is not compared", async ({ page }) => {
  await openVillage(page, "?answers=same");
  await step(page, "Use");
  const part = page.getByRole("region", { name: "Which answer is better?" });
  await part.getByLabel("Question to answer twice").fill("Who sings?");
  await page.keyboard.press("Enter");
  await expect(part.getByText("It says the same each time.")).toBeVisible();
  await expect(part.getByRole("button", { name: /^The better one/ })).toHaveCount(0);
});

test("adapters are put on the base in any strength, asked, taken off and merged", async ({ page }) => {
  await openVillage(page);
  await step(page, "Use");
  const part = page.getByRole("region", { name: "Adapters on the base" });
  await expect(part.getByRole("button", { name: "Put on the base" })).toBeDisabled();
  await part.getByLabel("pirate-1", { exact: true }).check();
  await part.getByRole("slider", { name: "Strength of pirate-1" }).fill("1.5");
  await part.getByRole("button", { name: "Put on the base" }).click();
  await expect(part.getByText("On the base: pirate-1 × 1.5.")).toBeVisible();
  await expect(part.getByText("was made on other weights")).toBeVisible();
  const log = page.getByRole("log");
  await expect(log).toContainText("Adapted: pirate-1 × 1.5");
  await part.getByRole("slider", { name: "Strength of pirate-1" }).fill("0.5");
  await expect(part.getByRole("button", { name: "Merge into a model" }), "what is merged is what is asked").toBeDisabled();
  await part.getByRole("button", { name: "Put on the base" }).click();
  await part.getByRole("button", { name: "Take off" }).click();
  await expect(log).not.toContainText("Adapted");
  await part.getByRole("button", { name: "Put on the base" }).click();
  await part.getByRole("button", { name: "Merge into a model" }).click();
  await expect(page.locator(".notice", { hasText: "Your model is ready:" })).toContainText("merged-1");
});

test("an adapter that came back is trained further on its own base only, and the way there is said", async ({ page }) => {
  const file = (name: string) => ({ name, mimeType: "application/json", buffer: Buffer.from("{}") });
  const give = (name: string) => page.locator("input[type=file]:not([webkitdirectory])").last().setInputFiles([file(name)]);
  await page.goto("./#/base");
  await give("config.json");
  await title(page, "Check the base");
  await step(page, "Use");
  await give("adapter_config.json");
  // On the folder that is open, which nobody but a person can open.
  await page.getByRole("button", { name: "Train it further" }).click();
  await title(page, "Give it examples");
  await step(page, "Method");
  await expect(page.getByRole("radio", { name: /LoRA/ })).toBeChecked();

  await step(page, "Base");
  await page.getByRole("button", { name: "Use the village model" }).click();
  await title(page, "Check the base");
  await step(page, "Use");
  await page.getByRole("button", { name: /^Train .* further$/ }).first().click();
  await expect(page.getByRole("alert")).toContainText("as the base first: it is not kept in this browser");
});

test("the folder of the last visit is opened again with one click", async ({ page }) => {
  // A folder of the browser's own storage has the same handle as one of the disk, without the browser's windows.
  await page.addInitScript(() => {
    Object.assign(globalThis, {
      showDirectoryPicker: async () => {
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("my-model", { create: true });
        const file = await (await folder.getFileHandle("config.json", { create: true })).createWritable();
        await file.write("{}");
        await file.close();
        return folder;
      },
    });
  });
  await page.goto("./#/base");
  await page.getByRole("button", { name: "Choose a folder …" }).click();
  await title(page, "Check the base");
  await page.waitForTimeout(600); // what changes is written a moment later
  await page.goto("./#/base");
  await page.reload();
  const notice = page.locator(".notice", { hasText: "The base of your last visit was the folder my-model" });
  await notice.getByRole("button", { name: "Open it again" }).click();
  await title(page, "Check the base");
  await expect(page.getByText("Ready.", { exact: true })).toBeVisible();
  // Gone meanwhile: said, and nothing else changes.
  await page.evaluate(async () => (await navigator.storage.getDirectory()).removeEntry("my-model", { recursive: true }));
  await page.goto("./#/base");
  await page.reload();
  await notice.getByRole("button", { name: "Open it again" }).click();
  await expect(page.getByRole("alert")).toContainText("The folder my-model is not where it was. Choose it again below.");
});

test("where nothing can be trained a recorded run is replayed, and is said to be one", async ({ page }) => {
  const own = readFileSync(join(root, "web/public/recorded-run.json"), "utf8");
  await page.route("**/recorded-run.json", (route) => route.fulfill({ body: own, contentType: "application/json" }));
  await page.clock.install();
  await page.goto("./?gpu=none&runs=none");
  await page.getByRole("button", { name: "Replay a recorded run" }).click();
  await title(page, "Train");
  const notice = page.locator(".notice", { hasText: "A recorded run:" });
  await expect(notice).toContainText("Nothing is trained now.");
  const { lines, answers } = (JSON.parse(own) as { log: { lines: { current_steps: number; loss: number }[]; answers: { text: string }[] } }).log;
  await page.clock.runFor(15_000);
  const shown = page.getByLabel("The run in figures");
  await expect(shown.getByText("recorded", { exact: true }).first()).toBeVisible();
  await expect(page.getByRole("navigation", { name: "Steps" })).toContainText(/Recorded\. Step \d+ of/);
  await notice.getByRole("button", { name: "To its end" }).click();
  await page.clock.runFor(1_000);
  const last = lines.at(-1);
  await expect(page.getByRole("navigation", { name: "Steps" })).toContainText(`Recorded. Step ${last?.current_steps} of`);
  await expect(shown).toContainText(last?.loss.toFixed(4) ?? "?");
  await expect(page.getByRole("region", { name: "What it says while it learns" })).toContainText(answers.at(-1)?.text ?? "?");
  await notice.getByRole("button", { name: "Leave it" }).click();
  await expect(shown).toBeHidden();
});

test("a stored run is taken as a recording; what is no recording is said", async ({ page }) => {
  await openVillage(page);
  await page.getByRole("link", { name: "Compare runs" }).click();
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Take the recording of village-1" }).click();
  const file = await download;
  expect(file.suggestedFilename()).toBe("village-1.recording.json");
  const picker = page.getByLabel("A recording", { exact: true });
  await picker.setInputFiles({ name: "notes.json", mimeType: "application/json", buffer: Buffer.from('{"format": "rootstock-recording", "version": 1}') });
  await expect(page.getByRole("alert")).toHaveText(/notes\.json: this recording holds no step/);
  await picker.setInputFiles({ name: "cat.json", mimeType: "application/json", buffer: Buffer.from("meow") });
  await expect(page.getByRole("alert")).toHaveText(/cat\.json: this is neither a recording/);
  // The program's own log.
  const line = (at: number) => JSON.stringify({ current_steps: at, total_steps: 2, loss: 2 / at, grad_norm: 1, lr: 0.001, epoch: 1, percentage: 50, tokens_per_second: 9 });
  await picker.setInputFiles({ name: "trainer_log.jsonl", mimeType: "application/jsonl", buffer: Buffer.from(`${line(1)}\n${line(2)}\n`) });
  await page.getByRole("button", { name: "To its end" }).click();
  await expect(page.getByLabel("The run in figures")).toContainText("1.0000");
  await page.getByRole("link", { name: "Compare runs" }).click();
  await picker.setInputFiles(await file.path());
  await expect(page.locator(".notice", { hasText: "A recorded run: village-1" })).toBeVisible();
});
