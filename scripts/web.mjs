// The page: `node scripts/web.mjs build` leaves a folder in web/dist that any host can serve from any path, `node scripts/web.mjs
// serve [PORT]` serves it on loopback.
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { root, run } from "./lib/host.mjs";
import { serve } from "./lib/serve.mjs";

const [command, port] = process.argv.slice(2);
const dist = join(root, "web/dist");

/**
 * Writes a compressed copy (`.br`) beside each text and program: `npm start` and `rootstock serve` send it, other servers may. Copies are
 * kept by the hash of what was compressed, because the strongest compression of the program takes long.
 */
function compress() {
  const kept = join(root, "target/brotli");
  mkdirSync(kept, { recursive: true });
  const used = new Set();
  for (const entry of readdirSync(dist, { recursive: true, encoding: "utf8" })) {
    if (!/\.(html|js|css|json|wasm)$/.test(entry)) continue;
    const file = join(dist, entry);
    const bytes = readFileSync(file);
    const name = createHash("sha256").update(bytes).digest("hex");
    const copy = join(kept, name);
    if (!existsSync(copy)) {
      writeFileSync(`${copy}.part`, brotliCompressSync(bytes));
      renameSync(`${copy}.part`, copy);
    }
    copyFileSync(copy, `${file}.br`);
    used.add(name);
  }
  for (const name of readdirSync(kept)) if (!used.has(name)) rmSync(join(kept, name));
}

if (command === "build") {
  if (!run("node", ["scripts/package.mjs", "build"])) process.exit(1);
  if (!run(join(root, "node_modules/.bin/vite"), ["build", "--config", "web/vite.config.ts", "--logLevel", "warn"])) process.exit(1);
  compress();
} else if (command === "serve") {
  if (!existsSync(join(dist, "index.html"))) {
    console.error("The page is not built yet: `npm run build:web` does it.");
    process.exit(1);
  }
  const { origin } = await serve([["/", "web/dist"]], Number(port ?? 8080));
  console.log(`Rootstock is at ${origin} (Ctrl-C ends it)`);
} else {
  console.error("usage: node scripts/web.mjs build | serve [PORT]");
  process.exit(2);
}
