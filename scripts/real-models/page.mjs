// SmolLM2's GGUF file in the page, as a person takes it: opened, checked, LoRA for a few steps on instructions, the adapter taken home, and an answer
// by the program from both. `npm run test:real -- page` runs it after `npm run build:web`; Chromium computes on its software device where
// there is no GPU. Arguments: the program, and how many steps (2).
import { chromium } from "@playwright/test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findChromium, root } from "../lib/host.mjs";
import { serve } from "../lib/serve.mjs";

const [program = "", steps = "2"] = process.argv.slice(2);
const models = join(root, "real-models");
const base = join(models, "SmolLM2-135M-Instruct.Q4_1.gguf");
const place = mkdtempSync(join(models, "page-"));

/** @param {string} what @param {boolean} good @param {string} figures */
function verdict(what, good, figures) {
  console.log(`${good ? "PASS" : "FAIL"}  page: ${what}: ${figures}`);
  if (!good) process.exitCode = 1;
}

/** @param {string[]} args */
function rootstock(args) {
  return spawnSync(program, ["--quiet", ...args], { encoding: "utf8" });
}

const records = /** @type {Record<string, string>[]} */ (JSON.parse(readFileSync(join(models, "alpaca_en_demo.json"), "utf8")));
const short = records.filter((record) => Object.values(record).join("").length < 200).slice(0, 16);
const data = join(place, "instructions.json");
writeFileSync(data, JSON.stringify(short));

const server = await serve([["/", "web/dist"]]);
const browser = await chromium.launch({
  executablePath: findChromium() ?? "",
  args: ["--no-sandbox", "--enable-unsafe-webgpu", "--disable-background-networking"],
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(1_200_000);
  /** @type {string[]} */
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(server.origin) && !request.url().startsWith("blob:")) faults.push(`asks for ${request.url()}`);
  });
  const next = (/** @type {string} */ step) => page.getByRole("link", { name: `Next: ${step}` }).click();
  let begun = performance.now();
  const since = () => {
    const seconds = ((performance.now() - begun) / 1000).toFixed(0);
    begun = performance.now();
    return `${seconds} s`;
  };

  await page.goto(`${server.origin}/#/base`);
  await page.locator("input[type=file]:not([webkitdirectory])").first().setInputFiles(base);
  await page.getByText("Ready.", { exact: true }).waitFor();
  verdict("opened and checked", true, since());

  await next("Data");
  await page.getByText("Files", { exact: true }).click();
  await page.locator("input[type=file][accept*='.jsonl']").first().setInputFiles(data);
  await page.getByText(String(short.length), { exact: true }).first().waitFor();
  await next("Method");
  await page.getByRole("radio", { name: /LoRA/ }).check();
  await page.getByText("More settings").click();
  await page.getByRole("textbox", { name: "Steps" }).fill(steps);
  await page.getByLabel("Samples at once").fill("1");
  await page.getByLabel("Evaluate", { exact: true }).selectOption("no");
  await page.getByText("It fits.").waitFor();
  const memory = (await page.locator("dt:text-is('GPU memory') + dd").first().allInnerTexts()).join("");
  await next("Train");
  await page.getByText("Ask it while it learns").click();
  await page.getByLabel("Every").fill("0");
  since();
  await page.getByRole("button", { name: /^Start/ }).click();
  await page.getByText(`Done. Step ${steps} of ${steps}`).waitFor();
  verdict("trained", true, `${steps} steps in ${since()}${memory ? `, ${memory}` : ""}`);

  await next("Use");
  await page.evaluate(() => Reflect.deleteProperty(globalThis, "showSaveFilePicker"));
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download as zip" }).click();
  const zip = join(place, "home.zip");
  await (await download).saveAs(zip);
  verdict("nothing was asked of the network, nothing failed", faults.length === 0, faults.join("; ") || "none");

  const unzipped = spawnSync("python3", ["-m", "zipfile", "-e", zip, join(place, "home")], { encoding: "utf8" });
  const [folder = ""] = unzipped.status === 0 ? readdirSync(join(place, "home")) : [];
  const adapter = join(place, "home", folder);
  const report = /** @type {{ verdict: string }} */ (JSON.parse(rootstock(["validate", adapter, "--base", base, "--json"]).stdout));
  verdict("the adapter at home", report.verdict === "ready", report.verdict);
  const question = ["--prompt", "What is the capital of France?", "--greedy", "--max-new-tokens", "30"];
  const answer = rootstock(["generate", "--model", base, "--adapter", adapter, ...question]);
  verdict("an answer by the program from both", answer.stdout.includes("Paris"), JSON.stringify(answer.stdout.trim() || answer.stderr));
} finally {
  await browser.close();
  server.close();
  rmSync(place, { recursive: true, force: true });
}
