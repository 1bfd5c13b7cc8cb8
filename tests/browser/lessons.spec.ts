// The lessons with the real worker: from their address to their end, with real training; what they show is what the engine says.
import type { Page } from "@playwright/test";
import { expect, test as base } from "./harness.js";
import { patient } from "./village.js";
import { wellMade } from "./well-made.js";

/** The classroom in a page of its own for all tests: its worker keeps the kernels that it has compiled. */
class Classroom {
  faults: string[] = [];

  constructor(readonly page: Page, private readonly origin: string) {
    page.on("pageerror", (error) => this.faults.push(String(error)));
    page.on("console", (message) => {
      if (/Content.Security.Policy|panicked/.test(message.text())) this.faults.push(message.text());
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(origin) && !/^(blob|data):/.test(request.url())) this.faults.push(`asks for ${request.url()}`);
    });
  }

  async home(): Promise<void> {
    await this.page.goto(`${this.origin}/page/`);
  }

  async visit(lesson: string): Promise<void> {
    await this.page.goto(`${this.origin}/page/#/learn${lesson}`);
  }

  part(name: string) {
    return this.page.getByRole("region", { name, exact: true });
  }

  wellMade(name: string): Promise<void> {
    return wellMade(this.page, `lesson-${name}`);
  }
}

const test = base.extend<{ room: Classroom }, { classroom: Classroom }>({
  classroom: [
    async ({ browser, origin }, use) => {
      // Colours that are still fading into each other have too little contrast.
      const context = await browser.newContext({ reducedMotion: "reduce" });
      const page = await context.newPage();
      await use(new Classroom(page, origin));
      await context.close();
    },
    { scope: "worker" },
  ],
  room: async ({ classroom }, use) => {
    classroom.faults = [];
    await classroom.page.setViewportSize({ width: 1280, height: 800 });
    await use(classroom);
    expect(classroom.faults).toEqual([]);
  },
});

/** What the classroom's worker computes, asked again through a client of the test's own. */
async function losses(page: Page, text: string): Promise<number> {
  return page.evaluate(async (text) => {
    await rootstock.call({ kind: "open", source: { kind: "embedded" } });
    const tokens = await rootstock.call({ kind: "losses", which: "base", text });
    const known = tokens.flatMap(({ loss }) => (loss === null ? [] : [loss]));
    return known.reduce((sum, loss) => sum + loss, 0) / known.length;
  }, text);
}

test("home leads to the list, and a lesson begins with a prediction, by keyboard", async ({ room }) => {
  const { page } = room;
  await room.home();
  await page.getByRole("link", { name: "To the lessons" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Learn how it works" })).toBeVisible();
  await room.wellMade("list");
  await page.getByRole("main").getByRole("link", { name: /What is being learned/ }).press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: "What is being learned?" })).toBeVisible();
  await expect(page.getByRole("main")).toBeFocused();
  await page.getByRole("radio", { name: /On the last word/ }).focus();
  await page.keyboard.press("Space");
  await page.keyboard.press("ArrowUp");
  await expect(page.getByRole("radio", { name: /On the answer and the mark/ })).toBeChecked();
  await expect(page).toHaveURL(/guess=answer/);
  await page.getByRole("button", { name: "That is my guess" }).press("Enter");
  await expect(room.part("Do")).toBeFocused();
  await room.visit("/nothing");
  await expect(page.getByText("There is no lesson “nothing”")).toBeVisible();
});

