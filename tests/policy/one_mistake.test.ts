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

Deno.test("a policy with one mistake is told one thing", async (t) => {
  for (const [name, text] of Object.entries({ OPENED, BORROWED, BESIDE })) {
    assert.deepEqual(codes(text, name), [], name);
    await t.step(`${name}: a misspelt key`, () => {
      for (const key of places(text, KEY)) {
        const other = `${key.word.slice(0, 3)}x${key.word.slice(3)}`;
        const told = codes(spoilt(text, key, other), name);
        assert.ok(told.length <= 1, `${key.word} → ${other}: ${told}`);
      }
    });
    await t.step(`${name}: a key that nobody knows`, () => {
      for (const key of places(text, KEY)) {
        // What is not there any more may be needed.
        const told = codes(spoilt(text, key, "zzzzzz"), name).filter((code) => code !== "BG1103");
        assert.ok(told.length <= 1, `${key.word} → zzzzzz: ${told}`);
      }
    });
    await t.step(`${name}: without a key`, () => {
      for (const entry of places(text, ENTRY)) {
        const told = codes(spoilt(text, entry, ""), name);
        assert.ok(told.length <= 1, `without ${entry.word} at ${entry.start}: ${told}`);
      }
    });
    await t.step(`${name}: another value`, () => {
      for (const value of places(text, VALUE)) {
        for (const by of ["[x]", "{ x: y }", "zzz", "-7", "1.5", "true", "~", '""']) {
          const told = codes(spoilt(text, value, by), name);
          // A wrong path lacks one file and leaves another without its entry.
          const once = told.length <= 1 || told.join() === "BG1801,BG1802";
          assert.ok(once, `${value.word} → ${by} at ${value.start}: ${told}`);
        }
      }
    });
  }
});
