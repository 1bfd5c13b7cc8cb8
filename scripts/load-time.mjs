// How soon the page is usable: seconds from the address to the first button that can be pressed, in a fresh browser on loopback.
// `npm run build:web` comes first.
import { chromium } from "@playwright/test";
import { findChromium } from "./lib/host.mjs";
import { serve } from "./lib/serve.mjs";

const RUNS = 5;

const server = await serve([["/", "web/dist"]]);
const browser = await chromium.launch({
  executablePath: findChromium() ?? "",
  args: ["--no-sandbox", "--enable-unsafe-webgpu", "--disable-background-networking"],
});
const times = [];
for (let run = 0; run < RUNS; run++) {
  const context = await browser.newContext(); // nothing is cached
  const page = await context.newPage();
  const started = performance.now();
  await page.goto(server.origin);
  await page.getByRole("button", { name: "See it learn", disabled: false }).waitFor();
  times.push((performance.now() - started) / 1000);
  await context.close();
}
await browser.close();
server.close();
times.sort((a, b) => a - b);
console.log(`usable after ${times.map((seconds) => seconds.toFixed(2)).join(", ")} s`);
