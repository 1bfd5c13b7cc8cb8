// The whole way through the page as it is built, with the real worker: no task of the page's main thread takes over 50 ms, on any step.
import type { Page } from "@playwright/test";
import { expect } from "./harness.js";
import { CATEGORIES, mainThreadTasks } from "./trace.js";
import { next, openVillage, patient, test, train } from "./village.js";

/** Milliseconds of processor time. A task that takes longer delays what a person presses. */
const MOST = 50;

const STEPS: readonly (readonly [string, (page: Page) => Promise<void>])[] = [
  ["first screen", async (page) => {
    await page.goto("/page/");
    await expect(page.getByRole("button", { name: "See it learn" })).toBeEnabled(patient);
  }],
  ["base and check", openVillage],
  ["data", async (page) => {
    await next(page, "Data");
    await expect(page.getByText("812", { exact: true }).first()).toBeVisible(patient);
  }],
  ["method", async (page) => {
    await next(page, "Method");
    await expect(page.getByText("It fits.")).toBeVisible(patient);
    await expect(page.locator(".ways-of button")).toHaveCount(10, patient);
  }],
  ["train", async (page) => {
    await train(page, { steps: 6, snapshot: 6, ask: 6 });
    await expect(page.getByRole("link", { name: "Next: Use" })).toBeVisible(patient);
  }],
  ["use", async (page) => {
    await next(page, "Use");
    await page.getByLabel("Question", { exact: true }).fill("Where does Anna live?");
    await page.keyboard.press("Enter");
    await expect(page.getByRole("button", { name: "Ask" })).toBeEnabled(patient);
    await page.getByRole("button", { name: "Show the loss per token" }).click();
    await expect(page.getByText(/perplexity/)).toHaveCount(2, patient);
    await page.getByRole("button", { name: "Compute ΔW" }).click();
    await expect(page.getByText("Singular values of ΔW")).toBeVisible(patient);
  }],
  ["compare runs", async (page) => {
    await page.getByRole("link", { name: "Compare runs" }).click();
    await expect(page.getByText("Training loss", { exact: true }).first()).toBeVisible(patient);
  }],
  ["a lesson", async (page) => {
    await page.goto("/page/#/learn/memory");
    await expect(page.getByRole("heading", { level: 1, name: "Where does the memory go?" })).toBeVisible(patient);
    await page.getByRole("radio", { name: "Weights" }).check();
    await page.getByRole("button", { name: "That is my guess" }).click();
    await expect(page.getByRole("row", { name: /^SmolLM2-135M/ }).first()).toBeVisible(patient);
  }],
  ["the other language", async (page) => {
    await page.getByRole("button", { name: "中文" }).click();
    await expect(page.locator("html")).toHaveAttribute("lang", "zh-CN", patient);
  }],
];

test("no task of the page takes over 50 ms on any step", async ({ page, browser }) => {
  test.slow();
  const long: string[] = [];
  for (const [name, go] of STEPS) {
    await browser.startTracing(page, { categories: CATEGORIES });
    await go(page);
    const tasks = mainThreadTasks(await browser.stopTracing()).sort((a, b) => b - a);
    console.log(`  ${name}: ${tasks.length} tasks, the longest ${tasks.slice(0, 3).map((ms) => ms.toFixed(0)).join(", ")} ms`);
    expect(tasks.length, `${name} was watched`).toBeGreaterThan(10);
    long.push(...tasks.filter((ms) => ms > MOST).map((ms) => `${name}: ${ms.toFixed(0)} ms`));
  }
  expect(long).toEqual([]);
});
