// What the tests with the scripted worker stand on.
import { expect, test as base, type Page } from "@playwright/test";
import { serveScripted } from "./serve.js";

export { expect };

export const test = base.extend<{ errors: string[] }, { origin: string }>({
  origin: [
    async ({}, use) => {
      const server = await serveScripted();
      await use(server.origin);
      await server.close();
    },
    { scope: "worker" },
  ],
  baseURL: async ({ origin }, use) => use(origin),
  errors: [
    async ({ page }, use) => {
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(String(error)));
      await use(errors);
      expect(errors).toEqual([]);
    },
    { auto: true },
  ],
});

export const step = (page: Page, name: string) => page.getByRole("navigation", { name: "Steps" }).getByRole("link", { name: new RegExp(`^${name}\\b`) }).click();
export const title = (page: Page, name: string) => expect(page.getByRole("heading", { level: 1, name })).toBeVisible();

export async function openVillage(page: Page, query = ""): Promise<void> {
  await page.goto(`./${query}#/base`);
  await page.getByRole("button", { name: "Use the village model" }).click();
  await title(page, "Check the base");
}
