// The page in Chinese, with the worker by script: every step at three widths, in both schemes; nothing English is left, and changing the
// language changes nothing else.
import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/lib/host.mjs";
import { firstLanguage, languageOf } from "../../web/src/ui/text/language.js";
import { LESSONS } from "../../web/src/ui/learn/lessons.js";
import { lessonList } from "../../web/src/ui/text/zh/lessonList.js";
import { notice } from "../../web/src/ui/text/zh/notices.js";
import { phrase, repair } from "../../web/src/ui/text/zh/sentences.js";
import { expect, test } from "./ui/test.js";
import { picture } from "./well-made.js";

/** Names and what has no other word in Chinese texts of the field, by lower case. */
const NAMES = new Set(
  (
    "rootstock english lora dora rslora gpu webgpu hugging face peft transformers vllm llama llama.cpp llama-factory gguf safetensors json lines csv tsv txt jsonl yaml zip nan " +
    "alpha dropout all sft dpo kto pt instruction prompt messages chosen rejected label tag pref beta float16 float32 bfloat16 nf4 ollama lm studio user assistant rope dtype " +
    // units
    "kb mb gb " +
    // of the scripted worker: its device, its model, its runs, their settings
    "scripted device village pirate merged"
  ).split(" "),
);

/** Visible words of Latin letters that are neither names, nor code, nor marked as English, nor said or read by the model. */
async function latin(page: Page): Promise<string[]> {
  const words = await page.evaluate(() => {
    const found: string[] = [];
    // Names of files, tensors and keys are no words.
    const wordsOf = (text: string) => (text.match(/[A-Za-z][\w./-]+/g) ?? []).filter((word) => !/[_.\d]/.test(word.replace(/\.$/, "")));
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const place = node.parentElement;
      if (!place || !place.checkVisibility({ visibilityProperty: true })) continue;
      if (place.closest("code, [lang=en], .tokens, .token, .question, .answers p, .answers-live dd, .said, textarea, .modules, script, dd[data-own]")) continue;
      found.push(...wordsOf(node.textContent ?? ""));
    }
    for (const element of document.querySelectorAll("[aria-label], [placeholder], [title]")) {
      if (element.closest("[lang=en], .token")) continue;
      for (const name of ["aria-label", "title"]) found.push(...wordsOf(element.getAttribute(name) ?? ""));
    }
    return found;
  });
  return [...new Set(words)].filter((word) => !NAMES.has(word.toLowerCase()));
}

/** What the core remarks on recipes, data and runs, as its sources write it: values are in braces. */
function remarks(): string[] {
  const literal = String.raw`"((?:[^"\\]|\\[\s\S])*)"`;
  const before = String.raw`(?:(?:notices|self\.notes)\s*\.push\(\s*(?:format!\(\s*)?|Event::Notice\(\s*(?:format!\(\s*)?)`;
  const found: string[] = [];
  for (const folder of ["adapter", "config", "data", "train", "plan"]) {
    const files = readdirSync(join(root, "src", folder), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".rs"));
    for (const name of files) {
      const code = readFileSync(join(root, "src", folder, name), "utf8").split("#[cfg(test)]")[0] ?? "";
      for (const [, text = ""] of code.matchAll(new RegExp(before + literal, "g"))) {
        found.push(text.replaceAll(/\\\n\s*/g, "").replaceAll(/\\(.)/g, "$1"));
      }
    }
  }
  return found;
}

/** Of base and adapters added up in memory, of folders and of programs' files: the page has none of them. */
const NOT_ON_THE_PAGE = /^the model that is trained on is|^the tokens of/;

test("every remark of the core is known in Chinese", () => {
  const all = remarks().filter((remark) => !NOT_ON_THE_PAGE.test(remark));
  expect(all.length, "remarks found in src").toBeGreaterThan(30);
  // A value that any of the patterns takes: counts, names.
  const fill = (remark: string, word: string) => remark.replaceAll(/\{(\w*)(?::[^}]*)?\}/g, (_braces, name: string) => (["which", "name", "written"].includes(name) ? word : "7"));
  const filled = (remark: string) => ["7", "good", "tabs", "; it is saved with the trained model"].map((word) => fill(remark, word));
  expect(all.filter((remark) => !filled(remark).some((words) => notice(words) !== null))).toEqual([]);
  expect(notice("12 of 40 records are longer than cutoff_len (128) and were cut")).toBe("40 条记录中有 12 条超过 cutoff_len（128），已被截断。");
  expect(notice("pirate-1 was made on other weights than those of village (it names village-model): the shapes fit, the numbers do not; expect wrong answers unless you know better")).toMatch(
    /^pirate-1 是在与 village 不同的权重上训练的/,
  );
  expect(notice("without effect, as they belong to stage kto: kto_chosen_weight")).toBe("不起作用，因为它们属于阶段 kto：kto_chosen_weight。");
});

