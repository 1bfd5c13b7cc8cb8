// The text of a kernel with all that it uses, as build.rs puts it together, and a hash of its code.
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { root } from "./host.mjs";

/**
 * @param {string} kernel the file's name without `.wgsl`, and the version of a permuted one
 * @returns {{ text: string, hash: string }} the hash leaves comments out
 */
export function kernelSource(kernel) {
  // The last part of a permuted kernel's name is its axis, such as the weights' type.
  const whole = join(root, "shaders", `${kernel}.wgsl`);
  const file = existsSync(whole) ? whole : join(root, "shaders", `${kernel.slice(0, kernel.lastIndexOf("."))}.wgsl`);
  const axis = /^\/\/ permute (\w+):/m.exec(readFileSync(file, "utf8"))?.[1];
  const value = file === whole || axis === undefined ? "" : kernel.slice(kernel.lastIndexOf(".") + 1);
  const text = expanded(file, basename(file, ".wgsl"), `{${axis ?? ""}}`, value, new Set());
  const lines = text.split("\n").map((line) => line.replace(/\/\/.*$/, "").trimEnd());
  const code = lines.filter((line) => line !== "").join("\n");
  return { text, hash: createHash("sha256").update(code).digest("hex").slice(0, 8) };
}

/**
 * A file with all that it uses in front of it.
 *
 * @param {string} file
 * @param {string} stem the kernel's, which ends with its version
 * @param {string} axis
 * @param {string} value
 * @param {Set<string>} seen
 * @returns {string}
 */
function expanded(file, stem, axis, value, seen) {
  const text = readFileSync(file, "utf8");
  const uses = [...text.matchAll(/^\/\/ use: (.*)$/gm)].map(([, name]) => {
    const used = (name ?? "").trim().replace(axis, value);
    const ofVersion = stem.includes(".") ? used.replace(".wgsl", `.${stem.slice(stem.lastIndexOf(".") + 1)}.wgsl`) : used;
    return existsSync(join(root, "shaders", ofVersion)) ? ofVersion : used;
  });
  const parts = uses.map((used) => {
    if (seen.has(used)) return "";
    seen.add(used);
    return expanded(join(root, "shaders", used), stem, axis, value, seen);
  });
  return `${parts.join("")}${text.replace(/^\/\/ (use|permute).*$/gm, "")}\n`;
}
