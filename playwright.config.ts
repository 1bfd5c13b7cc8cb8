import { defineConfig } from "@playwright/test";
import { findChromium } from "./scripts/lib/host.mjs";

const chromium = findChromium();
if (chromium === null) throw new Error("There is no Chrome or Chromium here: `npm run setup` installs one.");

export default defineConfig({
  testDir: "tests/browser",
  outputDir: "target/browser-tests",
  // While a page compiles kernels or waits, the other one computes. More would only slow each other down: there is one device, usually the CPU.
  workers: 2,
  timeout: 600_000, // SwiftShader compiles each shader for the CPU
  expect: { timeout: 30_000 }, // enough for two busy cores
  // A machine that others use as well can stall past any time-out. A test that passes only when tried again is named at the end (scripts/test.mjs).
  retries: process.env["CI"] === undefined ? 0 : 1,
  forbidOnly: process.env["CI"] !== undefined,
  reporter: "list",
  use: {
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
});
