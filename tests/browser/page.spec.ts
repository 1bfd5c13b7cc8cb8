// What a person sees, with a worker by script: the way through the steps, faults, keyboard, accessibility. The same way with the
// real worker is in journey.spec.ts.
import { AxeBuilder } from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";
import { openVillage, step, test, title } from "./ui/test.js";
import { wellMade } from "./well-made.js";
import { CATEGORIES, mainThreadTasks } from "./trace.js";

/** Goes through all steps; `at` is called on each. */
async function allSteps(page: Page, at: (name: string) => Promise<void>): Promise<void> {
  await page.goto("./");
  await expect(page.getByRole("button", { name: "See it learn" })).toBeEnabled();
  await at("home");
  await page.getByRole("link", { name: "Choose a base" }).click();
  await expect(page.getByRole("table")).toBeVisible();
  await at("base");
  await page.getByRole("button", { name: "Use the village model" }).click();
  await expect(page.getByText("Ready.", { exact: true })).toBeVisible();
  await at("check");
  await page.getByRole("link", { name: "Next: Data" }).click();
  await expect(page.getByText("Sample 1 ")).toBeVisible();
  await at("data");
  await page.getByRole("link", { name: "Next: Method" }).click();
  await page.getByRole("radio", { name: /LoRA/ }).check();
  await expect(page.getByText("42,240", { exact: true })).toBeVisible();
  await at("method");
  await page.getByRole("link", { name: "Next: Train" }).click();
  await page.getByRole("button", { name: "Start training" }).click();
  await expect(page.getByRole("link", { name: "Next: Use" })).toBeVisible();
  await at("train");
  await page.getByRole("link", { name: "Next: Use" }).click();
  await page.getByLabel("Question", { exact: true }).fill("Who lives in the red house?");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("log")).toContainText("Anna lives in the red house. (1)");
  await page.getByRole("button", { name: "Show the loss per token" }).click();
  await page.getByRole("button", { name: "Compute ΔW" }).click();
  await expect(page.getByText("Singular values of ΔW")).toBeVisible();
  await at("use");
  await page.getByRole("link", { name: "Compare runs" }).click();
  await expect(page.getByRole("img", { name: /Training loss of the chosen runs/ })).toBeVisible();
  await at("runs");
}

test("what stands below the steps stays below them when the page is scrolled", async ({ page }) => {
  await page.setViewportSize({ width: 1280, height: 560 });
  await page.goto("./#/learn/method");
  const rail = page.getByRole("navigation").filter({ has: page.getByRole("link", { name: "All lessons" }) });
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("All parameters or LoRA?");
  await page.locator("main").evaluate((main) => (main.style.minBlockSize = "2000px")); // longer than the rail
  await page.evaluate(() => {
    scrollTo(0, 600);
  });
  const last = await rail.getByRole("listitem").last().boundingBox();
  const below = await rail.getByRole("link", { name: "All lessons" }).boundingBox();
  expect(below?.y).toBeGreaterThanOrEqual((last?.y ?? Infinity) + (last?.height ?? 0));
});

test("every step is accessible in every scheme and at every width", async ({ page }) => {
  test.setTimeout(180_000);
  await page.emulateMedia({ reducedMotion: "reduce" }); // colours that are still fading have too little contrast
  await allSteps(page, async (name) => {
    await wellMade(page, name);
  });
});

test("the keyboard is enough, and the focus follows", async ({ page }) => {
  await page.goto("./?runs=none#/base");
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "To the step" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("main")).toBeFocused();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("button", { name: "Use the village model" })).toBeFocused();
  await page.keyboard.press("Enter");
  await title(page, "Check the base");
  await expect(page.getByRole("main")).toBeFocused();
  await page.goBack();
  await title(page, "Choose a base");
});

test("a broken base is said, repaired, and then leads on", async ({ page }) => {
  await openVillage(page, "?base=broken");
  await expect(page.getByText("Not ready, but it can be repaired.")).toBeVisible();
  await expect(page.getByText("Training needs a base that is ready.")).toBeVisible();
  await step(page, "Train");
  await expect(page.getByText("There is no base that is ready yet.")).toBeVisible();
  await step(page, "Check");
  // One copy repairs all that can be repaired, and one button says so.
  await expect(page.getByRole("button", { name: /[Rr]epair/ })).toHaveCount(1);
  await page.getByRole("button", { name: "Make a repaired copy: all 2 findings" }).click();
  await expect(page.getByText("Ready.", { exact: true })).toBeVisible();
  await expect(page.getByText("tie_word_embeddings is true now")).toBeVisible();
});

