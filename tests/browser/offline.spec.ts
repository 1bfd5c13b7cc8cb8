// The page as it is built, without a network after the first visit: the server is gone, and the page opens, checks and shows tokens.
import { expect, test } from "@playwright/test";
import { serve } from "../../scripts/lib/serve.mjs";

test("after the first visit the page opens without its server", async ({ page }) => {
  const server = await serve([["/page/", "web/dist"]]);
  await page.goto(`${server.origin}/page/`);
  await expect(page.getByRole("button", { name: "See it learn" })).toBeVisible();
  const stored = () =>
    page.evaluate(async () => {
      const registration = await navigator.serviceWorker.getRegistration();
      const names = (await (await fetch("./offline.json")).json()) as string[];
      const cache = await caches.open("page");
      return registration?.active?.state === "activated" && (await cache.keys()).length === names.length;
    });
  await expect.poll(stored, { timeout: 60_000, message: "every file of the build is stored" }).toBe(true);
  const icon = await page.evaluate(async () => {
    const manifest = (await (await fetch("./manifest.webmanifest")).json()) as { icons: { src: string }[]; start_url: string };
    const response = await fetch(manifest.icons[0]?.src ?? "");
    return `${response.headers.get("Content-Type")} ${manifest.start_url}`;
  });
  expect(icon, "it can be installed").toBe("image/svg+xml ./");

  server.close();
  await expect(async () => expect(await fetch(server.origin).then(() => "answers", () => "gone")).toBe("gone")).toPass();
  await page.goto(`${server.origin}/page/#/base`);
  await page.reload();
  await page.getByRole("button", { name: "Use the village model" }).click();
  await expect(page.getByText("Ready.", { exact: true })).toBeVisible({ timeout: 60_000 });
  await page.getByRole("link", { name: "Next: Data" }).click();
  await expect(page.getByText("812", { exact: true }).first()).toBeVisible({ timeout: 60_000 });
});
