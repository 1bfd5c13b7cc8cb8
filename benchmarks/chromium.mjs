// Rootstock's page side, measured in Chromium: the npm package over a page that a local server serves.
import { chromium } from "@playwright/test";
import { findChromium } from "../scripts/lib/host.mjs";
import { serve } from "../scripts/lib/serve.mjs";

/** @typedef {{ model: string, method: string, tokens_per_second: number, utilisation: number }} Step */
/** @typedef {{ device: string, peak_flops: number, kernels: { name: string, shape: string, fraction_of_peak: number }[], steps: Step[] }} Speed */
/** @typedef {{ Rootstock: new () => { call: (request: object) => Promise<Speed>, close: () => void } }} Package */

/**
 * Opens a page of this folder beside the package (`node scripts/package.mjs build` makes it).
 *
 * @param {string} folder relative to the repository, with an index.html
 */
export async function open(folder) {
  const server = await serve([
    ["/rootstock/", "web/package/dist"],
    ["/", folder],
  ]);
  const browser = await chromium.launch({
    executablePath: findChromium() ?? "",
    args: ["--no-sandbox", "--enable-unsafe-webgpu", "--disable-background-networking"],
  });
  const page = await browser.newPage();
  page.setDefaultTimeout(1_800_000);
  await page.goto(server.origin);
  /** What the page's "Speed" view measures. @param {string} model */
  const speed = (model) =>
    page.evaluate(async (model) => {
      const path = "/rootstock/index.js";
      const { Rootstock } = /** @type {Package} */ (await import(path));
      const session = new Rootstock();
      try {
        return await session.call({ kind: "speed", model });
      } finally {
        session.close();
      }
    }, model);
  const close = async () => {
    await browser.close();
    server.close();
  };
  return { page, speed, close, version: browser.version() };
}
