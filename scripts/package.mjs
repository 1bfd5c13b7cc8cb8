// The npm package for other people's pages, which the page itself is built on: `node scripts/package.mjs build` leaves it in
// web/package/dist (client, worker, wasm, assets), `node scripts/package.mjs pack FOLDER` puts the tarball into a folder, `node
// scripts/package.mjs api` writes web/package/API.md from the types, and `api --check` says whether it is what they say.
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { build as bundle } from "vite";
import { root, run } from "./lib/host.mjs";

const [command, folder] = process.argv.slice(2);
const home = join(root, "web/package");
const dist = join(home, "dist");

/** Puts the libraries that read Parquet files into the module that uses them: the package has no dependency. */
async function bundleParquet() {
  const entry = join(dist, "parquet.js");
  const banner = "/*! with hyparquet and hyparquet-compressors, (c) Hyperparam, MIT licence: https://github.com/hyparam */";
  await bundle({
    configFile: false,
    root: home,
    publicDir: false,
    logLevel: "warn",
    build: {
      target: "es2023",
      outDir: dist,
      emptyOutDir: false,
      reportCompressedSize: false,
      lib: { entry, formats: ["es"], fileName: () => "parquet.js" },
      rolldownOptions: { output: { banner } },
    },
  });
}

async function build() {
  if (!run("node", ["scripts/wasm.mjs", "build"])) process.exit(1);
  rmSync(dist, { recursive: true, force: true });
  if (!run(join(root, "node_modules/.bin/tsc"), ["--project", "web/package"])) process.exit(1);
  await bundleParquet();
  mkdirSync(join(dist, "wasm"), { recursive: true });
  for (const file of ["rootstock.js", "rootstock_bg.wasm", "rootstock_deferred.wasm"]) cpSync(join(root, "target/web", file), join(dist, "wasm", file));
  for (const file of ["LICENSE-MIT", "LICENSE-APACHE"]) cpSync(join(root, file), join(dist, file));
  copyAssets(join(dist, "assets"));
}

/**
 * Copies the embedded model and the example datasets, and lists their sizes, because a browser cannot list a folder.
 *
 * @param {string} target
 */
function copyAssets(target) {
  const list = [];
  for (const folder of ["embedded-model", "demo"]) {
    cpSync(join(root, "assets", folder), join(target, folder), { recursive: true });
    for (const file of readdirSync(join(target, folder)).sort()) {
      list.push({ name: `${folder}/${file}`, size: statSync(join(target, folder, file)).size });
    }
  }
  writeFileSync(join(target, "files.json"), JSON.stringify(list));
}

/** The reference, from the types and their comments. */
function reference() {
  if (!run(join(root, "node_modules/.bin/typedoc"), ["--options", "web/package/typedoc.json"])) process.exit(1);
  return readFileSync(join(root, "target/api/API.md"), "utf8").replace(/^# .*\n/, "# The package's classes, functions and types\n");
}

/** @param {boolean} check */
function api(check) {
  const file = join(home, "API.md");
  const text = reference();
  if (!check) writeFileSync(file, text);
  else if (!existsSync(file) || readFileSync(file, "utf8") !== text) {
    console.error("web/package/API.md is not what the types say: `node scripts/package.mjs api` writes it.");
    process.exit(1);
  }
}

if (command === "build" && folder === undefined) {
  await build();
} else if (command === "pack" && folder !== undefined) {
  await build();
  const target = resolve(folder);
  mkdirSync(target, { recursive: true });
  if (!run("npm", ["pack", home, "--pack-destination", target])) process.exit(1);
} else if (command === "api" && (folder === undefined || folder === "--check")) {
  api(folder === "--check");
} else {
  console.error("usage: node scripts/package.mjs build | pack FOLDER | api [--check]");
  process.exit(2);
}
