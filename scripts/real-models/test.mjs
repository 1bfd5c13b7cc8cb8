// `npm run test:real`: builds the program, and the page where its part is asked for, and runs check.py in the fixtures' Python environment.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { output, root, run } from "../lib/host.mjs";

const python = process.env["PYTHON"] ?? join(root, ".venv", "bin", "python");
const needed = "import torch, transformers, peft, gguf";
if (!existsSync(join(root, "real-models", "SmolLM2-135M-Instruct", "config.json"))) {
  console.error("error: the models are not there; run npm run real-models first");
  process.exit(1);
}
if (output(python, ["-c", needed]) === null) {
  console.error(`error: ${python} lacks torch, transformers, peft or gguf; make the environment of scripts/fixtures/README.md with requirements-gguf.txt, or name another by PYTHON`);
  process.exit(1);
}
const parts = process.argv.slice(2);
const built =
  run("cargo", ["build", "--release", "--quiet", "--bin", "rootstock"]) &&
  ((parts.length > 0 && !parts.includes("page")) || run("node", [join(root, "scripts/web.mjs"), "build"]));
const checked = built && run(python, [join(root, "scripts/real-models/check.py"), join(root, "target/release/rootstock"), ...parts]);
process.exit(checked ? 0 : 1);
