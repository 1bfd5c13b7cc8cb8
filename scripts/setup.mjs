// Prepares a machine to build and test Rootstock, and says what it installs. Where nothing is missing it ends within a second.
//
// `node scripts/setup.mjs [PURPOSE]` takes one of the purposes below; without one it prepares all of them. It installs system packages by
// apt-get only when it runs as root; otherwise it prints the command and ends.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { findChromium, findLinker, output, root, run } from "./lib/host.mjs";
import { debianPackages, target, wasmToolchain } from "./lib/wasm-toolchain.mjs";

/** @typedef {"lints" | "vulkan" | "wasm" | "browser" | "node"} Need beyond Rust and a C compiler, which all purposes need */

/** @type {Record<string, Need[]>} */
const purposes = {
  native: ["vulkan"], // npm run demo
  page: ["wasm", "node"], // npm start
  "test-core": ["lints", "vulkan", "node"],
  "test-page": ["lints", "wasm", "browser", "node"],
  all: ["lints", "vulkan", "wasm", "browser", "node"],
};
const purpose = process.argv[2] ?? "all";
const started = performance.now();
const linux = process.platform === "linux";

/** @param {string} words */
const say = (words) => console.log(`setup: ${words}`);

/**
 * Prints what the user has to do, and exits.
 *
 * @param {string} words
 * @returns {never}
 */
function stop(words) {
  console.error(`setup: ${words}`);
  process.exit(1);
}

const needed = purposes[purpose];
if (needed === undefined) stop(`there is no purpose ${purpose}; the purposes are ${Object.keys(purposes).join(", ")}`);
const needs = (/** @type {Need} */ need) => needed.includes(need);

checkRust();
if (needs("wasm")) addWasmTarget();
installSystemPackages();
if (needs("node")) installNodePackages();
const found = [`Rust ${rustVersion()}`];
if (needs("wasm")) found.push(`${wasmToolchain()?.name} compiler for the browser`);
if (needs("browser")) found.push(findChromium() ?? "");
say(`all in place (${found.join(", ")}; ${((performance.now() - started) / 1000).toFixed(1)} s)`);

function rustVersion() {
  return /^rustc (\S+)/.exec(output("rustc", ["--version"]) ?? "")?.[1] ?? null;
}

function checkRust() {
  const wanted = /^rust-version = "(.+)"/m.exec(readFileSync(join(root, "Cargo.toml"), "utf8"))?.[1] ?? "";
  const found = rustVersion();
  if (found === null || output("cargo", ["--version"]) === null) {
    const installed = existsSync(join(homedir(), ".cargo/bin/cargo"));
    stop(
      installed
        ? 'Rust is installed but not on the PATH. Run: . "$HOME/.cargo/env"'
        : `Rust is missing. Install it from https://rustup.rs (version ${wanted} or newer), then run this again.`,
    );
  }
  if (!atLeast(found, wanted)) stop(`Rust ${found} is too old, ${wanted} is needed. Run: rustup update stable`);
  if (!needs("lints") || (output("cargo", ["fmt", "--version"]) && output("cargo", ["clippy", "--version"]))) return;
  say("adding rustfmt and clippy, which check the code, to the Rust toolchain");
  if (!run("rustup", ["component", "add", "rustfmt", "clippy"], { seconds: 300 })) {
    stop("rustfmt and clippy could not be installed. Run: rustup component add rustfmt clippy");
  }
}

/**
 * Whether a version such as 1.95.0 is `wanted` or newer.
 *
 * @param {string} found
 * @param {string} wanted
 */
function atLeast(found, wanted) {
  return found.localeCompare(wanted, "en", { numeric: true }) >= 0;
}

/** Installs rustup's target. If its server does not answer, systemNeeds() asks for Debian's compiler. */
function addWasmTarget() {
  if (wasmToolchain() !== null || output("rustup", ["--version"]) === null) return;
  say(`adding the target ${target} to Rust, for the browser build (at most a minute)`);
  if (!run("rustup", ["target", "add", target], { seconds: 60 })) {
    say("rustup's server is out of reach");
  }
}

/**
 * What has to come from the system's packages: what it is for, how to see that it is there, its name in Debian, and what to
 * do where there is no apt-get.
 */
