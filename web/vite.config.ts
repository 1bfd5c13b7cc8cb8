import { readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));

const built = join(root, "web/package/dist");

/** The package's assets (the embedded model, the examples, their list), which are fetched when someone asks for them. */
function embedded(): Plugin {
  return {
    name: "rootstock-embedded",
    generateBundle() {
      const folder = join(built, "assets");
      for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())) {
        const file = join(entry.parentPath, entry.name);
        this.emitFile({ type: "asset", fileName: relative(folder, file).replaceAll("\\", "/"), source: readFileSync(file) });
      }
    },
  };
}

/** The service worker's list: every file of the build, and the folder's own address for its index. */
function offline(): Plugin {
  return {
    name: "rootstock-offline",
    enforce: "post",
    generateBundle(_, bundle) {
      const names = Object.keys(bundle).filter((name) => name !== OFFLINE);
      const source = JSON.stringify(["index.html", ...readdirSync(join(root, "web/public")), ...names.filter((name) => name !== "index.html")].sort());
      this.emitFile({ type: "asset", fileName: "offline.json", source });
    },
  };
}

/** The service worker's file: outside assets/ and without a hash, because its address says which pages it serves. */
const OFFLINE = "offline.js";

export default defineConfig({
  root: join(root, "web"),
  // Relative: the folder can be served from any path.
  base: "./",
  // The package as others get it: `node scripts/package.mjs build` makes it before.
  resolve: { alias: { rootstock: join(built, "index.js") } },
  plugins: [embedded(), offline()],
  worker: { format: "es" },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2023",
    outDir: "dist",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: {
      input: { index: join(root, "web/index.html"), offline: join(root, "web/src/offline.ts") },
      output: { entryFileNames: ({ name }) => (name === "offline" ? OFFLINE : "assets/[name]-[hash].js") },
    },
  },
});