/** Goes through all steps; `at` is called on each. */
async function allSteps(page: Page, at: (name: string) => Promise<void>): Promise<void> {
  await page.goto("./?lang=zh");
  await expect(page.getByRole("button", { name: "看它学习" })).toBeEnabled();
  await at("home");
  await page.getByRole("link", { name: "选择基座模型" }).click();
  await expect(page.getByRole("table")).toBeVisible();
  await at("base");
  await page.getByRole("button", { name: "使用村庄模型" }).click();
  await expect(page.getByText("可以使用。", { exact: true })).toBeVisible();
  await at("check");
  await page.getByRole("link", { name: "下一步：数据" }).click();
  await expect(page.getByText("样本 1（")).toBeVisible();
  await at("data");
  await page.getByRole("link", { name: "下一步：方法" }).click();
  await page.getByRole("radio", { name: /LoRA/ }).check();
  await expect(page.getByText("42,240", { exact: true })).toBeVisible();
  await page.getByText("更多设置").click();
  await at("method");
  await page.getByRole("link", { name: "下一步：训练" }).click();
  await page.getByText("在学习过程中提问").click();
  await page.getByRole("button", { name: "开始训练" }).click();
  await expect(page.getByRole("link", { name: "下一步：使用" })).toBeVisible();
  await at("train");
  await page.getByRole("link", { name: "下一步：使用" }).click();
  await page.getByLabel("问题", { exact: true }).fill("Who lives in the red house?");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("log")).toContainText("Anna lives in the red house. (1)");
  await page.getByRole("button", { name: "显示每个词元的损失" }).click();
  await page.getByRole("button", { name: "计算 ΔW" }).click();
  await expect(page.getByText("ΔW 的奇异值")).toBeVisible();
  await at("use");
  await page.getByRole("link", { name: "比较训练记录" }).click();
  await expect(page.getByRole("img", { name: /所选训练的训练损失/ })).toBeVisible();
  await at("runs");
}

const WIDTHS = { phone: { width: 390, height: 844 }, projector: { width: 1920, height: 1080 }, laptop: { width: 1280, height: 800 } };

test("every step is in Chinese on a phone, a laptop and a projector, in both schemes", async ({ page }) => {
  // Colours change at once, not over a moment that the contrast would be measured in.
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  await allSteps(page, async (step) => {
    await expect(page.locator("html")).toHaveAttribute("lang", "zh-CN");
    for (const [name, size] of Object.entries(WIDTHS)) {
      await page.setViewportSize(size);
      expect(await latin(page), `English words on ${step}, ${name}`).toEqual([]);
      // A plot takes the new width a moment later.
      const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      await expect.poll(overflow, `${step} is no wider than the window, ${name}`).toBeLessThanOrEqual(0);
      await picture(page, `zh-${step}-${name}-light`);
    }
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      // The dark colours differ in contrast only.
      const axe = new AxeBuilder({ page });
      const { violations } = await (colorScheme === "dark" ? axe.withRules(["color-contrast"]) : axe).analyze();
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ").slice(0, 400)}`);
      expect(found, `${step}, ${colorScheme}`).toEqual([]);
    }
    await picture(page, `zh-${step}-laptop-dark`);
    await page.emulateMedia({ colorScheme: "light" });
  });
});

/** What the lessons name, and the words of their examples, which are English as the model is. */
const OF_LESSONS = "adamw sgd qlora distributeddataparallel module ln false png svg where is emma at work works the studio".split(" ");

