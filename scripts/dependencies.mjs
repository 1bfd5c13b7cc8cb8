// `node scripts/dependencies.mjs` checks licences and sources of all crates against deny.toml, `node scripts/dependencies.mjs advisories`
// lists their published faults (the names and versions of Cargo.lock's crates go to osv.dev).
import { advisories, judge, rules } from "./lib/dependencies.mjs";
import { output } from "./lib/host.mjs";

const { targets, ...rest } = rules();
const platforms = targets.flatMap((target) => ["--filter-platform", target]);
const text = output("cargo", ["metadata", "--format-version", "1", "--locked", ...platforms]);
if (text === null) {
  console.error("cargo metadata failed; `cargo metadata --locked` shows why.");
  process.exit(1);
}
const metadata = /** @type {import("./lib/dependencies.mjs").Metadata} */ (JSON.parse(text));
if (process.argv[2] === "advisories") {
  const crates = metadata.packages.filter(({ source }) => source !== null);
  try {
    const faults = await advisories(crates);
    console.log(faults.length === 0 ? `no published faults in ${crates.length} crates` : faults.join("\n"));
  } catch (error) {
    console.log(`The list of advisories is out of reach (${String(error)}); not checked.`);
  }
} else {
  const { faults, unused, count } = judge(metadata, { targets, ...rest });
  for (const licence of unused) console.log(`deny.toml allows ${licence}, which no crate needs`);
  for (const fault of faults) console.error(fault);
  console.log(faults.length === 0 ? `${count} crates: licences and sources are allowed` : `${faults.length} of ${count} crates: see above`);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
