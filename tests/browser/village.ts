// The first steps of a person with the village model, for the tests that go on from there.
import type { Page } from "@playwright/test";
import { expect, test as harness } from "./harness.js";

/** Nothing may be asked of another host, and nothing may break on the way. */
export const test = harness.extend<{ watched: void }>({
  watched: [
    async ({ page, origin }, use) => {
      const faults: string[] = [];
      page.on("request", (request) => {
        if (!request.url().startsWith(origin) && !request.url().startsWith("blob:")) faults.push(`asks for ${request.url()}`);
      });
      page.on("pageerror", (error) => faults.push(String(error)));
      page.on("console", (message) => {
        if (/Content.Security.Policy|panicked/.test(message.text())) faults.push(message.text());
      });
      await use();
      expect(faults).toEqual([]);
    },
    { auto: true },
  ],
});

export const patient = { timeout: 120_000 }; // SwiftShader, on cores that others use too
export const next = (page: Page, step: string) => page.getByRole("link", { name: `Next: ${step}` }).click();

export async function openVillage(page: Page): Promise<void> {
  await page.goto("/page/#/base");
  await page.getByRole("button", { name: "Use the village model" }).click();
  await expect(page.getByText("Ready.", { exact: true })).toBeVisible(patient);
}

/** From Data or Method: so many steps, a snapshot every so many, and no questions unless `ask`. */
export async function train(page: Page, { steps, snapshot, ask = 0 }: { steps: number; snapshot: number; ask?: number }): Promise<void> {
  await page.getByText("More settings").click();
  await page.getByRole("textbox", { name: "Steps" }).fill(String(steps));
  await page.getByLabel("Snapshot every").fill(String(snapshot));
  await page.getByLabel("Evaluate", { exact: true }).selectOption("no");
  await expect(page.getByText("It fits.")).toBeVisible(patient);
  await expect(page.locator("dt:text-is('Steps') + dd")).toHaveText(String(steps), patient);
  await next(page, "Train");
  await page.getByText("Ask it while it learns").click();
  await page.getByLabel("Every").fill(String(ask));
  await page.getByRole("button", { name: /^Start/ }).click();
}
