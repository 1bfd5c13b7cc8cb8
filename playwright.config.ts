import { defineConfig } from "@playwright/test";
import { findChromium } from "./scripts/lib/host.mjs";

const chromium = findChromium();
if (chromium === null) throw new Error("There is no Chrome or Chromium here: `npm run setup` installs one.");

const port = Number(process.env["ROOTSTOCK_TEST_PORT"] ?? 4173);

export default defineConfig({
  testDir: "tests/browser",
  outputDir: "target/browser-tests",
  // One adapter, on the CPU as a rule: tests side by side would only slow each other down.
  workers: 1,
  timeout: 180_000,
  forbidOnly: process.env["CI"] !== undefined,
  reporter: "list",
  use: {
    baseURL: `http://127.0.0.1:${port}`,
    launchOptions: {
      executablePath: chromium,
      args: [
        "--no-sandbox", // containers run as root
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-unsafe-webgpu", // WebGPU on SwiftShader, where there is no GPU
      ],
    },
  },
  webServer: {
    command: `node tests/browser/serve.mjs ${port}`,
    url: `http://127.0.0.1:${port}/`,
    reuseExistingServer: false,
  },
});
