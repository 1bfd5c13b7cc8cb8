// What holds for whatever the page shows: axe finds nothing in any scheme, nothing is wider than the window, and pictures can be had to be looked at.
import { AxeBuilder } from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";
import { join } from "node:path";
import { root } from "../../scripts/lib/host.mjs";

const SCHEMES = ["light", "dark", "forced"] as const;
type Scheme = (typeof SCHEMES)[number];

/** In light colours a phone's least width, a laptop at 200 %, a tablet, a laptop; the other schemes change no place. */
const WIDTHS: Record<Scheme, readonly number[]> = { light: [320, 640, 820, 1280], dark: [320, 1280], forced: [320, 1280] };

/** Checks what is shown in each scheme and at each width. The window is as wide as the last one afterwards, in light colours. */
export async function wellMade(page: Page, name: string): Promise<void> {
  for (const scheme of SCHEMES) {
    await page.emulateMedia({ colorScheme: scheme === "dark" ? "dark" : "light", forcedColors: scheme === "forced" ? "active" : "none" });
    const axe = new AxeBuilder({ page });
    // The other schemes differ in colours only.
    const { violations } = await (scheme === "light" ? axe : axe.withRules(["color-contrast"])).analyze();
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ").slice(0, 400)}`), `${name}, ${scheme}`).toEqual([]);
    for (const width of WIDTHS[scheme]) {
      await page.setViewportSize({ width, height: 800 });
      // A plot takes the new width a moment later.
      const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      await expect.poll(overflow, `${name} is no wider than ${width}`).toBeLessThanOrEqual(0);
      await picture(page, `${name}-${width}-${scheme}`);
    }
  }
  await page.emulateMedia({ colorScheme: "light", forcedColors: "none" });
}

/** Leaves a picture of the whole page in target/screenshots, when `SCREENSHOTS` is set: a software device takes longer for it than for what is tested. */
export async function picture(page: Page, name: string): Promise<void> {
  if (process.env["SCREENSHOTS"] === undefined) return;
  await page.evaluate(() => scrollTo(0, 0)); // what sticks to the window stands at its top
  await page.screenshot({ path: join(root, `target/screenshots/${name}.png`), fullPage: true });
}
