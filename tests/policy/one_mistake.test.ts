/**
 * One mistake is told once: whatever single key or value of a good policy is spoilt, nothing is told
 * that only follows from it.
 */
import assert from "node:assert/strict";
import { loadPolicySet } from "../../policy/load.ts";
import { sha256 } from "../../policy/sha256.ts";

const OPENED = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo, description: words, labels: { a: b } }
defaults: { grace: 1s, expires: 8h, onReset: restore }
devices:
  ssd:
    match: { id: "1b36:0010", address: "0000:03:00.0", iommuGroup: 8, numaNode: 1, driver: vfio-pci, class: "0108", barSizes: { 2: 1MiB } }
    acquire: open
    many: true
    enableCmb: true
importers:
  engine: { identity: { user: nobody, executable: /usr/bin/x }, driver: iommufd, mapping: bargate, device: { id: "1b36:0011" } }
  other: { identity: { unit: a.service }, driver: iommufd, mapping: bargate }
exports:
  - name: data
    device: ssd
    bar: 2
    slices: [{ offset: 0, length: 64KiB }]
    importers: [engine, other]
    access: read-only
    shared: true
    collateral: device
    onReset: revoke
    grace: 2s
    expires: 1h
    allowProtected: [{ range: msix-table, reason: why }]
  - { name: cmb, device: ssd, bar: 4, region: nvme.cmb, importers: [engine], collateral: device }
deny:
  - { device: ssd, bar: 0, slices: [{ offset: 0, length: 4KiB }], reason: registers }
`;
const BORROWED = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
devices:
  ssd: { match: { id: "1b36:0010" }, acquire: borrow, owner: { unit: a.service, user: spdk, executable: /usr/bin/x, socket: /run/x } }
importers:
  engine: { identity: { user: nobody, group: nogroup }, driver: mlx5, device: { rdma: mlx5_0 } }
exports:
  - { name: data, device: ssd, bar: 2, slices: [{ offset: 0, length: 64KiB }, { offset: 128KiB, length: rest }], importers: [engine], revocation: cooperative }
`;
const BESIDE = `apiVersion: bargate/v1
kind: PolicySet
metadata: { name: site }
files:
  - { path: borrowed.yaml, sha256: "${sha256(new TextEncoder().encode(BORROWED))}" }
---
apiVersion: bargate/v1
kind: PolicyTest
metadata: { name: site }
cases:
  - { name: x, request: { importer: engine, device: ssd, bar: 2, offset: 0, length: 4KiB, access: read-only }, expect: { decision: allowed, rules: [a/b] } }
  - { name: y, expect: { diagnostic: BG1706 } }
`;

/** What is told of a text, each code once. */
function codes(text: string, name: string): readonly string[] {
  const listed = name === "BESIDE" ? [{ file: "borrowed.yaml", text: BORROWED }] : [];
  const { diagnostics } = loadPolicySet([{ file: "a.yaml", text }, ...listed]);
  return [...new Set(diagnostics.map(({ code }) => code))].sort();
}

/** Places that match, with what stands there. */
function places(text: string, pattern: RegExp): readonly { start: number; word: string }[] {
  return [...text.matchAll(pattern)].map(({ 0: word, index: start }) => ({ start, word }));
}

function spoilt(
  text: string,
  { start, word }: { start: number; word: string },
  by: string,
): string {
  return text.slice(0, start) + by + text.slice(start + word.length);
}

const KEY = /[A-Za-z]{3,}(?=: |:$)/gm;
const VALUE = /(?<=: )(?:"[^"]*"|[^\s,{}[\]]+)(?=[ ,}\n])/g;
/** A key with its value, inside braces. */
const ENTRY = /[A-Za-z0-9]+: (?:"[^"]*"|[^\s,{}[\]]+|\{[^{}]*\}|\[[^[\]]*\])(?:, )?/g;

/** What can be left out of each policy, and it is one that says something else. */
const OPTIONAL: Readonly<Record<string, readonly string[]>> = {
  OPENED: [
    "description: words",
    "labels: { a: b }",
    "defaults: { grace: 1s, expires: 8h, onReset: restore }",
    'address: "0000:03:00.0"',
    "iommuGroup: 8",
    "numaNode: 1",
    "driver: vfio-pci",
    'class: "0108"',
    "barSizes: { 2: 1MiB }",
    "acquire: open",
    "many: true",
    "enableCmb: true",
    'device: { id: "1b36:0011" }',
    "access: read-only",
    "onReset: revoke",
    "grace: 2s",
    "expires: 1h",
    "allowProtected: [{ range: msix-table, reason: why }]",
    "slices: [{ offset: 0, length: 4KiB }]",
  ],
  BORROWED: ["device: { rdma: mlx5_0 }"],
  BESIDE: [],
};

