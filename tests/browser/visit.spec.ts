// A visit, with a worker by script: the first screen, answers as they are written, honest comparisons, runs beside each other, and
// what survives a reload or is seen in a second tab.
import { openVillage, expect, step, test, title } from "./ui/test.js";

test("one click shows a model learn: its answers before the first step and after, beside the curve", async ({ page }) => {
  await page.goto("./?runs=none");
  await title(page, "Teach a language model something new");
  await page.getByRole("button", { name: "See it learn" }).click();
  await title(page, "Train");
  const answers = page.getByRole("region", { name: "What it says while it learns" });
  await expect(answers).toContainText("Where is Emma at work?");
  await expect(answers).toContainText("Before the first step");
  await expect(answers).toContainText("After step 60");
  await expect(answers).toContainText("Anna lives in the red house.");
  await expect(answers, "the data's own answer, to compare with").toContainText("Emma works at the studio.");
  await expect(page.locator(".notice", { hasText: "Your model is ready:" })).toContainText("trained on village questions");
  const [curve, said] = await Promise.all([page.getByRole("img", { name: /Loss over the steps/ }).boundingBox(), answers.boundingBox()]);
  expect(said?.x, "beside the curve").toBeGreaterThan((curve?.x ?? 0) + (curve?.width ?? 0) - 1);
  expect(Math.abs((said?.y ?? 0) - (curve?.y ?? 0))).toBeLessThan(60);
});

test("starting is never silent and can be cancelled; an answer is shown as it is written, and skipped", async ({ page }) => {
  await openVillage(page, "?hold=compiling");
  await step(page, "Train");
  await page.getByRole("button", { name: "Start training" }).click();
  await expect(page.getByText("Compiling kernels for this device").first()).toBeVisible();
  await expect(page.getByText("12 of 48 kernels")).toBeVisible();
  await expect(page.getByRole("group", { name: "The run" }), "the focus stays with the run").toBeFocused();
  await page.getByRole("button", { name: "Cancel" }).click();
  await expect(page.getByRole("button", { name: "Start another run" })).toBeVisible();

  await openVillage(page, "?hold=answer");
  await step(page, "Train");
  await page.getByRole("button", { name: /^Start/ }).click();
  const answers = page.getByRole("region", { name: "What it says while it learns" });
  await expect(answers).toContainText("the red house . one day Emma went to the");
  await page.getByRole("button", { name: "Skip these answers" }).click();
  await expect(page.getByText("Done. Step 60 of 60")).toBeVisible();
  await page.getByText("All answers so far").click();
  await expect(page.getByRole("region", { name: "All answers so far" }).getByRole("row")).toHaveCount(5);
});

test("answers are counted in the plan, and their length is a setting", async ({ page }) => {
  await openVillage(page);
  await step(page, "Train");
  await expect(page.getByText("9 answers on the way: about 30 s of it.")).toBeVisible();
  await page.getByText("Ask it while it learns").click();
  await page.getByLabel("Every").fill("0");
  await expect(page.getByText(/answers on the way/)).toBeHidden();
  await page.getByLabel("Longest answer on the way").fill("0");
  await expect(page.getByRole("button", { name: "Start training" })).toBeDisabled();
});

test("a run that is held can be asked as it is now", async ({ page }) => {
  await openVillage(page, "?steps=5000&wait=20");
  await step(page, "Train");
  await page.getByRole("button", { name: "Start training" }).click();
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByRole("button", { name: "Go on" })).toBeVisible();
  await page.getByLabel("Question to the learning model").fill("Who sings?");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("region", { name: "Ask the learning model" })).toContainText("Anna lives in the red house. (1)");
});

