// What dependencies may bring with them: reads deny.toml and judges what `cargo metadata` says of the crates that are built. The keys mean
// what they mean to cargo-deny, whose command gives the same verdict but takes minutes to compile.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "smol-toml";
import satisfies from "spdx-satisfies";
import { root } from "./host.mjs";

/**
 * @typedef {object} Rules
 * @property {string[]} targets platforms for which Rootstock is built
 * @property {string[]} allow SPDX licences
 *
 * @typedef {{ name: string, req: string, source: string | null }} Requirement
 * @typedef {{ id: string, name: string, version: string, license: string | null, source: string | null, dependencies: Requirement[] }} Package
 * @typedef {{ packages: Package[], workspace_members: string[], resolve: { nodes: { id: string, dependencies: string[] }[] } }} Metadata
 */

const cratesIo = "registry+https://github.com/rust-lang/crates.io-index";

/** The only values of the other keys for which `judge` has rules. */
const fixed = /** @type {const} */ ({
  licenses: {},
  bans: { "multiple-versions": "allow", wildcards: "deny", "allow-wildcard-paths": true },
  sources: { "unknown-registry": "deny", "unknown-git": "deny" },
});

/**
 * Reads deny.toml. A key that nothing here follows is an error: it would look like a rule and be none.
 *
 * @param {string} text
 * @returns {Rules}
 */
export function readRules(text) {
  const { graph = {}, licenses = {}, ...rest } = /** @type {Record<string, Record<string, unknown>>} */ (parse(text));
  const { targets, ...otherGraph } = graph;
  const { allow, ...otherLicenses } = licenses;
  const found = { licenses: otherLicenses, ...rest };
  const same = (/** @type {object} */ a, /** @type {object} */ b) => JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
  for (const name of new Set([...Object.keys(found), ...Object.keys(fixed)])) {
    const wanted = /** @type {Record<string, object>} */ (fixed)[name];
    const values = /** @type {Record<string, object>} */ (found)[name] ?? {};
    if (wanted === undefined || !same(values, wanted)) {
      throw new Error(`deny.toml: scripts/lib/dependencies.mjs follows only ${JSON.stringify(wanted ?? {})} in [${name}], not ${JSON.stringify(values)}`);
    }
  }
  const strings = (/** @type {unknown} */ list) => Array.isArray(list) && list.length > 0 && list.every((entry) => typeof entry === "string");
  if (!strings(targets) || Object.keys(otherGraph).length > 0) throw new Error("deny.toml: [graph] holds `targets`, a list of platforms, and nothing else");
  if (!strings(allow)) throw new Error("deny.toml: [licenses] needs `allow`, a list of SPDX licences");
  return { targets: /** @type {string[]} */ (targets), allow: /** @type {string[]} */ (allow) };
}

/** The rules of this repository. */
export function rules() {
  return readRules(readFileSync(join(root, "deny.toml"), "utf8"));
}

/**
 * Judges all crates that the workspace needs, for building and testing too.
 *
 * @param {Metadata} metadata
 * @param {Rules} rules
 * @returns {{ faults: string[], unused: string[], count: number }} sentences; licences that no crate needs; how many crates there are
 */
export function judge(metadata, { allow }) {
  const nodes = new Map(metadata.resolve.nodes.map((node) => [node.id, node.dependencies]));
  const needed = new Set(metadata.workspace_members);
  for (const id of needed) for (const below of nodes.get(id) ?? []) needed.add(below); // a Set also visits what is added meanwhile
  const packages = metadata.packages.filter(({ id }) => needed.has(id));

  const faults = [];
  const used = new Set();
  for (const { name, version, license, source, dependencies } of packages) {
    const crate = `${name} ${version}`;
    if (license === null) {
      faults.push(`${crate} has no SPDX licence in its Cargo.toml: read what it offers, and do without it if that is unclear`);
    } else {
      const expression = license.replaceAll("/", " OR "); // as crates wrote it before SPDX
      if (!accepts(expression, allow)) faults.push(`${crate} is under ${license}, which deny.toml does not allow`);
      for (const one of allow) if (expression.includes(one)) used.add(one);
    }
    if (source !== null && source !== cratesIo) faults.push(`${crate} comes from ${source}; only crates.io is allowed`);
    for (const { name: wanted, req, source: from } of dependencies) {
      // A path has no version; that is no wildcard, since it cannot change by itself.
      if (req === "*" && from !== null) faults.push(`${crate} takes any version (*) of ${wanted}`);
    }
  }
  return { faults, unused: allow.filter((one) => !used.has(one)), count: packages.length };
}

/**
 * @param {string} expression
 * @param {string[]} allow
 */
function accepts(expression, allow) {
  try {
    return satisfies(expression, allow);
  } catch {
    return false; // it is no SPDX expression
  }
}

/**
 * Published faults of crates, from the database of osv.dev (which holds RustSec's).
 *
 * @param {{ name: string, version: string }[]} packages
 * @param {typeof fetch} [get]
 * @returns {Promise<string[]>} sentences
 */
export async function advisories(packages, get = fetch) {
  /** @type {string[]} */
  const faults = [];
  for (let first = 0; first < packages.length; first += 1000) {
    const some = packages.slice(first, first + 1000); // no more are taken at once
    const queries = some.map(({ name, version }) => ({ package: { ecosystem: "crates.io", name }, version }));
    const body = JSON.stringify({ queries });
    const response = await get("https://api.osv.dev/v1/querybatch", { method: "POST", body, signal: AbortSignal.timeout(15_000) });
    if (!response.ok) throw new Error(`osv.dev answers ${response.status}`);
    const { results } = /** @type {{ results: { vulns?: { id: string }[] }[] }} */ (await response.json());
    some.forEach(({ name, version }, i) => {
      for (const { id } of results[i]?.vulns ?? []) faults.push(`${name} ${version}: https://osv.dev/${id}`);
    });
  }
  return faults;
}
