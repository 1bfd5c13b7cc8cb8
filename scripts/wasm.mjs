// The library for the browser: `node scripts/wasm.mjs build` leaves an ES module in target/web, made small by Cargo's profile `web` and by
// wasm-opt, and cut in two: what a first visit needs, and the rest, which is fetched when it is needed (scripts/wasm-bindgen/deferred.txt); `node scripts/wasm.mjs clippy` lints the library with the rules of clippy-wasm/.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { root, run } from "./lib/host.mjs";
import { target, wasmToolchain } from "./lib/wasm-toolchain.mjs";

const [command] = process.argv.slice(2);
const profile = "web";
const out = join(root, "target/web");
const toolchain = wasmToolchain();
if (toolchain === null) {
  console.error("The compiler for the browser build is missing: `npm run setup` installs it.");
  process.exit(1);
}

/** @param {[string, ...string[]]} command @param {string[]} args @param {Record<string, string>} env */
function cargo([program, ...first], args, env = {}) {
  if (!run(program, [...first, ...args], { env: { ...toolchain?.env, ...env } })) process.exit(1);
}

/** @param {string} file */
function optimise(file) {
  // What rustc may use for this target by default, which wasm-opt has to be told.
  const features = ["bulk-memory", "mutable-globals", "nontrapping-float-to-int", "reference-types", "sign-ext", "multivalue"];
  const flags = features.map((feature) => `--enable-${feature}`);
  const wasmOpt = join(root, "node_modules/.bin/wasm-opt");
  // With names: what is deferred is chosen by them. Cutting leaves them out.
  if (!run(wasmOpt, [file, "-Oz", "-g", ...flags, "-o", file])) process.exit(1);
}

/** @param {string[]} args */
function bindgen(...args) {
  if (!run("cargo", ["run", "--profile", "tool", "--package", "bindgen", "--", ...args])) process.exit(1);
}

if (command === "build") {
  const library = ["--lib", "--crate-type", "cdylib", "--no-default-features"]; // an rlib is of no use here
  cargo(toolchain.cargo, ["rustc", ...library, "--profile", profile, ...toolchain.args]);
  const built = join(toolchain.env.CARGO_TARGET_DIR, target, profile, "rootstock.wasm");
  // What follows takes a while, and nothing of it changes when none of these files did.
  const tool = ["deferred.txt", "src/main.rs", "src/split.rs", "src/loader.js"].map((file) => `scripts/wasm-bindgen/${file}`);
  const sources = [built, "Cargo.lock", "package-lock.json", "scripts/wasm.mjs", ...tool];
  const hash = createHash("sha256");
  for (const file of sources) hash.update(readFileSync(resolve(root, file)));
  const stamp = join(out, "made-from.txt");
  const wanted = hash.digest("hex");
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
    rmSync(stamp, { force: true });
    bindgen(built, out);
    optimise(join(out, "rootstock_bg.wasm"));
    bindgen("split", out, "scripts/wasm-bindgen/deferred.txt");
    writeFileSync(stamp, wanted);
  }
} else if (command === "clippy") {
  const env = { CLIPPY_CONF_DIR: join(root, "clippy-wasm") };
  // With the build's own profile, macros and build scripts are compiled for both at once.
  cargo(toolchain.clippy, ["--lib", "--no-default-features", "--profile", profile, ...toolchain.args, "--", "-D", "warnings"], env);
} else {
  console.error("usage: node scripts/wasm.mjs build | clippy");
  process.exit(2);
}