test("wrong inputs are said where they are", async ({ page }) => {
  await page.goto("./#/base");
  const files = page.locator("input[type=file]:not([webkitdirectory])");
  await files.setInputFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("hello") });
  await expect(page.getByRole("alert")).toHaveText(/There is no config\.json/);
  await page.getByRole("button", { name: "Close" }).click();
  await expect(page.getByRole("alert")).toBeHidden();

  await page.getByRole("button", { name: "Use the village model" }).click();
  await step(page, "Data");
  await page.getByText("Paste", { exact: true }).click();
  await page.getByLabel("Records").fill("{broken");
  await expect(page.getByRole("alert")).toHaveText(/line 1: this is not JSON/);
  await expect(page.getByText("The data cannot be read: the red notice above says where.")).toBeInViewport();

  await step(page, "Method");
  const rate = page.getByLabel("Learning rate");
  await rate.fill("fast");
  await expect(rate).toHaveAccessibleDescription(/This is not a number/);
  await rate.fill("-1");
  await expect(rate).toHaveAccessibleDescription(/At least 0/);
  await rate.fill("2e-4");
  await expect(rate).not.toHaveAttribute("aria-invalid", "true");
});

test("pairs of answers are learnt as such, and the run shows how well they are told apart", async ({ page }) => {
  await openVillage(page, "?steps=30");
  await step(page, "Data");
  await page.getByText("Paste", { exact: true }).click();
  await page.getByLabel("Records").fill("instruction,chosen,rejected\nWhere?,Here.,No.");
  await expect(page.getByLabel("What is learnt")).toHaveValue("dpo");
  await expect(page.getByText("The rejected answer").first()).toBeVisible();
  await expect(page.getByLabel("Last answer only")).toHaveCount(0);
  await step(page, "Method");
  await expect(page.getByLabel("Learning rate")).toHaveValue("0.0001");
  await page.getByRole("link", { name: "Next: Train" }).click();
  await page.getByRole("button", { name: "Start training" }).click();
  await expect(page.getByRole("link", { name: "Next: Use" })).toBeVisible();
  await expect(page.getByLabel("The answers", { exact: true })).toContainText("Told apart100");
  await expect(page.getByText("Reward: what an answer gained over what the model was")).toBeVisible();
  // Other data is learnt from as before.
  await step(page, "Data");
  await page.getByLabel("Records").fill("instruction,output\nWhere?,Here.");
  await expect(page.getByLabel("What is learnt")).toHaveValue("sft");
});

test("a number that is not valid stays as it was typed, and nothing starts before it is corrected", async ({ page }) => {
  await openVillage(page);
  await step(page, "Method");
  await page.getByLabel("Learning rate").fill("fast");
  await expect(page.getByRole("button", { name: "Next: Train" })).toBeDisabled();
  await expect(page.getByText("“Learning rate” in Method is not a valid number")).toBeVisible();
  await step(page, "Train");
  await expect(page.getByRole("button", { name: "Start training" })).toBeDisabled();
  await step(page, "Method");
  await expect(page.getByLabel("Learning rate")).toHaveValue("fast");
  await page.getByRole("radio", { name: /LoRA/ }).check();
  await page.getByLabel("Rank", { exact: true }).fill("0");
  await page.getByLabel("Learning rate").fill("2e-4");
  await expect(page.getByText("“Rank” in Method is not a valid number")).toBeVisible();
  // The rank has no say when all parameters are trained.
  await page.getByRole("radio", { name: /All parameters/ }).check();
  await page.getByRole("link", { name: "Next: Train" }).click();
  await expect(page.getByRole("button", { name: "Start training" })).toBeEnabled();
});

test("one long sample is one sample, and wraps", async ({ page }) => {
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: 800 });
    await openVillage(page, "?data=long");
    await page.getByRole("link", { name: "Next: Data" }).click();
    await expect(page.getByText("token127")).toBeVisible();
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(overflow, "no wider than the window").toBeLessThanOrEqual(0);
    await expect(page.getByText("village questions: 1 sample", { exact: true })).toHaveCount(1);
  }
});

test("what a stranger's file says acts on nothing", async ({ page }) => {
  await openVillage(page, "?base=evil");
  await expect(page.getByText("llama\\u{1b}[2J\\u{202e}", { exact: true })).toBeVisible();
});

test("a run of another tab is shown as going on and cannot be touched", async ({ page }) => {
  await page.goto("./?runs=live#/base");
  await expect(page.getByText("A run goes on in another tab of this browser.")).toBeVisible();
  const row = page.getByRole("row", { name: /live-1/ });
  await expect(row.getByText("goes on")).toBeVisible();
  await expect(row.getByRole("button")).toHaveCount(0);
  await step(page, "Train");
  await expect(page.getByText("Interrupted runs")).toBeHidden();
});

test("the browser asks before a run is left", async ({ page }) => {
  await openVillage(page, "?hold=compiling");
  await step(page, "Train");
  await page.getByRole("button", { name: "Start training" }).click();
  await expect(page.getByText("12 of 48 kernels")).toBeVisible();
  const asked = page.waitForEvent("dialog");
  await page.close({ runBeforeUnload: true });
  const dialog = await asked;
  expect(dialog.type()).toBe("beforeunload");
  await dialog.accept();
});

