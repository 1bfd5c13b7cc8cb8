// Finds the compiler for wasm32-unknown-unknown: rustup's target, or, where rustup's server cannot be reached, Debian's compiler. Debian's
// comes with the sources of the standard library, which cargo then compiles too (half a minute, once).
import { existsSync } from "node:fs";
import { join } from "node:path";
import { output, root } from "./host.mjs";

export const target = "wasm32-unknown-unknown";
export const debianPackages = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy"];

/**
 * @typedef {object} WasmToolchain
 * @property {string} name for the person who reads the log
 * @property {[string, ...string[]]} cargo the command for `build` and the like
 * @property {[string, ...string[]]} clippy
 * @property {string[]} args to be added to either
 * @property {{ CARGO_TARGET_DIR: string } & Record<string, string>} env
 */

/**
 * The toolchain that is installed, or null when `npm run setup` has to install one.
 *
 * @returns {WasmToolchain | null}
 */
export function wasmToolchain() {
  const sysroot = output("rustc", ["--print", "sysroot"]);
  // The two compilers must not share a target folder with each other, nor with the native build: cargo would rebuild.
  if (sysroot !== null && existsSync(join(sysroot, "lib/rustlib", target))) {
    return {
      name: "rustup's",
      cargo: ["cargo"],
      clippy: ["cargo", "clippy"],
      args: ["--target", target],
      env: { CARGO_TARGET_DIR: join(root, "target/wasm") },
    };
  }
  const installed = ["rustc", "cargo", "cargo-clippy"].every((program) => existsSync(`/usr/bin/${program}`));
  if (!installed || !existsSync("/usr/lib/rustlib/src/rust/library/std")) return null;
  const linker = findLinker(sysroot);
  if (linker === null) return null;
  return {
    name: "Debian's (rustc-web)",
    cargo: ["/usr/bin/cargo"],
    clippy: ["/usr/bin/cargo-clippy", "clippy"],
    args: ["--target", target, "-Zbuild-std=std,panic_abort"],
    env: {
      CARGO: "/usr/bin/cargo",
      RUSTC: "/usr/bin/rustc",
      RUSTC_BOOTSTRAP: "1", // -Zbuild-std is not stable
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: linker,
      CARGO_TARGET_DIR: join(root, "target/wasm-debian"),
    },
  };
}

/**
 * Debian's compiler comes without a linker for WebAssembly; rustup's native toolchain has one.
 *
 * @param {string | null} sysroot
 */
function findLinker(sysroot) {
  const host = /host: (.+)/.exec(output("rustc", ["-vV"]) ?? "")?.[1];
  const candidates = ["/usr/bin/wasm-ld"];
  if (sysroot !== null && host !== undefined) candidates.unshift(join(sysroot, "lib/rustlib", host, "bin/rust-lld"));
  return candidates.find((path) => existsSync(path)) ?? null;
}
