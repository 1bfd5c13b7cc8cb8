// The library for the browser: `node scripts/wasm.mjs build` leaves an ES module in target/web, small by Cargo's profile `web` and by wasm-opt,
// `node scripts/wasm.mjs clippy` lints it with the rules of clippy-wasm/.
import { join } from "node:path";
import { existsSync } from "node:fs";
import { root, run } from "./lib/host.mjs";
import { target, toolPaths, wasmBindgen, wasmToolchain } from "./lib/wasm-toolchain.mjs";

const [command] = process.argv.slice(2);
const profile = "web";
const out = join(root, "target/web");
const toolchain = wasmToolchain();
const bindgen = toolPaths(wasmBindgen).program;
if (toolchain === null || (command === "build" && !existsSync(bindgen))) {
  console.error("The tools that build for the browser are missing: `npm run setup` installs them.");
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
  if (!run(wasmOpt, [file, "-Oz", ...flags, "-o", file])) process.exit(1);
}

if (command === "build") {
  const library = ["--lib", "--crate-type", "cdylib", "--no-default-features"]; // an rlib is of no use here
  cargo(toolchain.cargo, ["rustc", ...library, "--profile", profile, ...toolchain.args]);
  const built = join(toolchain.env.CARGO_TARGET_DIR, target, profile, "rootstock.wasm");
  if (!run(bindgen, [built, "--target", "web", "--out-dir", out, "--no-typescript"])) process.exit(1);
  optimise(join(out, "rootstock_bg.wasm"));
} else if (command === "clippy") {
  const env = { CLIPPY_CONF_DIR: join(root, "clippy-wasm") };
  cargo(toolchain.clippy, ["--lib", "--no-default-features", ...toolchain.args, "--", "-D", "warnings"], env);
} else {
  console.error("usage: node scripts/wasm.mjs build | clippy");
  process.exit(2);
}
