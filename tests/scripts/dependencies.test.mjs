import assert from "node:assert/strict";
import { test } from "node:test";
import { advisories, judge, readRules, rules } from "../../scripts/lib/dependencies.mjs";

/** @typedef {import("../../scripts/lib/dependencies.mjs").Package} Package */

const cratesIo = "registry+https://github.com/rust-lang/crates.io-index";

/** @param {Partial<Package>} [more] */
const crate = (more) => ({ id: "a", name: "a", version: "1.0.0", license: "MIT", source: cratesIo, dependencies: [], ...more });

/**
 * What `judge` finds in a workspace whose member needs these crates.
 *
 * @param {Package[]} packages
 * @param {string[]} [allow]
 */
function faults(packages, allow = ["MIT", "Unicode-3.0"]) {
  const member = crate({ id: "member", name: "member", source: null });
  const nodes = [{ id: "member", dependencies: packages.map(({ id }) => id) }];
  return judge({ packages: [member, ...packages], workspace_members: ["member"], resolve: { nodes } }, { targets: [], allow }).faults;
}

void test("an allowed licence is accepted, also as one of several", () => {
  for (const license of ["MIT", "MIT OR Apache-2.0", "GPL-3.0-only OR MIT", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND Unicode-3.0"]) {
    assert.deepEqual(faults([crate({ license })]), [], license);
  }
});

void test("a licence that is not allowed is a fault, also beside an allowed one", () => {
  for (const license of ["GPL-3.0-only", "MIT AND GPL-3.0-only", "Apache-2.0 WITH LLVM-exception", "my own words", "MITX"]) {
    assert.deepEqual(faults([crate({ license })]), [`a 1.0.0 is under ${license}, which deny.toml does not allow`]);
  }
});

void test("a crate without a licence is a fault", () => {
  assert.match(faults([crate({ license: null })])[0] ?? "", /a 1\.0\.0 has no SPDX licence/);
});

void test("a crate from a git repository or another registry is a fault", () => {
  for (const source of ["git+https://example.org/a#123", "registry+https://example.org/index"]) {
    assert.deepEqual(faults([crate({ source })]), [`a 1.0.0 comes from ${source}; only crates.io is allowed`]);
  }
});

void test("a wildcard is a fault, a path is none", () => {
  const any = (/** @type {string | null} */ source) => crate({ dependencies: [{ name: "b", req: "*", source }] });
  assert.deepEqual(faults([any(cratesIo)]), ["a 1.0.0 takes any version (*) of b"]);
  assert.deepEqual(faults([any(null)]), []);
});

void test("crates that nothing needs are not judged, those below others are", () => {
  const packages = [crate({ id: "top", source: null }), crate({ id: "middle" }), crate({ id: "deep", license: "GPL-3.0-only" })];
  const found = (/** @type {string[]} */ below) =>
    judge(
      { packages, workspace_members: ["top"], resolve: { nodes: [{ id: "top", dependencies: ["middle"] }, { id: "middle", dependencies: below }] } },
      { targets: [], allow: ["MIT"] },
    );
  assert.deepEqual([found([]).faults.length, found([]).count], [0, 2]);
  assert.deepEqual([found(["deep"]).faults.length, found(["deep"]).count], [1, 3]);
});

void test("a licence that no crate needs is told", () => {
  const metadata = { packages: [crate()], workspace_members: ["a"], resolve: { nodes: [] } };
  assert.deepEqual(judge(metadata, { targets: [], allow: ["MIT", "ISC"] }).unused, ["ISC"]);
});

void test("deny.toml can be read, and a key that nothing follows is refused", () => {
  assert.ok(rules().allow.includes("MIT"));
  const text = (/** @type {string} */ more) => `
    [graph]
    targets = ["x"]
    [licenses]
    allow = ["MIT"]
    [bans]
    multiple-versions = "allow"
    wildcards = "deny"
    allow-wildcard-paths = true
    [sources]
    unknown-registry = "deny"
    unknown-git = "deny"
    ${more}`;
  assert.deepEqual(readRules(text("")), { targets: ["x"], allow: ["MIT"] });
  assert.throws(() => readRules(text('allow-git = ["https://example.org/a"]')), /in \[sources\], not .*allow-git/);
  assert.throws(() => readRules(text("[advisories]\nyanked = \"deny\"")), /\[advisories\]/);
  assert.throws(() => readRules(text("").replace('"MIT"', "")), /needs `allow`/);
});

void test("published faults are told with their crate", async () => {
  const asked = /** @type {unknown[]} */ ([]);
  const get = /** @type {typeof fetch} */ (
    (/** @type {unknown} */ _, /** @type {{ body: string }} */ { body }) => {
      asked.push(JSON.parse(body));
      return Promise.resolve(new Response(JSON.stringify({ results: [{}, { vulns: [{ id: "RUSTSEC-2020-0001" }] }] })));
    }
  );
  const found = await advisories([{ name: "a", version: "1.0.0" }, { name: "b", version: "2.0.0" }], get);
  assert.deepEqual(found, ["b 2.0.0: https://osv.dev/RUSTSEC-2020-0001"]);
  const query = (/** @type {string} */ name, /** @type {string} */ version) => ({ package: { ecosystem: "crates.io", name }, version });
  assert.deepEqual(asked, [{ queries: [query("a", "1.0.0"), query("b", "2.0.0")] }]);
});
