// What every browser test stands on: a page on loopback with a WebGPU device, and the wasm build in a worker.
import { test as base, expect, type Page } from "@playwright/test";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { root } from "../../scripts/lib/host.mjs";
import { serve } from "../../scripts/lib/serve.mjs";

export { expect };

/** The page as it is built, the wasm build, the fixtures, and a bare page to call the wasm build from. */
const folders: [string, string][] = [
  ["/page/", "web/dist"],
  ["/wasm/", "target/web"],
  ["/fixtures/", "tests/fixtures"],
  ["/", "tests/browser/page"],
];

export const test = base.extend<{ rootstock: Rootstock }, { origin: string }>({
  origin: [
    async ({}, use) => {
      const server = await serve(folders);
      await use(server.origin);
      server.close();
    },
    { scope: "worker" },
  ],
  baseURL: async ({ origin }, use) => use(origin),
  rootstock: async ({ page }, use) => {
    // What the page logs belongs beside the test's result: a panic's message and place stand there.
    page.on("console", (message) => console.log(`  [${message.type()}] ${message.text()}`));
    await page.goto("/");
    await requireDevice(page);
    await use(new Rootstock(page));
  },
});

/** The native program, built. */
export function nativeProgram(): string {
  // With an example beside it, crates get the features that `cargo test` gives them, and none is compiled twice.
  const what = ["--bin", "rootstock", "--example", "init_checkpoint"];
  execFileSync("cargo", ["build", "--quiet", ...what], { cwd: root, stdio: "inherit" });
  return join(root, "target/debug/rootstock");
}

/** Says which device computes. A browser without one is a failed test, not a skipped one. */
async function requireDevice(page: Page): Promise<void> {
  const found = await page.evaluate(async () => {
    const adapter = await navigator.gpu?.requestAdapter();
    return adapter && `${adapter.info.vendor} ${adapter.info.architecture} ${adapter.info.description}`.trim();
  });
  if (!found) throw new Error("This browser offers no WebGPU device, so nothing can be tested in it.");
  console.log(`  WebGPU device: ${found}`);
}

/** The wasm build, in a worker of its own per call. */
export class Rootstock {
  constructor(private readonly page: Page) {}

  /**
   * Calls an export. The files are fetched in the page and come first, as an object from name to bytes; `args` follow.
   */
  async call(name: string, given: { files?: { folder: string; names: string[] }; args?: unknown[] } = {}): Promise<unknown> {
    return this.page.evaluate(
      async ({ name, given }) => {
        const args = given.args ?? [];
        if (given.files) {
          const { folder, names } = given.files;
          const read = names.map(async (file) => {
            const response = await fetch(`/fixtures/${folder}/${file}`);
            if (!response.ok) throw new Error(await response.text());
            return [file, new Uint8Array(await response.arrayBuffer())] as const;
          });
          args.unshift(Object.fromEntries(await Promise.all(read)));
        }
        const worker = new Worker("/worker.mjs", { type: "module" });
        try {
          return await new Promise((resolve, reject) => {
            worker.onerror = (event) => reject(new Error(event.message || "the worker could not load the wasm build"));
            worker.onmessage = ({ data }: MessageEvent<{ result?: unknown; error?: string }>) => {
              if (data.error !== undefined) reject(new Error(data.error));
              else if (data.result === "ready") worker.postMessage({ name, args });
              else resolve(data.result);
            };
          });
        } finally {
          worker.terminate();
        }
      },
      { name, given },
    );
  }
}
