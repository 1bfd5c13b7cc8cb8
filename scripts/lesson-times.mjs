// How long each lesson takes with its own settings: from opening its address in a fresh browser to its explanation, with every button pressed at once; what a
// person reads and thinks comes on top. `home` is the first screen: from "See it learn" to answers that have changed. Prints the rows of the table in
// docs/teaching.md, with the load of the machine. `npm run build:web` comes first. `node scripts/lesson-times.mjs [LESSON …]`
import { loadavg, cpus } from "node:os";
import { chromium } from "@playwright/test";
import { findChromium } from "./lib/host.mjs";
import { serve } from "./lib/serve.mjs";

/** @import { Page } from "@playwright/test" */

/** @type {(page: Page, name: string | RegExp) => Promise<void>} */
const press = (page, name) => page.getByRole("button", typeof name === "string" ? { name, exact: true } : { name }).click();

/** What is pressed, and what is waited for. @type {Record<string, (page: Page) => Promise<unknown>>} */
const lessons = {
  learned: async (page) => {
    await press(page, "Train on the answers");
    await page.getByRole("toolbar", { name: /^After/ }).waitFor();
    await press(page, "Train with the wrong mask");
    await page.getByRole("toolbar", { name: /wrong mask/ }).waitFor();
  },
  step: async (page) => {
    for (const part of ["Forward", "Loss", "Gradient", "Update"]) {
      await press(page, part);
      await page.getByRole("heading", { level: 4, name: part }).waitFor();
    }
    for (const rate of ["1e-6", "1e-4", "1e-3", "1e-2", "1e-1", "1", "1e25"]) {
      await press(page, `Train with a rate of ${rate}`);
      await page.getByText(new RegExp(`Rate ${rate}: (\\d+ steps in|step)`)).waitFor();
    }
  },
  method: async (page) => {
    await press(page, "Train both");
    await page.getByRole("table", { name: "The same data, both ways" }).waitFor();
  },
  rank: async (page) => {
    for (const rank of [1, 2, 4, 8, 16, 32]) {
      const button = page.getByRole("button", { name: `Rank ${rank}`, exact: true });
      await button.and(page.locator(":enabled")).click();
      await page.getByText(new RegExp(`Rank ${rank}: \\d+ steps`)).waitFor();
    }
    await page.getByRole("button", { name: "All parameters" }).and(page.locator(":enabled")).click();
    await page.getByText("Kept of the change").waitFor();
  },
  whole: async (page) => {
    await press(page, "Give it to everyone");
    await page.getByRole("table", { name: /Loss a token/ }).waitFor();
  },
  strength: async (page) => {
    await press(page, "Train the pirate");
    await page.getByRole("region", { name: /What it said/ }).waitFor();
    await press(page, "Train the newcomers");
    await page.getByText(/The newcomers: \d+ steps/).waitFor();
    await press(page, /^Try 0/);
    await page.locator("td:text-is('2')").waitFor();
  },
  memory: async (page) => {
    await press(page, "Measure it");
    await page.getByText("Measured / planned").waitFor();
  },
};

/** Opens the lesson and goes on to where everything can be pressed. @type {(page: Page, origin: string, name: string) => Promise<void>} */
async function begin(page, origin, name) {
  await page.goto(`${origin}/#/learn/${name}`);
  await press(page, "Go on without a guess");
  await part(page, "See");
}

/** @type {(page: Page, name: string) => Promise<void>} */
const part = (page, name) => page.getByRole("navigation", { name: "Parts of the lesson" }).getByRole("button", { name }).click();

/** @type {(page: Page, origin: string) => Promise<void>} */
async function home(page, origin) {
  await page.goto(origin);
  const button = page.getByRole("button", { name: "See it learn" });
  await button.and(page.locator(":enabled")).click();
  await page.getByText("After step 10", { exact: true }).first().waitFor();
}

const minutes = (/** @type {number} */ seconds) => `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, "0")}`;

const wanted = process.argv.slice(2);
const server = await serve([["/", "web/dist"]]);
console.log("| lesson | min:s | load |\n|---|---|---|");
for (const name of ["home", ...Object.keys(lessons)]) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  // A browser of its own for each: its kernels are compiled anew.
  const browser = await chromium.launch({
    executablePath: findChromium() ?? "",
    args: ["--no-sandbox", "--enable-unsafe-webgpu", "--disable-background-networking"],
  });
  const page = await browser.newPage();
  page.setDefaultTimeout(1_800_000);
  const begun = performance.now();
  const work = lessons[name];
  if (work) {
    await begin(page, server.origin, name);
    await work(page);
    await part(page, "Explain");
    await page.getByText("The experiment says").waitFor();
  } else {
    await home(page, server.origin);
  }
  console.log(`| ${name} | ${minutes((performance.now() - begun) / 1000)} | ${(loadavg()[0] ?? 0).toFixed(1)} on ${cpus().length} |`);
  await browser.close();
}
server.close();
