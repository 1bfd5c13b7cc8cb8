// Serves the scripted page with Vite itself: no build, no wasm.
import { join } from "node:path";
import { createServer } from "vite";
import { root } from "../../../scripts/lib/host.mjs";

export async function serveScripted(): Promise<{ origin: string; close: () => Promise<void> }> {
  const server = await createServer({
    configFile: false,
    root: join(root, "tests/browser/ui"),
    cacheDir: join(root, "target/vite"),
    logLevel: "warn",
    resolve: { alias: { rootstock: join(root, "web/package/src/index.ts") } },
    server: { host: "127.0.0.1", port: 0, hmr: false, fs: { allow: [root] } },
    optimizeDeps: { include: ["preact", "preact/hooks", "preact/jsx-runtime", "@preact/signals", "uplot", "client-zip"] },
    oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  });
  await server.listen();
  const origin = server.resolvedUrls?.local[0];
  if (origin === undefined) throw new Error("Vite listens on no address");
  return { origin, close: () => server.close() };
}
