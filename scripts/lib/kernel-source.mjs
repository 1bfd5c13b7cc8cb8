// The text of a kernel with all that it uses, as build.rs puts it together, and a hash of its code.
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./host.mjs";

/**
 * @param {string} kernel the file's name without `.wgsl`, and the version of a permuted one
 * @returns {{ text: string, hash: string }} the hash leaves comments out
 */
export function kernelSource(kernel) {
  // A kernel's name is that of its file, then a version that the file has beside its own (`// also`), then its axis, such as the weights' type.
  const words = kernel.split(".");
  const inFile = words.map((_, i) => words.length - i).find((count) => existsSync(join(root, "shaders", `${words.slice(0, count).join(".")}.wgsl`)));
  const stem = words.slice(0, inFile).join(".");
  const file = join(root, "shaders", `${stem}.wgsl`);
  const own = readFileSync(file, "utf8");
  const more = words.slice(inFile);
  const also = /^\/\/ also (\w+):/m.exec(own)?.[1];
  const axis = /^\/\/ permute (\w+):/m.exec(own)?.[1];
  const versions = [...(also !== undefined && more[0] === also ? more.splice(0, 1) : []), ...(stem.includes(".") ? [words[(inFile ?? 0) - 1] ?? ""] : [])];
  const text = expanded(file, versions, `{${axis ?? ""}}`, axis === undefined ? "" : (more[0] ?? ""), new Set());
  const lines = text.split("\n").map((line) => line.replace(/\/\/.*$/, "").trimEnd());
  const code = lines.filter((line) => line !== "").join("\n");
  return { text, hash: createHash("sha256").update(code).digest("hex").slice(0, 8) };
}

/**
 * A file with all that it uses in front of it.
 *
 * @param {string} file
 * @param {string[]} versions the kernel's; of a file that there is for one of them, the first such is taken
 * @param {string} axis
 * @param {string} value
 * @param {Set<string>} seen
 * @returns {string}
 */
function expanded(file, versions, axis, value, seen) {
  const text = readFileSync(file, "utf8");
  const uses = [...text.matchAll(/^\/\/ use: (.*)$/gm)].map(([, name]) => {
    const used = (name ?? "").trim().replace(axis, value);
    const ofVersions = versions.map((version) => used.replace(".wgsl", `.${version}.wgsl`));
    return ofVersions.find((name) => existsSync(join(root, "shaders", name))) ?? used;
  });
  const parts = uses.map((used) => {
    if (seen.has(used)) return "";
    seen.add(used);
    return expanded(join(root, "shaders", used), versions, axis, value, seen);
  });
  return `${parts.join("")}${text.replace(/^\/\/ (use|permute|also).*$/gm, "")}\n`;
}
