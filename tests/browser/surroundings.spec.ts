// What the browser does around a run: it lets the screen sleep, slows a hidden tab, refuses to store, shows the page inside another
// site's page, or at an address that is not secure. All but the last two with a worker by script.
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { root } from "../../scripts/lib/host.mjs";
import { serve } from "../../scripts/lib/serve.mjs";
import { expect, openVillage, step, test, title } from "./ui/test.js";

/** Puts browser interfaces under the test's command: the wake lock, and whether the tab is hidden. */
async function command(page: Page, { refuses = false } = {}): Promise<void> {
  await page.addInitScript(
    ({ refuses }) => {
      const locks: EventTarget[] = [];
      const now = { hidden: false, asked: 0, held: 0 };
      const request = (kind: string) => {
        now.asked += 1;
        if (refuses || now.hidden) return Promise.reject(new DOMException("not now", "NotAllowedError"));
        const lock = Object.assign(new EventTarget(), { type: kind, release });
        locks.push(lock);
        now.held += 1;
        return Promise.resolve(lock);
        function release(): Promise<void> {
          const at = locks.indexOf(lock);
          if (at >= 0) {
            locks.splice(at, 1);
            now.held -= 1;
            lock.dispatchEvent(new Event("release"));
          }
          return Promise.resolve();
        }
      };
      Object.defineProperty(navigator, "wakeLock", { value: { request } });
      Object.defineProperty(document, "hidden", { get: () => now.hidden });
      const hide = (hidden: boolean) => {
        now.hidden = hidden;
        // As browsers do: what is hidden keeps no screen awake.
        if (hidden) for (const lock of [...locks]) void (lock as unknown as WakeLockSentinel).release();
        document.dispatchEvent(new Event("visibilitychange"));
      };
      Object.assign(globalThis, { surroundings: { now, hide } });
    },
    { refuses },
  );
}

declare global {
  var surroundings: { now: { asked: number; held: number }; hide: (hidden: boolean) => void };
}

const held = (page: Page) => page.evaluate(() => surroundings.now.held);
const hide = (page: Page, hidden: boolean) => page.evaluate((hidden) => surroundings.hide(hidden), hidden);

async function start(page: Page, query: string): Promise<void> {
  await openVillage(page, query);
  await step(page, "Train");
  await page.getByRole("button", { name: /^Start/ }).click();
}

/** Waits until the run has done so many more steps. */
async function onward(page: Page, steps: number): Promise<void> {
  const at = () => page.evaluate(() => Number(/Step ([\d,]+) of/.exec(document.body.innerText)?.[1]?.replace(",", "") ?? 0));
  const from = await at();
  await expect.poll(at).toBeGreaterThan(from + steps);
}

test("the screen stays awake while a run goes on, also after the tab was hidden, and no longer", async ({ page }) => {
  await command(page);
  await start(page, "?steps=4000&wait=20");
  await expect.poll(() => held(page)).toBe(1);
  await hide(page, true);
  await expect.poll(() => held(page)).toBe(0);
  await hide(page, false);
  await expect.poll(() => held(page)).toBe(1);
  await page.getByRole("button", { name: "Stop and keep" }).click();
  await expect.poll(() => held(page)).toBe(0);
});

test("a browser that lets the screen sleep, as with a low battery, does not stop the run", async ({ page }) => {
  await command(page, { refuses: true });
  await start(page, "");
  await expect(page.getByText("Done. Step 60 of 60")).toBeVisible();
  expect(await page.evaluate(() => surroundings.now)).toMatchObject({ held: 0 });
  expect(await page.evaluate(() => surroundings.now.asked)).toBeGreaterThan(0);
  await expect(page.getByRole("alert")).toBeHidden();
});

test("a run that the browser slowed while its tab was hidden is told of, another is not", async ({ page }) => {
  await command(page);
  const told = page.getByText(/While this tab was hidden the browser slowed the run to (3[5-9]|4[0-5]) %/).first();
  for (const slowed of [false, true]) {
    await start(page, `?steps=4000&wait=20${slowed ? "&slowed=hidden" : ""}`);
    await onward(page, 10);
    await hide(page, true);
    await onward(page, 10);
    await hide(page, false);
    if (slowed) await expect(told).toBeVisible();
    else await expect(told).toBeHidden();
    await page.getByRole("button", { name: "Stop and keep" }).click();
    await expect(page.getByRole("button", { name: "Start another run" })).toBeVisible();
  }
});

test("a browser that stores nothing is told of where the runs are listed", async ({ page }) => {
  await page.goto("./?storage=refused#/base");
  await title(page, "Choose a base");
  await expect(page.getByText("This browser stores nothing for this page")).toBeVisible();
  await expect(page.getByText("ends with the tab: take it home first")).toBeVisible();
  await expect(page.getByText("the browser refuses its private storage")).toBeVisible();
});

test("inside another site's page the built page opens a model and finds its device, and says that nothing is stored there", async ({ page }) => {
  const built = await serve([["/some/path/", "web/dist"]]);
  const outside = await serve([["/", "tests/browser/page"]]);
  // Another site than the page's: localhost and 127.0.0.1 are both secure.
  await page.goto(outside.origin.replace("127.0.0.1", "localhost"));
  await page.setContent(`<iframe width="1000" height="900" src="${built.origin}/some/path/#/base"></iframe>`);
  const frame = page.frameLocator("iframe");
  await frame.getByRole("button", { name: "Use the village model" }).click();
  await expect(frame.getByText("Ready.", { exact: true })).toBeVisible({ timeout: 120_000 });
  const inside = page.frames().find((frame) => frame.url().startsWith(built.origin));
  expect(await inside?.evaluate(async () => (await rootstock.call({ kind: "device" }))?.name)).toBeTruthy();
  // Chromium refuses storage to frames of other sites in windows as these tests open them.
  await frame.getByRole("link", { name: /^Base/ }).click();
  await expect(frame.getByText("This browser stores nothing for this page")).toBeVisible();
  await expect(frame.getByText(/a frame of another site/)).toBeVisible();
  built.close();
  outside.close();
});

test("at an address that is not secure the built page says so, and models are checked, repaired and shown as tokens all the same", async ({ page }) => {
  // To browsers plain http on another host is not secure. This host is nowhere: what is asked of it comes from the build.
  await page.route("http://school.example/**", (route) => route.fulfill({ path: join(root, "web/dist", new URL(route.request().url()).pathname) }));
  await page.goto("http://school.example/index.html");
  await expect(page.getByText("The address http://school.example is not secure")).toBeVisible({ timeout: 60_000 });
  expect(await page.evaluate(() => isSecureContext)).toBe(false);
  await page.getByRole("link", { name: "Choose a base" }).click();
  await page.locator("input[webkitdirectory]").setInputFiles(join(root, "tests/fixtures/validate/broken/12-no-architectures"));
  await page.getByRole("button", { name: /Make a repaired copy/ }).click({ timeout: 60_000 });
  await expect(page.getByText("Ready.", { exact: true })).toBeVisible({ timeout: 60_000 });
  await page.getByRole("link", { name: /^Base/ }).click();
  await expect(page.getByText("This browser stores nothing for this page")).toBeVisible();
  await page.getByRole("button", { name: "Use the village model" }).click();
  await expect(page.getByText("Ready.", { exact: true })).toBeVisible({ timeout: 60_000 });
  await page.getByRole("link", { name: "Next: Data" }).click();
  await expect(page.getByText("812", { exact: true }).first()).toBeVisible({ timeout: 60_000 });
  await expect(page.getByRole("alert")).toHaveCount(0);
});