function systemNeeds() {
  /** @type {{ for?: Need, why: string, present: () => boolean, packages: string[], elsewhere: string }[]} */
  const all = [
    {
      why: "a C compiler, which Rust calls to link programs",
      present: () => findLinker() !== null,
      packages: ["gcc", "libc6-dev"],
      elsewhere: "Install a C compiler (on macOS: xcode-select --install).",
    },
    {
      for: "vulkan",
      why: "Vulkan, and a driver that computes on the CPU where there is no GPU",
      present: vulkanPresent,
      packages: ["libvulkan1", "mesa-vulkan-drivers"],
      elsewhere: "Install the Vulkan loader and your GPU's Vulkan driver, or Mesa's lavapipe.",
    },
    {
      for: "wasm",
      why: "a compiler for the browser build, in place of rustup's",
      present: () => wasmToolchain() !== null,
      packages: debianPackages,
      elsewhere: `Run: rustup target add ${target}`,
    },
    {
      for: "browser",
      why: "a browser with WebGPU, for the browser tests",
      present: () => findChromium() !== null,
      packages: ["chromium"],
      elsewhere: "Install Chrome or Chromium, or name one in CHROMIUM_PATH.",
    },
  ];
  return all.filter((need) => need.for === undefined || needs(need.for));
}

function installSystemPackages() {
  const missing = systemNeeds().filter((need) => !need.present());
  if (missing.length === 0) return;
  if (output("apt-get", ["--version"]) === null) stop(missing.map((need) => need.elsewhere).join("\n"));
  for (const need of missing) say(`missing: ${need.why} (${need.packages.join(", ")})`);
  const install = ["install", "-y", "--no-install-recommends", ...missing.flatMap((need) => need.packages)];
  if (process.getuid?.() !== 0) {
    stop(`this needs root. Run:\n  sudo apt-get update && sudo apt-get ${install.join(" ")}\nand then this again.`);
  }
  say(`running apt-get ${install.join(" ")}`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  // Package lists may be missing or out of date. If a mirror fails, the installation below reports it.
  run("apt-get", ["update", "-qq"], { env, seconds: 300 });
  if (!run("apt-get", ["-qq", ...install], { env })) stop("apt-get could not install the packages, see above.");
  const still = missing.filter((need) => !need.present());
  if (still.length > 0) {
    stop(`apt-get succeeded, but this is still missing:\n${still.map((need) => `${need.why}. ${need.elsewhere}`).join("\n")}`);
  }
}

/**
 * Whether Vulkan can find a device: the loader is there, and either a driver that needs no GPU or a GPU and some driver.
 * macOS has Metal and Windows has Direct3D.
 */
function vulkanPresent() {
  if (!linux) return true;
  const libraries = ["/usr/lib", "/usr/lib64", ...list("/usr/lib", /-linux-gnu$/)];
  if (!libraries.some((folder) => existsSync(join(folder, "libvulkan.so.1")))) return false;
  if (process.env["VK_DRIVER_FILES"] ?? process.env["VK_ICD_FILENAMES"]) return true;
  const drivers = ["/usr/share", "/usr/local/share", "/etc"].flatMap((folder) => list(join(folder, "vulkan/icd.d"), /\.json$/));
  const gpu = existsSync("/dev/nvidia0") || list("/dev/dri", /^renderD/).length > 0;
  return drivers.some((driver) => gpu || /\/(lvp_|vk_swiftshader)/.test(driver));
}

/**
 * The entries of a folder as full paths; an empty list when the folder does not exist.
 *
 * @param {string} folder
 * @param {RegExp} pattern of the name
 */
function list(folder, pattern) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => pattern.test(name)).map((name) => join(folder, name));
}

function installNodePackages() {
  if (nodePackagesPresent()) return;
  say("installing the Node packages of package-lock.json (TypeScript, its linter, Playwright)");
  // The tests use the system's browser; Playwright would download another one.
  const env = { PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD: "1" };
  if (!run("npm", ["ci", "--no-audit", "--no-fund"], { env })) stop("npm ci failed, see above.");
}

/** Whether node_modules holds what package-lock.json asks for. */
function nodePackagesPresent() {
  const installed = join(root, "node_modules/.package-lock.json");
  if (!existsSync(installed)) return false;
  const have = packagesOf(installed);
  return Object.entries(packagesOf(join(root, "package-lock.json"))).every(
    ([path, wanted]) => path === "" || wanted.optional || have[path]?.version === wanted.version,
  );
}

/** @param {string} lockFile */
function packagesOf(lockFile) {
  const lock = /** @type {{ packages: Record<string, { version?: string, optional?: boolean }> }} */ (
    JSON.parse(readFileSync(lockFile, "utf8"))
  );
  return lock.packages;
}
