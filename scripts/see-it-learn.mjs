// How soon "See it learn" shows something: seconds from the click to what a person sees, in a fresh browser on loopback. `npm run
// build:web` comes first. What the model said stands below the times.
import { chromium } from "@playwright/test";
import { findChromium } from "./lib/host.mjs";
import { serve } from "./lib/serve.mjs";

const server = await serve([["/", "web/dist"]]);
const browser = await chromium.launch({
  executablePath: findChromium() ?? "",
  args: ["--no-sandbox", "--enable-unsafe-webgpu", "--disable-background-networking"],
});
const page = await browser.newPage();
await page.goto(server.origin);
const button = page.getByRole("button", { name: "See it learn" });
await button.and(page.locator(":enabled")).waitFor();

/** What the page said at a step, as it stands there now. */
const said = () => page.locator(".prompt").allInnerTexts();
/** @type {[string, () => Promise<unknown>][]} */
const seen = [
  ["the page says what it does", () => page.locator(".progress").first().waitFor()],
  ["the first words of an answer", () => page.locator(".prompt dd:not(.soft)", { hasText: /\w/ }).first().waitFor()],
  ["the first step", () => page.getByText(/^Step\s*1 of/).or(page.getByText(/Step \d+ of \d+/)).first().waitFor()],
  ["answers after ten steps", () => page.getByText("After step 10", { exact: true }).first().waitFor()],
  ["answers after thirty steps", () => page.getByText("After step 30", { exact: true }).first().waitFor()],
  ["the end of the run", () => page.getByText("Your model is ready:").waitFor()],
];
page.setDefaultTimeout(900_000);
const begun = performance.now();
await button.click();
for (const [what, wait] of seen) {
  await wait();
  console.log(`${((performance.now() - begun) / 1000).toFixed(1).padStart(7)} s  ${what}`);
}
console.log((await said()).join("\n\n"));
await browser.close();
server.close();