/** Values that could as well be others: names of one's own, words for people, and what was there. */
const FREE: Readonly<Record<string, readonly string[]>> = {
  OPENED: [
    "name: demo → zzz",
    "description: words → zzz",
    "a: b → zzz",
    'a: b → ""',
    "many: true → true",
    "enableCmb: true → true",
    "user: nobody → zzz",
    "name: data → zzz",
    "shared: true → true",
    "reason: why → zzz",
    "name: cmb → zzz",
    "reason: registers → zzz",
  ],
  BORROWED: [
    "name: demo → zzz",
    "user: spdk → zzz",
    "user: nobody → zzz",
    "group: nogroup → zzz",
    "rdma: mlx5_0 → zzz",
    "name: data → zzz",
  ],
  // What a test asks for need not be there: its case fails.
  BESIDE: [
    "name: site → zzz",
    "name: x → zzz",
    "importer: engine → zzz",
    'importer: engine → ""',
    "device: ssd → zzz",
    'device: ssd → ""',
    "name: y → zzz",
  ],
};

/** The key of a value with what stands before the value. */
function keyBefore(text: string, start: number): string {
  return /[A-Za-z0-9]+: $/.exec(text.slice(0, start))?.[0] ?? "";
}

Deno.test("a policy with one mistake is told one thing", async (t) => {
  for (const [name, text] of Object.entries({ OPENED, BORROWED, BESIDE })) {
    assert.deepEqual(codes(text, name), [], name);
    await t.step(`${name}: a misspelt key`, () => {
      for (const key of places(text, KEY)) {
        const other = `${key.word.slice(0, 3)}x${key.word.slice(3)}`;
        const told = codes(spoilt(text, key, other), name);
        assert.equal(told.length, 1, `${key.word} → ${other}: ${told}`);
      }
    });
    await t.step(`${name}: a key that nobody knows`, () => {
      for (const key of places(text, KEY)) {
        // What is not there any more may be needed.
        const told = codes(spoilt(text, key, "zzzzzz"), name).filter((code) => code !== "BG1103");
        assert.equal(told.length, 1, `${key.word} → zzzzzz: ${told}`);
      }
    });
    await t.step(`${name}: without a key`, () => {
      for (const entry of places(text, ENTRY)) {
        const told = codes(spoilt(text, entry, ""), name);
        const harmless = OPTIONAL[name]?.includes(entry.word.replace(/, $/, ""));
        const what = `without ${entry.word} at ${entry.start}: ${told}`;
        assert.equal(told.length, harmless === true ? 0 : 1, what);
      }
    });
    await t.step(`${name}: another value`, () => {
      for (const value of places(text, VALUE)) {
        for (const by of ["[x]", "{ x: y }", "zzz", "-7", "1.5", "true", "~", '""']) {
          const told = codes(spoilt(text, value, by), name);
          // A wrong path lacks one file and leaves another without its entry.
          if (told.join() === "BG1801,BG1802") continue;
          const what = `${keyBefore(text, value.start)}${value.word} → ${by}`;
          const harmless = FREE[name]?.includes(what);
          assert.equal(
            told.length,
            harmless === true ? 0 : 1,
            `${what} at ${value.start}: ${told}`,
          );
        }
      }
    });
  }
});

/** Keys of other mappings, which are easily thought to belong here as well. */
const FOREIGN = ["reason: x", "description: x", "name: zz", "user: x", "kind: x", "range: 4KiB"];

Deno.test("a key that belongs elsewhere is told once, whatever key it is near to", () => {
  for (const [name, text] of Object.entries({ OPENED, BORROWED, BESIDE })) {
    for (const brace of places(text, /\{ (?=[a-z])/g)) {
      for (const foreign of FOREIGN) {
        const told = codes(spoilt(text, brace, `{ ${foreign}, `), name);
        // One that is there already is two mistakes if its value is wrong.
        if (told.includes("BG1006")) continue;
        assert.ok(told.length < 2, `${text.slice(brace.start, brace.start + 60)}: ${told}`);
      }
    }
  }
});