test("the whole way with a reload on every step: what was chosen, typed and trained is there again", async ({ page }) => {
  const reload = async () => {
    await page.waitForTimeout(600); // what changes is written a moment later
    await page.reload();
  };
  await openVillage(page);
  await reload();
  await title(page, "Check the base");
  await expect(page.getByText("Ready.", { exact: true })).toBeVisible();

  await step(page, "Data");
  await page.getByText("Write", { exact: true }).click();
  await page.getByLabel("Question", { exact: true }).fill("Who sings?");
  await page.getByLabel("Answer", { exact: true }).fill("Mira does.");
  await reload();
  await expect(page.getByLabel("Question", { exact: true })).toHaveValue("Who sings?");
  await expect(page.getByLabel("Answer", { exact: true })).toHaveValue("Mira does.");

  await page.getByRole("link", { name: "Next: Method" }).click();
  await page.getByLabel("Learning rate").fill("3e-4");
  await reload();
  await expect(page.getByLabel("Learning rate")).toHaveValue("0.0003");

  await page.getByRole("link", { name: "Next: Train" }).click();
  const prompts = page.getByLabel("Prompts, one a line");
  await page.getByText("Ask it while it learns").click();
  await prompts.fill("Who bakes?");
  await reload();
  await page.getByText("Ask it while it learns").click();
  await expect(prompts).toHaveValue("Who bakes?");
  await page.getByRole("button", { name: "Start training" }).click();
  await expect(page.getByText("Done. Step 60 of 60")).toBeVisible();

  // The scripted worker forgets its runs: what it lists after a reload stands for what was stored.
  await reload();
  await expect(page.getByText("village, 1.05 M")).toBeVisible();
  await step(page, "Use");
  await reload();
  await title(page, "Use the result");
  await expect(page.getByLabel("Question", { exact: true })).toBeVisible();
  await page.goto("./#/");
  await expect(page.locator(".notice", { hasText: "Your last visit is as you left it" })).toContainText("village");
});

test("a second tab shows the run live, and neither ends nor resumes it", async ({ page, context }) => {
  await openVillage(page, "?steps=400&wait=60");
  await step(page, "Train");
  await page.getByRole("button", { name: "Start training" }).click();
  await expect(page.getByText(/Step \d+ of 400/).first()).toBeVisible();
  const other = await context.newPage();
  await other.goto("./?runs=live#/train");
  await expect(other.getByText("This run goes on in another tab of this browser and is shown here live.")).toBeVisible();
  await expect(other.getByRole("button", { name: "Pause" })).toBeHidden();
  await expect(other.getByText(/In another tab\. Step [1-9]\d* of 400/)).toBeVisible();
  await expect(other.getByRole("region", { name: "What it says while it learns" })).toContainText("Before the first step");
  await page.getByRole("button", { name: "Stop and keep" }).click();
  await expect(other.getByText(/Stopped\. Step/)).toBeVisible();
});

test("each question stands alone, and answers stay under the models that gave them", async ({ page }) => {
  await openVillage(page);
  await step(page, "Use");
  const ask = async (question: string) => {
    await page.getByLabel("Question", { exact: true }).fill(question);
    await page.keyboard.press("Enter");
    await expect(page.getByRole("button", { name: "Ask" })).toBeVisible();
  };
  const log = page.getByRole("log");
  await ask("Who sings?");
  await page.getByRole("button", { name: "Try village-1" }).click();
  await ask("Who sings?");
  await expect(log).toContainText("Anna lives in the red house. (1)");
  await ask("And who bakes?");
  await expect(log.getByText("Anna lives in the red house. (1)"), "without what was said before").toHaveCount(2);
  await expect(log.getByText("Base: village", { exact: true }), "once alone, once beside the tuned model").toHaveCount(2);
  await expect(log.getByText("Tuned: village-1")).toHaveCount(1);
  await page.getByText("How it answers").click();
  await page.getByLabel("Remember the conversation").check();
  await ask("And who fishes?");
  await expect(log.getByText("Anna lives in the red house. (5)")).toBeVisible();
  const end = await log.evaluate((place) => place.scrollHeight - place.scrollTop - place.clientHeight);
  expect(end, "the chat follows what is written").toBeLessThan(2);
});

test("the loss per token begins with a held-out question and its answer, and is there in numbers", async ({ page }) => {
  await openVillage(page);
  await step(page, "Use");
  await expect(page.getByLabel("Text", { exact: true })).toHaveValue("Where is Emma at work?\nEmma works at the studio.");
  await page.getByRole("button", { name: "Show the loss per token" }).click();
  await page.getByText("In numbers").click();
  await expect(page.getByRole("region", { name: /loss of every token/i }).getByRole("row")).toHaveCount(17);
});