test("every lesson is in Chinese, from its prediction to its explanation", async ({ page }) => {
  const unknown = async (names: string[]) => (await latin(page)).filter((word) => !names.includes(word.toLowerCase().replace(/[.?]$/, "")));
  const questions = readFileSync(join(root, "assets/demo/village_held_out.jsonl"), "utf8");
  await page.route("**/demo/village_held_out.jsonl", (route) => route.fulfill({ body: questions }));
  await page.goto("./?lang=zh#/learn/nothing");
  await expect(page.getByText("没有名为“nothing”的课")).toBeVisible();
  expect(await unknown([...OF_LESSONS, "nothing"]), "English words in the list of lessons").toEqual([]);
  for (const { slug } of LESSONS) {
    await page.goto(`./?lang=zh#/learn/${slug}?at=explain`);
    await expect(page.getByRole("heading", { level: 1 })).toHaveText(lessonList[slug].title);
    await expect(page.getByRole("heading", { level: 2, name: "解释" })).toBeVisible();
    expect(await unknown(OF_LESSONS), `English words in ${slug}`).toEqual([]);
    await page.setViewportSize({ width: 320, height: 800 });
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    await expect.poll(overflow, `${slug} is no wider than a phone`).toBeLessThanOrEqual(0);
    await picture(page, `zh-lesson-${slug}`);
    await page.setViewportSize({ width: 1280, height: 800 });
  }
  await page.goto("./?lang=zh#/learn/method?at=do&asked=2");
  await page.getByRole("button", { name: "两个一起训练" }).click();
  await expect(page.getByRole("table", { name: "同样的数据，两种方法" })).toBeVisible();
  const said = questions.split("\n").slice(0, 2).join(" ").match(/[a-z]+/gi) ?? [];
  const names = [...OF_LESSONS, ...said.map((word) => word.toLowerCase()), ..."in lives red house anna one day went to".split(" ")];
  expect(await unknown(names), "English words beside results").toEqual([]);
});

test("findings and faults are said in Chinese, and in English where that says more", async ({ page }) => {
  await page.goto("./?lang=zh&base=broken#/base");
  await page.getByRole("button", { name: "使用村庄模型" }).click();
  await expect(page.getByText("还不能用，但可以修复。", { exact: true })).toBeVisible();
  const findings = page.locator(".finding");
  // By its pattern and its values: nothing English is left to say.
  await expect(findings.nth(0)).toContainText("没有 lm_head.weight，config.json 也没有说明词嵌入就是输出头（tie_word_embeddings）");
  await expect(findings.nth(0)).toContainText("损失接近 ln(512) = 6.24");
  await expect(findings.nth(0)).toContainText("修复：在 config.json 中把 tie_word_embeddings 设为 true");
  await expect(findings.nth(0).locator("[lang=en]")).toHaveCount(0);
  // By its code alone: the sentence itself stands below.
  await expect(findings.nth(1)).toContainText("没有对话模板。");
  await expect(findings.nth(1).locator(".original")).toHaveText(/^There is no chat template: /);
  await page.getByRole("button", { name: "生成修复后的副本：修复全部 2 个问题" }).click();
  await expect(page.getByText("可以使用。", { exact: true })).toBeVisible();

  await page.getByRole("navigation", { name: "步骤" }).getByRole("link", { name: "数据" }).click();
  await page.getByText("粘贴", { exact: true }).click();
  await page.getByLabel("记录").fill("{broken");
  await expect(page.getByRole("alert")).toHaveText(/^pasted\.jsonl：第 1 行不是有效的 JSON。/);
  await expect(page.getByRole("alert").locator("[lang=en]")).toHaveText(/this is not JSON/);
});

test("phrases within a finding's values are said, and what a model wrote stays as it is", () => {
  const seen = "loss on an English text: 7.722 nats a token (chance is 6.24); it goes on with “In the morning” by “ Dot and Anna”";
  expect(phrase(seen)).toBe("一段英文文本上的损失：每个词元 7.722 奈特（随机猜测为 6.24）；它把“In the morning”续写成“ Dot and Anna”");
  expect(phrase("loss on an English text: 7.722 nats a token (chance is 6.24)")).toBe("一段英文文本上的损失：每个词元 7.722 奈特（随机猜测为 6.24）");
  expect(phrase("mlp.up_proj of layer 3")).toBe("第 3 层的 mlp.up_proj");
  expect(phrase("2 NaNs and 1 infinite number")).toBe("2 个 NaN、1 个无穷大");
  expect(phrase("8 heads of 64 (2 for keys and values)")).toBe("8 个宽 64 的头（其中键和值 2 个）");
  expect(repair("in config.json set vocab_size to 56, remove auto_map")).toBe("在 config.json 中把 vocab_size 设为 56，删除 auto_map");
  expect(repair("something new")).toBeNull();
});

