// The pictures of the page in docs/images, and the recorded run that comes with it (web/public/recorded-run.json): all of one real run of "See it learn" in a
// fresh browser. `npm run build:web` comes first. `node scripts/images.mjs`
import { chromium } from "@playwright/test";
import { join } from "node:path";
import { findChromium, root } from "./lib/host.mjs";
import { serve } from "./lib/serve.mjs";

const server = await serve([["/", "web/dist"]]);
const browser = await chromium.launch({
  executablePath: findChromium() ?? "",
  args: ["--no-sandbox", "--enable-unsafe-webgpu", "--disable-background-networking"],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 1800 }, reducedMotion: "reduce" });
page.setDefaultTimeout(1_800_000);
const AROUND = 16;
/** A part of the page with some of what is around it, without a pointer or a cursor in it. @type {(name: string, part: import("@playwright/test").Locator) => Promise<void>} */
const picture = async (name, part) => {
  await page.mouse.move(0, 0);
  await page.evaluate(() => document.activeElement instanceof HTMLElement && document.activeElement.blur());
  const box = await part.boundingBox();
  if (!box) throw new Error(`${name}: there is nothing to take a picture of`);
  const clip = { x: box.x - AROUND, y: box.y, width: box.width + 2 * AROUND, height: box.height + AROUND };
  await page.screenshot({ path: join(root, "docs/images", name), clip });
};

await page.goto(server.origin);
await page.getByRole("button", { name: "See it learn" }).and(page.locator(":enabled")).click();
await page.getByText("Your model is ready:").waitFor();
await page.getByLabel("The run in figures").waitFor();
// As a window shows it that is as high as the run's figures, with the foot where it stays: in a picture of the whole element it would lie across the curves.
const run = page.getByLabel("The run in figures");
const heights = await Promise.all([run, page.locator(".onward")].map(async (part) => (await part.boundingBox())?.height ?? 0));
await page.setViewportSize({ width: 1280, height: Math.ceil(heights.reduce((sum, height) => sum + height, AROUND)) });
await run.evaluate((figures) => figures.scrollIntoView({ block: "start" }));
await page.mouse.move(0, 0);
await page.screenshot({ path: join(root, "docs/images/page_train.png") });
await page.setViewportSize({ width: 1280, height: 1800 });

await page.getByRole("link", { name: "Next: Use" }).click();
for (const question of ["What does the hen say?", "Where does Hugo work?"]) {
  await page.getByLabel("Question", { exact: true }).fill(question);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Ask", exact: true }).waitFor();
}
await picture("page_use.png", page.getByRole("region", { name: "Talk to it" }));

await page.goto(`${server.origin}/#/runs`);
const download = page.waitForEvent("download");
await page.getByRole("button", { name: /^Take the recording of/ }).first().click();
await (await download).saveAs(join(root, "web/public/recorded-run.json"));
await browser.close();
server.close();