test("runs are compared, named, noted, and lend their settings", async ({ page }) => {
  await page.goto("./#/runs");
  const row = page.getByRole("row", { name: "Show the curve of pirate-1" });
  await expect(row, "training loss and held-out loss apart").toContainText("0.310");
  await expect(row).toContainText("0.412");
  await expect(row).toContainText("learning rate 0.005");
  await row.getByLabel("Show the curve of pirate-1").uncheck();
  await expect(page.locator(".charts .u-legend").first()).not.toContainText("pirate-1");
  await row.getByLabel("Show the curve of pirate-1").check();
  await expect(page.locator(".charts .u-legend").first()).toContainText("pirate-1");
  await page.getByRole("radio", { name: "much" }).check();
  await expect(page.getByText("Training loss, smoothed")).toBeVisible();
  await row.getByRole("button", { name: "Rename pirate-1" }).click();
  await page.getByLabel("New name of pirate-1").fill("a warmer voice");
  await page.keyboard.press("Enter");
  const named = page.getByRole("row", { name: "Show the curve of a warmer voice" });
  await named.getByText("Notes").click();
  await named.getByLabel("Notes on a warmer voice").fill("rate too high?");
  await named.getByRole("button", { name: "Save the notes" }).click();
  await expect(named.getByRole("button", { name: "Save the notes" })).toBeHidden();
  await named.getByRole("button", { name: "Take the settings of a warmer voice" }).click();
  await title(page, "Choose the method");
  await openVillage(page);
  await step(page, "Method");
  await expect(page.getByRole("radio", { name: /LoRA/ })).toBeChecked();
  await expect(page.getByLabel("Learning rate")).toHaveValue("0.005");
});

test("what the data needs is offered, too little is said, and pasted formats are recognised", async ({ page }) => {
  await openVillage(page, "?data=long");
  await step(page, "Data");
  await expect(page.getByText("1 sample is cut; the longest has 300 tokens.")).toBeVisible();
  await expect(page.getByText(/1 sample is little to learn from/)).toBeVisible();
  await page.getByRole("button", { name: "Take 300" }).click();
  await expect(page.getByLabel("Longest sample")).toHaveValue("300");
  await page.getByText("Paste", { exact: true }).click();
  await page.getByLabel("Records").fill("question,answer\nWho sings?,Mira does.");
  await expect(page.getByRole("radio", { name: "CSV" })).toBeChecked();
});

test("the village's examples are offered for the village only", async ({ page }) => {
  await page.goto("./#/base");
  const config = { name: "config.json", mimeType: "application/json", buffer: Buffer.from("{}") };
  await page.locator("input[type=file]:not([webkitdirectory])").setInputFiles([config]);
  await title(page, "Check the base");
  await step(page, "Data");
  await expect(page.getByRole("radio", { name: "Files" })).toBeChecked();
  await expect(page.getByRole("radio", { name: "Examples" })).toHaveCount(0);
});

test("nothing scrolls sideways at 320 pixels, and a wide window has no hole in its figures", async ({ page }) => {
  await openVillage(page);
  for (const width of [320, 1920]) {
    await page.setViewportSize({ width, height: 900 });
    for (const place of ["", "base", "check", "data", "method", "train", "use", "runs"]) {
      await page.goto(`./#/${place}`);
      await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(overflow, `${place || "home"} at ${width}`).toBeLessThanOrEqual(0);
    }
    await page.goto("./#/data");
    const edges = await page.locator(".figures > div").evaluateAll((all) => {
      const rows = new Map<number, number>();
      for (const one of all) {
        const { top, right } = one.getBoundingClientRect();
        rows.set(Math.round(top), Math.max(rows.get(Math.round(top)) ?? 0, Math.round(right)));
      }
      return [...rows.values()];
    });
    expect(Math.max(...edges) - Math.min(...edges), `every row ends at the same edge at ${width}`).toBeLessThanOrEqual(2);
    await expect(page.getByRole("link", { name: "Next: Method" })).toBeInViewport();
  }
});

test("forced colours keep what is chosen and how memory is shared", async ({ page }) => {
  await page.emulateMedia({ forcedColors: "active" });
  await openVillage(page);
  await step(page, "Method");
  await expect(page.getByText("It fits.")).toBeVisible();
  const [chosen, other] = await page.locator(".options label").evaluateAll((all) => all.slice(0, 2).map((one) => getComputedStyle(one).outlineStyle));
  expect(chosen).toBe("solid");
  expect(other).toBe("none");
  const colours = await page.locator(".bar > span").evaluateAll((all) => all.map((one) => getComputedStyle(one).backgroundColor));
  expect(new Set(colours).size, "the parts differ").toBe(colours.length);
});