test("what does not fit is said before the start, with what helps", async ({ page }) => {
  await openVillage(page, "?fits=no");
  await step(page, "Method");
  await expect(page.getByRole("alert")).toHaveText(/It needs 46.0 MB/);
  await step(page, "Train");
  await expect(page.getByRole("button", { name: "Start training" })).toBeDisabled();
  await step(page, "Method");
  await page.getByRole("button", { name: /Apply: Compute activations again/ }).click();
  await expect(page.getByText("It fits.")).toBeVisible();
  await expect(page.getByLabel("Save memory")).toBeChecked();
});

test("activations in 16 bits are a setting, and the plan shows what they save", async ({ page }) => {
  await openVillage(page);
  await step(page, "Method");
  const memory = page.getByRole("heading", { level: 3, name: /^Memory/ });
  await expect(memory).toContainText("46.0 MB");
  await page.getByLabel("Activations in 16 bits").check();
  await expect(memory).toContainText("32.0 MB");
  await page.waitForTimeout(1000); // the visit is kept when nothing has changed for a while
  await page.reload();
  await step(page, "Method");
  await expect(page.getByLabel("Activations in 16 bits")).toBeChecked();
  await page.getByLabel("Activations in 16 bits").uncheck();
  await expect(memory).toContainText("46.0 MB");
});

test("a run is paused, goes on and is stopped; a full run becomes the base for LoRA", async ({ page }) => {
  await openVillage(page, "?steps=5000&wait=20");
  await step(page, "Train");
  await page.getByRole("button", { name: "Start training" }).click();
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByRole("button", { name: "Go on" })).toBeVisible();
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("button", { name: "Stop and keep" }).click();
  await page.getByRole("link", { name: "Next: Use" }).click();
  await page.getByRole("button", { name: "Use as the base for LoRA", exact: true }).click();
  await title(page, "Give it examples");
  await step(page, "Method");
  await expect(page.getByRole("radio", { name: /LoRA/ })).toBeChecked();
  await expect(page.getByLabel("Learning rate")).toHaveValue("0.005");
});

test("thousands of points: no task of the page takes over 50 ms", async ({ page, browser }) => {
  await openVillage(page, "?steps=8000&wait=4");
  await step(page, "Train");
  await browser.startTracing(page, { categories: CATEGORIES });
  await page.getByRole("button", { name: "Start training" }).click();
  await expect(page.getByRole("link", { name: "Next: Use" })).toBeVisible({ timeout: 60_000 });
  const tasks = mainThreadTasks(await browser.stopTracing());
  tasks.sort((a, b) => b - a);
  console.log(`  ${tasks.length} tasks, the longest ${tasks.slice(0, 5).map((ms) => ms.toFixed(0)).join(", ")} ms`);
  expect(tasks.length, "the page was watched").toBeGreaterThan(500);
  expect(tasks.filter((ms) => ms > 50)).toEqual([]);
});

test("the speed of the device is measured when asked for, and copied as text", async ({ page, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.goto("./");
  await page.getByRole("button", { name: "Speed", exact: true }).click();
  const window = page.getByRole("dialog", { name: "Speed of this device" });
  await window.getByRole("button", { name: "Measure the village model" }).click();
  await expect(window.getByRole("row", { name: "All parameters, 32 × 64 tokens a step 5,141 21.0 %" })).toBeVisible();
  await expect(window.getByRole("row", { name: /linear_forward subgroup.f32 2048 × 384 × 128/ })).toBeVisible();
  const { violations } = await new AxeBuilder({ page }).include("dialog").analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
  await window.getByRole("button", { name: "Copy as text" }).click();
  await expect(window.getByText("Copied")).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toContain("5141 tokens/s");
  await window.getByRole("button", { name: "Close" }).click();
  await expect(window).toBeHidden();
});

test("without WebGPU models are still checked", async ({ page }) => {
  await page.goto("./?gpu=none#/base");
  await expect(page.getByText(/, so nothing can be trained here\. Checking and repairing models/)).toBeVisible();
  await page.getByRole("button", { name: "Use the village model" }).click();
  await expect(page.getByText("Ready.", { exact: true })).toBeVisible();
});

test("a stored run is deleted only when asked twice", async ({ page }) => {
  await page.goto("./#/base");
  await page.getByRole("button", { name: "Delete pirate-1", exact: true }).click();
  await page.getByRole("button", { name: "Keep", exact: true }).click();
  await expect(page.getByRole("rowheader", { name: /pirate-1/ })).toBeVisible();
  await page.getByRole("button", { name: "Delete pirate-1", exact: true }).click();
  await page.getByRole("button", { name: "Really delete pirate-1" }).click();
  await expect(page.getByRole("rowheader", { name: /pirate-1/ })).toBeHidden();
});

test("the list of parts of the last step names what is there, in its order", async ({ page }) => {
  for (const query of ["?runs=none", ""]) {
    await openVillage(page, query);
    await step(page, "Use");
    const parts = page.getByRole("navigation", { name: "On this step" }).getByRole("link");
    await expect(parts.first()).toBeVisible();
    await expect(page.getByRole("main").getByRole("heading", { level: 2 })).toHaveText(await parts.allInnerTexts());
  }
});