test("what is being learned: mask, losses and likeliest tokens before and after, also after a reload", async ({ room }) => {
  const { page } = room;
  await room.visit("/learned?steps=3&batch=2&guess=answer&at=do");
  const strip = page.getByRole("toolbar", { name: /tokens, .* learned: tokens/ });
  await expect(strip).toBeVisible(patient);
  const learned = await strip.locator("[data-trained]").allInnerTexts();
  expect(learned.join("").replaceAll("·", " ")).toContain("Emma works at the studio.");
  expect(await strip.locator("button:not([data-trained])").allInnerTexts().then((all) => all.join("").replaceAll("·", " "))).toContain("Where is Emma at work?");
  await page.getByRole("button", { name: "Train on the answers" }).click();
  await expect(page.getByRole("toolbar", { name: "After 3 steps: tokens" })).toBeVisible(patient);
  await page.getByRole("button", { name: "Train with the wrong mask" }).click();
  await expect(page.getByRole("toolbar", { name: "With the wrong mask: tokens" })).toBeVisible(patient);

  // The base's losses are those of the engine, asked again for the same text as plain text.
  const numbers = page.getByRole("region", { name: "The loss of every token in numbers" });
  await page.getByText("In numbers").first().click();
  const rows = await numbers.getByRole("row").all();
  const cells = await Promise.all(rows.slice(1).map((row) => row.getByRole("cell").allInnerTexts()));
  const before = cells.map(([, , loss]) => Number(loss)).filter(Number.isFinite);
  const text = cells.map(([token = ""]) => token.replaceAll("↵", "\n").replaceAll("·", " ")).join("");
  const mean = before.reduce((sum, loss) => sum + loss, 0) / before.length;
  expect(Math.abs(mean - (await losses(page, text)))).toBeLessThan(2e-3);

  // A token pressed shows what was expected there; the right one is among them.
  const after = page.getByRole("toolbar", { name: "After 3 steps: tokens" });
  await after.getByRole("button", { name: /learned/ }).first().click();
  await expect(page.getByRole("table", { name: /After 3 steps: what may come/ }).getByRole("row", { name: /the one that comes/ })).toBeVisible();
  await page.keyboard.press("ArrowRight");
  await expect(after.locator("[aria-pressed=true]")).toBeFocused();

  await page.getByRole("button", { name: "Explain it" }).click();
  await expect(page.getByText("The experiment says")).toBeVisible();
  await expect(page.locator(".outcome")).toHaveAttribute("data-right", "true");
  await room.wellMade("learned");
  const shown = await page.locator(".means tbody").innerText();
  await page.reload();
  await expect.poll(() => page.locator(".means tbody").innerText().catch(() => ""), patient).toBe(shown);
  await expect(page.getByText(/On the answers: 3 steps/)).toBeVisible(patient);
});

test("all parameters or LoRA: curves, answers and figures are those of the runs", async ({ room }) => {
  const { page } = room;
  await room.visit("/method?steps=3&batch=2&asked=2&guess=same");
  await page.getByRole("button", { name: "That is my guess" }).click();
  await page.getByRole("button", { name: "Train both" }).click();
  const table = page.getByRole("table", { name: "The same data, both ways" });
  await expect(table).toBeVisible(patient);
  // Side by side: what each can do is told as they train, and a step of one is followed by one of the other.
  const live = page.getByRole("region", { name: "Both as they train" });
  await expect(live.getByRole("row", { name: /^Step/ })).toHaveText("Step33");
  await expect(live.getByRole("row", { name: /Right answers/ })).toHaveText(/(\d of 2, after step 3){2}/);
  // The page's own client over the same storage knows the runs that the lesson trained.
  const runs = await page.evaluate(() => rootstock.call({ kind: "runs" }));
  const [full, lora] = ["Lesson: all parameters", "Lesson: LoRA"].map((name) => runs.find((run) => run.name === name));
  expect([full?.step, lora?.step]).toEqual([3, 3]);
  const size = (bytes: number) => `${(bytes / (bytes < 1e6 ? 1e3 : 1e6)).toPrecision(3)} ${bytes < 1e6 ? "KB" : "MB"}`;
  await expect(table.getByRole("row", { name: /What you take home/ })).toContainText(size(full?.result_bytes ?? 0));
  await expect(table.getByRole("row", { name: /What you take home/ })).toContainText(size(lora?.result_bytes ?? 0));
  await page.getByText("In numbers").first().click();
  const last = page.getByRole("region", { name: "Training loss in numbers" }).getByRole("row").last();
  await expect(last).toContainText((full?.train_loss ?? 0).toPrecision(4));
  await expect(last).toContainText((lora?.train_loss ?? 0).toPrecision(4));

  // LoRA leaves norms and embedding alone.
  const changed = page.getByRole("region", { name: "Where the weights changed: LoRA" });
  await expect(changed.getByRole("row", { name: /embed_tokens/ })).toContainText("0.0 %");
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "CSV" }).click();
  expect((await download).suggestedFilename()).toBe("training-loss.csv");
  await page.getByRole("button", { name: "Explain it" }).click();
  await room.wellMade("method");
});

