// Brings a machine to where Rootstock builds and tests, and says what it does. Run again, it finds all in place and is done at
// once. `node scripts/setup.mjs native` prepares what `npm run demo` needs, `page` what `npm start` needs to build the page;
// without either, all that `npm test` needs.
//
// It installs system packages by apt-get only when it runs as root; otherwise it prints the command and ends.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { cacheDir, findChromium, findLinker, output, root, run } from "./lib/host.mjs";
import { cargoDeny, debianPackages, target, toolPaths, wasmBindgen, wasmToolchain } from "./lib/wasm-toolchain.mjs";

const nativeOnly = process.argv.includes("native");
const pageOnly = process.argv.includes("page");
const started = performance.now();
const linux = process.platform === "linux";

/** @param {string} words */
const say = (words) => console.log(`setup: ${words}`);

/**
 * Ends with what the user has to do.
 *
 * @param {string} words
 * @returns {never}
 */
function stop(words) {
  console.error(`setup: ${words}`);
  process.exit(1);
}

checkRust();
if (!nativeOnly) addWasmTarget();
installSystemPackages();
if (!nativeOnly) {
  compileTool(wasmBindgen, "makes the JavaScript that loads the browser build; it has to be of Cargo.lock's version");
  if (!pageOnly) compileTool(cargoDeny, "checks the licences of all dependencies");
  installNodePackages();
}
const browser = nativeOnly ? "" : `, ${wasmToolchain()?.name} compiler for the browser${pageOnly ? "" : `, ${findChromium()}`}`;
say(`all in place (Rust ${rustVersion()}${browser}; ${((performance.now() - started) / 1000).toFixed(1)} s)`);

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
  if (nativeOnly || pageOnly || (output("cargo", ["fmt", "--version"]) && output("cargo", ["clippy", "--version"]))) return;
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

/** rustup's target if its server answers; otherwise Debian's compiler goes on the list of packages. */
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
  const linker = [
    {
      why: "a C compiler, which Rust calls to link programs",
      present: () => findLinker() !== null,
      packages: ["gcc", "libc6-dev"],
      elsewhere: "Install a C compiler (on macOS: xcode-select --install).",
    },
  ];
  const vulkan = [
    {
      why: "Vulkan, and a driver that computes on the CPU where there is no GPU",
      present: vulkanPresent,
      packages: ["libvulkan1", "mesa-vulkan-drivers"],
      elsewhere: "Install the Vulkan loader and your GPU's Vulkan driver, or Mesa's lavapipe.",
    },
  ];
  const compiler = [
    {
      why: "a compiler for the browser build, in place of rustup's",
      present: () => wasmToolchain() !== null,
      packages: debianPackages,
      elsewhere: `Run: rustup target add ${target}`,
    },
  ];
  const browser = [
    {
      why: "a browser with WebGPU, for the browser tests",
      present: () => findChromium() !== null,
      packages: ["chromium"],
      elsewhere: "Install Chrome or Chromium, or name one in CHROMIUM_PATH.",
    },
  ];
  if (nativeOnly) return [...linker, ...vulkan];
  if (pageOnly) return [...linker, ...compiler];
  return [...linker, ...vulkan, ...compiler, ...browser];
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
  // Package lists may be missing or out of date; a mirror that fails is seen at the installation.
  run("apt-get", ["update", "-qq"], { env, seconds: 300 });
  if (!run("apt-get", ["-qq", ...install], { env })) stop("apt-get could not install the packages, see above.");
  const still = missing.filter((need) => !need.present());
  if (still.length > 0) {
    stop(`apt-get ended well, and yet this is missing:\n${still.map((need) => `${need.why}. ${need.elsewhere}`).join("\n")}`);
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
 * The entries of a folder, as full paths; none where there is no such folder.
 *
 * @param {string} folder
 * @param {RegExp} pattern of the name
 */
function list(folder, pattern) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => pattern.test(name)).map((name) => join(folder, name));
}

/**
 * @param {typeof cargoDeny} tool
 * @param {string} why
 */
function compileTool(tool, why) {
  const { folder, program } = toolPaths(tool);
  if (existsSync(program)) return;
  say(`compiling ${tool.crate} ${tool.version} into ${folder}, once for all clones (minutes): it ${why}`);
  // A folder of its own for the objects, so that an interrupted compilation goes on where it was.
  const objects = join(cacheDir, `build-${tool.crate}-${tool.version}`);
  mkdirSync(cacheDir, { recursive: true });
  const env = { CARGO_TARGET_DIR: objects, CARGO_PROFILE_RELEASE_OPT_LEVEL: "1", CARGO_PROFILE_RELEASE_LTO: "off" };
  const args = ["install", tool.crate, "--version", tool.version, "--no-default-features", "--root", folder];
  // A mirror of crates.io may lack a version that the tool's own lock file names: then the newest one that fits.
  if (!run("cargo", [...args, "--locked"], { env }) && !run("cargo", args, { env })) {
    stop(`${tool.crate} could not be compiled, see above.`);
  }
  rmSync(objects, { recursive: true, force: true });
}

function installNodePackages() {
  if (nodePackagesPresent()) return;
  say("installing the Node packages of package-lock.json (TypeScript, its linter, Playwright)");
  // The browser is the system's own: Playwright's download is not wanted.
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
