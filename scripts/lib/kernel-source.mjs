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
  // A kernel's name is that of its file, then a version that the file has beside its own (`// also`), then the value of what is permuted, such as the weights'
  // type, then the options that are not the first, as `tile_f16`.
  const words = kernel.split(".");
  const inFile = words.map((_, i) => words.length - i).find((count) => existsSync(join(root, "shaders", `${words.slice(0, count).join(".")}.wgsl`)));
  const stem = words.slice(0, inFile).join(".");
  const file = join(root, "shaders", `${stem}.wgsl`);
  const own = readFileSync(file, "utf8");
  const more = words.slice(inFile);
  const also = /^\/\/ also (\w+):/m.exec(own)?.[1];
  const versions = [...(also !== undefined && more[0] === also ? more.splice(0, 1) : []), ...(stem.includes(".") ? [words[(inFile ?? 0) - 1] ?? ""] : [])];
  const axes = new Map([...own.matchAll(/^\/\/ (permute|option) (\w+): (.*)$/gm)].map(([, kind, name = "", values = ""]) => {
    const before = `${name.toLowerCase()}_`;
    const chosen = kind === "permute" ? more[0] : more.find((suffix) => suffix.startsWith(before))?.slice(before.length);
    return [`{${name}}`, chosen ?? values.split(" ")[0] ?? ""];
  }));
  const { enabled, text: rest } = switchedOn(expanded(file, versions, axes, new Set()));
  const text = enabled + rest;
  const lines = text.split("\n").map((line) => line.replace(/\/\/.*$/, "").trimEnd());
  const code = lines.filter((line) => line !== "").join("\n");
  return { text, hash: createHash("sha256").update(code).digest("hex").slice(0, 8) };
}

/**
 * A file with all that it uses in front of it.
 *
 * @param {string} file
 * @param {string[]} versions the kernel's; of a file that there is for one of them, the first such is taken
 * @param {Map<string, string>} axes
 * @param {Set<string>} seen
 * @returns {string}
 */
function expanded(file, versions, axes, seen) {
  const text = readFileSync(file, "utf8");
  const uses = [...text.matchAll(/^\/\/ use: (.*)$/gm)].map(([, name]) => {
    const used = [...axes].reduce((used, [axis, value]) => used.replace(axis, value), (name ?? "").trim());
    const ofVersions = versions.map((version) => used.replace(".wgsl", `.${version}.wgsl`));
    return ofVersions.find((name) => existsSync(join(root, "shaders", name))) ?? used;
  });
  const parts = uses.map((used) => {
    if (seen.has(used)) return "";
    seen.add(used);
    return expanded(join(root, "shaders", used), versions, axes, seen);
  });
  return `${parts.join("")}${text.replace(/^\/\/ (use|permute|option|also).*$/gm, "")}\n`;
}

/**
 * What switches parts of the language on, which has to come first, and all else.
 *
 * @param {string} text
 */
function switchedOn(text) {
  const enabling = /^enable .*\n/gm;
  return { enabled: (text.match(enabling) ?? []).join(""), text: text.replace(enabling, "") };
}