test("the language is chosen by address, by choice and by the browser, in this order", () => {
  expect(firstLanguage("?lang=zh", "en", ["en"])).toBe("zh");
  expect(firstLanguage("?lang=zh-Hans&tuning=amd", null, ["en"])).toBe("zh");
  expect(firstLanguage("?lang=xx", "zh", ["en"])).toBe("zh");
  expect(firstLanguage("", null, ["fr-CH", "zh-TW", "en"])).toBe("zh");
  expect(firstLanguage("", null, ["fr"])).toBe("en");
  expect(languageOf("constructor")).toBeNull();
});

test("the language is found in the head, kept, and named in an address that names one", async ({ page }) => {
  await page.goto("./?lang=en#/data");
  await page.getByRole("button", { name: "中文" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "给它例子" })).toBeVisible();
  expect(page.url()).toContain("?lang=zh#/data");
  await expect(page).toHaveTitle("给它例子 – Rootstock");
  await page.goto("./#/method");
  await expect(page.getByRole("heading", { level: 1, name: "选择方法" })).toBeVisible();
  await page.getByRole("button", { name: "English" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Choose the method" })).toBeVisible();
  await expect(page.locator("html")).toHaveAttribute("lang", "en");
  expect(page.url()).not.toContain("lang=");
});

test.describe("a browser whose user reads Chinese", () => {
  test.use({ locale: "zh-CN" });
  test("begins in Chinese", async ({ page }) => {
    await page.goto("./");
    await expect(page.getByRole("heading", { level: 1, name: "教语言模型学会新东西" })).toBeVisible();
  });
});

test("texts that cannot be loaded leave the page in English, and say so", async ({ page }) => {
  await page.route(/\/text\/zh\//, (route) => route.abort());
  await page.goto("./?lang=zh");
  await expect(page.getByRole("heading", { level: 1, name: "Teach a language model something new" })).toBeVisible();
  await page.getByRole("button", { name: "中文" }).click();
  await expect(page.getByRole("alert")).toBeVisible();
  await expect(page.locator("html")).toHaveAttribute("lang", "en");
});

test("in the middle of a run the language changes, and nothing else", async ({ page }) => {
  await page.goto("./?steps=4000&wait=20#/base");
  await page.getByRole("button", { name: "Use the village model" }).click();
  await page.getByRole("link", { name: "Next: Data" }).click();
  await page.getByRole("link", { name: "Next: Method" }).click();
  // What is typed stays, also where it is no number.
  await page.getByLabel("Epochs").fill("7");
  await page.getByLabel("Learning rate").fill("fast");
  await page.getByRole("button", { name: "中文" }).click();
  await expect(page.getByLabel("轮数")).toHaveValue("7");
  await expect(page.getByLabel("学习率", { exact: true })).toHaveValue("fast");
  await expect(page.getByLabel("学习率", { exact: true })).toHaveAccessibleDescription(/这不是数字/);
  await page.getByLabel("学习率", { exact: true }).fill("1e-3");
  await page.getByRole("link", { name: "下一步：训练" }).click();
  await page.getByRole("button", { name: "开始训练" }).click();
  const steps = page.locator(".figures dd").first();
  await expect(steps).toHaveText(/^\d[\d,]* \/ 4,000$/);
  const before = Number((await steps.textContent())?.split(" ")[0]?.replace(",", ""));
  await page.getByRole("button", { name: "English" }).click();
  await expect(page.getByRole("button", { name: "Pause" })).toBeVisible();
  await expect(steps).toHaveText(/^\d[\d,]* of 4,000$/);
  await expect.poll(async () => Number((await steps.textContent())?.split(" ")[0]?.replace(",", ""))).toBeGreaterThan(before);
  // The curves are drawn anew with their names, and go on.
  await expect(page.locator(".u-legend").first()).toContainText("evaluation");
  await page.getByRole("button", { name: "中文" }).click();
  await expect(page.locator(".u-legend").first()).toContainText("评估损失");
  await page.getByRole("button", { name: "停止并保留" }).click();
  await expect(page.getByRole("navigation", { name: "步骤" })).toContainText("已停止。");
});