test("why a base must be whole: what loads in silence has a loss near the logarithm of the vocabulary, and the repair brings it back", async ({ room }) => {
  const { page } = room;
  await room.visit("/whole?broken=keys&guess=nonsense&at=do");
  await page.getByRole("button", { name: "Give it to everyone" }).click();
  const table = page.getByRole("table", { name: /Loss a token on a text of the village/ });
  await expect(table).toBeVisible(patient);
  const loss = async (name: string | RegExp) => Number((await table.getByRole("row", { name }).getByRole("cell").first().innerText()).trim());
  expect(Math.abs((await loss("As transformers loads it")) - Math.log(512))).toBeLessThan(0.15);
  expect(await loss("The whole model")).toBeLessThan(3);
  expect(await loss("The repaired copy")).toBe(await loss("The whole model"));
  await expect(room.part("See")).toContainText("module.");
  await page.getByRole("button", { name: "Explain it" }).click();
  await expect(page.locator(".outcome")).toHaveAttribute("data-right", "true");

  for (const [title, says] of [
    ["Delete config.json", /no config\.json/],
    ["Untie the head", /lm_head|head/],
    ["Drop a shard", /shard \(2 of 2/],
    ["Leave the tokenizer out", /tokenizer/],
    ["Give an adapter as a model", /adapter/],
  ] as const) {
    await page.getByRole("button", { name: title, exact: true }).click();
    await page.getByRole("button", { name: "Go on without a guess" }).click();
    await page.getByRole("button", { name: "Give it to everyone" }).click();
    await expect(room.part("See").getByRole("listitem").filter({ hasText: says }).first()).toBeVisible(patient);
    await page.getByRole("button", { name: "Explain it" }).click();
  }
  await expect(page.getByRole("region", { name: "What was tried so far" }).getByRole("row")).toHaveCount(7);
  await room.wellMade("whole");
  expect((await page.evaluate(() => rootstock.call({ kind: "runs" }))).filter(({ method }) => method === "repair")).toEqual([]);
});

test("one step: its parts are those of the run, rates from nothing to divergence, pieces of a batch give the same losses", async ({ room }) => {
  const { page } = room;
  await room.visit("/step?steps=3&batch=4&guess=1e-3&at=do");
  for (const part of ["Forward", "Loss", "Gradient", "Update"]) {
    await page.getByRole("button", { name: part, exact: true }).click();
    await expect(page.getByRole("heading", { level: 4, name: part })).toBeVisible(patient);
  }
  const runs = await page.evaluate(() => rootstock.call({ kind: "runs" }));
  const one = runs.find(({ name }) => name === "Lesson: one step");
  const log = await page.evaluate((id) => rootstock.call({ kind: "log", id }), one?.id ?? "");
  await expect(page.locator(".step-parts")).toContainText(log.lines[0]?.loss.toFixed(4) ?? "?");
  await expect(page.locator(".step-parts")).toContainText(log.lines[0]?.grad_norm.toPrecision(4) ?? "?");
  for (const rate of ["1e-6", "1e-3", "1", "1e25"]) {
    await page.getByRole("button", { name: `Train with a rate of ${rate}`, exact: true }).click();
    await expect(page.getByText(new RegExp(`Rate ${rate}: 3 steps|Rate ${rate}: step`)).first()).toBeVisible(patient);
  }
  await expect(page.getByRole("alert").filter({ hasText: /Rate 1e25: step \d: .* not a finite number/ }).first(), "the guard says where it ended").toBeVisible(patient);
  const left = await page.evaluate(() => rootstock.call({ kind: "runs" }));
  expect(left.filter(({ finished }) => !finished), "what diverged leaves nothing to go on with").toEqual([]);
  await room.part("See").getByRole("button", { name: "Train all three" }).click();
  const pieces = page.getByRole("region", { name: "The same step in pieces" });
  await expect(pieces.getByRole("row", { name: /1 × 4/ }).getByRole("cell").nth(2)).toHaveText(/\d/, patient);
  const first = await Promise.all([/4 × 1/, /2 × 2/, /1 × 4/].map(async (name) => Number(await pieces.getByRole("row", { name }).getByRole("cell").first().innerText())));
  expect(Math.max(...first) - Math.min(...first), "the same step").toBeLessThan(2e-4);
  await page.getByRole("button", { name: "Explain it" }).click();
  await expect(page.getByText("The experiment says")).toBeVisible();
  await room.wellMade("step");
});

test("where the memory goes: planned for shapes that are not here, measured for the one that is", async ({ room }) => {
  const { page } = room;
  await room.visit("/memory?batch=2&guess=weights&at=see");
  const table = page.getByRole("region", { name: "Memory by part" });
  await expect(table.getByRole("row", { name: /Llama-3.2-1B/ })).toBeVisible(patient);
  await expect(table.getByRole("row", { name: /SmolLM2-135M/ })).toContainText("135 M");
  await page.getByRole("button", { name: "Measure it" }).click();
  const share = page.locator("dt:text-is('Measured / planned') + dd");
  await expect(share).toBeVisible(patient);
  const percent = Number((await share.innerText()).replace(" %", ""));
  expect(percent).toBeGreaterThan(60);
  expect(percent).toBeLessThan(115);
  const before = await table.getByRole("row", { name: /SmolLM2-135M/ }).innerText();
  await page.getByLabel("Method").selectOption("lora");
  await expect(table.getByRole("row", { name: /SmolLM2-135M/ })).not.toHaveText(before, patient);
  await room.wellMade("memory");
});

test("how much rank: LoRA by rank, the spectrum of the full update, and the update cut", async ({ room }) => {
  const { page } = room;
  await room.visit("/rank?steps=2&batch=2&asked=1&at=do");
  await page.getByRole("button", { name: "Rank 1", exact: true }).click();
  await expect(page.getByText("Rank 1: 2 steps")).toBeVisible(patient);
  await page.getByRole("button", { name: "All parameters" }).click();
  await expect(page.getByRole("slider", { name: /cut to rank/ })).toBeVisible(patient);
  const kept = page.locator("dt:text-is('Kept of the change') + dd");
  await expect(kept).toBeVisible(patient);
  const at8 = Number((await kept.innerText()).replace(" %", ""));
  await page.getByRole("slider", { name: /cut to rank/ }).fill("0");
  await expect(page.locator("label[for=rank-cut] strong")).toHaveText("1");
  await expect.poll(async () => Number((await kept.innerText()).replace(" %", "")), patient).toBeLessThan(at8);
  await page.getByRole("button", { name: "Explain it" }).click();
  await room.wellMade("rank");
});

test("an adapter is a part: no strength is the base, merged is as apart, and the wrong base is said", async ({ room }) => {
  const { page } = room;
  await room.visit("/strength?steps=2&batch=2&rate=0.02&at=do");
  await page.getByRole("button", { name: "Train the pirate" }).click();
  const table = page.getByRole("region", { name: "What it said at each strength" });
  await expect(table.getByRole("row")).toHaveCount(2, patient);
  await page.getByRole("slider", { name: /Strength of the pirate/ }).fill("0");
  await expect(table.getByRole("row")).toHaveCount(3, patient);
  const said = await table.getByRole("row", { name: /^0 0/ }).getByRole("cell").nth(2).innerText();
  const base = await page.evaluate(async () => {
    await rootstock.call({ kind: "open", source: { kind: "embedded" } });
    const sampling = { temperature: 0, top_p: 1, max_new_tokens: 24, seed: 1 };
    return (await rootstock.call({ kind: "chat", which: "base", messages: [{ role: "user", content: "Where does Anna live?" }], sampling })).text.trim();
  });
  expect(said.replaceAll(/\s+/g, " "), "at 0 the base answers").toBe(base.replaceAll(/\s+/g, " "));
  await page.getByRole("button", { name: "Merge and compare" }).click();
  await expect(page.getByText(/The loss of no token differs by more than/)).toBeVisible(patient);
  expect(Number(await page.getByText(/The loss of no token differs/).locator("strong").innerText())).toBeLessThan(0.1);
  await page.getByRole("button", { name: "Put it on the wrong base" }).click();
  await expect(room.part("See")).toContainText("was made on other weights", patient);
  await page.getByRole("button", { name: "Explain it" }).click();
  await room.wellMade("strength");
});

test("presenting shows one thing at a time, in large type, by the arrow keys", async ({ room }) => {
  const { page } = room;
  await room.visit("/whole?broken=keys");
  await page.getByRole("button", { name: "Present", exact: true }).click();
  const size = () => page.evaluate(() => parseFloat(getComputedStyle(document.documentElement).fontSize));
  expect(await size()).toBeGreaterThan(18);
  await expect(page.getByRole("group", { name: /Somebody fine-tuned the village model/ })).toBeVisible();
  await expect(page.getByRole("checkbox").first()).toBeHidden();
  await page.keyboard.press("ArrowRight");
  await expect(page.getByRole("checkbox").first()).toBeVisible();
  await expect(page.getByRole("group", { name: /Somebody fine-tuned/ })).toBeHidden();
  const parts = page.getByRole("navigation", { name: "Parts of the lesson" });
  await expect(parts.getByRole("button", { name: "Do" }), "the part that is shown").toHaveAttribute("aria-current", "step");
  await page.keyboard.press("PageUp");
  await expect(page.getByRole("group", { name: /Somebody fine-tuned/ })).toBeVisible();
  // Where there are no arrow keys.
  await expect(page.getByRole("button", { name: "The one before" })).toBeDisabled();
  await page.getByRole("button", { name: "The next one" }).click();
  await expect(parts).toContainText(/2 of \d/);
  await expect(page.getByRole("checkbox").first()).toBeVisible();
  await page.getByRole("button", { name: "The one before" }).click();
  await expect(page.getByRole("group", { name: /Somebody fine-tuned/ })).toBeVisible();
  await room.wellMade("present");
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.keyboard.press("Escape");
  await expect(page.getByRole("checkbox").first()).toBeVisible();
  expect(await size()).toBe(16);
});
