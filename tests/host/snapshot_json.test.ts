/** Snapshot v1 as a file: printing, reading back, and the schema that says the same. */
import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { JsonError, JsonReader } from "../../host/json_reader.ts";
import { MAX_SNAPSHOT_BYTES, parseSnapshot } from "../../host/parse_snapshot.ts";
import { printSnapshot } from "../../host/print_snapshot.ts";
import schema from "../../host/snapshot.schema.json" with { type: "json" };
import { MAX_PROBLEMS } from "../../host/snapshot_problem.ts";
import type { HostSnapshot } from "../../host/snapshot.ts";
import { snapshots } from "./random_snapshots.ts";
import { runs } from "../support/runs.ts";

const validate = new Ajv2020({ allErrors: false }).compile(schema);

function print(snapshot: HostSnapshot): string {
  return [...printSnapshot(snapshot)].join("");
}

function parse(text: string) {
  return parseSnapshot(new TextEncoder().encode(text));
}

Deno.test("what is printed is read back as it was, and printed again as the same bytes", () => {
  fc.assert(fc.property(snapshots, (snapshot) => {
    const text = print(snapshot);
    const read = parse(text);
    assert.deepEqual(read.problems, []);
    assert.deepEqual(read.snapshot, snapshot);
    assert.equal(print(read.snapshot ?? snapshot), text);
    assert.ok(validate(JSON.parse(text)), JSON.stringify(validate.errors));
  }));
});

Deno.test("a printed snapshot does not depend on the order of keys in memory", () => {
  const backwards = <T extends object>(value: T) =>
    Object.fromEntries(Object.entries(value).reverse()) as T;
  fc.assert(fc.property(snapshots, (snapshot) => {
    const turned = { ...backwards(snapshot), functions: snapshot.functions.map(backwards) };
    assert.equal(print(turned), print(snapshot));
  }));
});

/** Values that a hostile or careless hand might put anywhere. */
const strange = fc.oneof(
  fc.constantFrom<unknown>(null, true, "", "0x0", "0x10000000000000000", 0, -1, 1.5, 2 ** 53, []),
  fc.constantFrom<unknown>({}, "\u202e", "pci0000:00", "0000:00:00.0", "FFFF", [null], [[]]),
  fc.string({ maxLength: 5 }),
);

/** Every place in a JSON value, as paths. */
function paths(value: unknown): (string | number)[][] {
  if (typeof value !== "object" || value === null) return [[]];
  return [
    [],
    ...Object.entries(value).flatMap(([key, below]) =>
      paths(below).map((rest) => [Array.isArray(value) ? Number(key) : key, ...rest])
    ),
  ];
}

type Change = (holder: Record<string | number, unknown>, key: string | number) => void;

function changeAt(value: unknown, path: readonly (string | number)[], change: Change): void {
  const key = path.at(-1);
  let holder = value as Record<string | number, unknown>;
  for (const step of path.slice(0, -1)) holder = holder[step] as typeof holder;
  if (key !== undefined) change(holder, key);
}

Deno.test("what the schema refuses the parser refuses", () => {
  const change: fc.Arbitrary<Change> = fc.oneof(
    strange.map((value): Change => (holder, key) => void (holder[key] = value)),
    fc.constant<Change>((holder, key) => void (delete holder[key])),
    fc.constant<Change>((holder) => void (holder["extra"] = 1)),
  );
  fc.assert(
    fc.property(snapshots, fc.nat(), change, (snapshot, where, change) => {
      const value: unknown = JSON.parse(print(snapshot));
      const all = paths(value);
      changeAt(value, all[where % all.length] ?? [], change);
      const text = JSON.stringify(value);
      const { snapshot: read, problems } = parse(text);
      // A sparse array becomes null in JSON: the text is what both must judge.
      if (!validate(JSON.parse(text))) {
        assert.equal(read, undefined, text);
        assert.ok(problems.length > 0);
      }
    }),
    { numRuns: runs(400) },
  );
});

/** What a JSON pointer leads to. */
function follow(value: unknown, pointer: string): unknown {
  return pointer.split("/").slice(1).reduce<unknown>((holder, step) => {
    const key = step.replaceAll("~1", "/").replaceAll("~0", "~");
    return (holder as Record<string, unknown> | undefined)?.[key];
  }, value);
}

Deno.test("a pointer leads to the value that is wrong", () => {
  fc.assert(fc.property(snapshots, fc.nat(), (snapshot, where) => {
    const value: unknown = JSON.parse(print(snapshot));
    const all = paths(value).filter((path) => path.length > 0);
    const path = all[where % all.length] ?? [];
    changeAt(value, path, (holder, key) => void (holder[key] = true));
    const [first] = parse(JSON.stringify(value)).problems;
    assert.equal(first?.pointer, path.map((step) => `/${step}`).join(""));
    assert.equal(follow(value, first?.pointer ?? ""), true);
  }));
});

Deno.test("any bytes are read without a fault, and JSON is what JSON.parse takes", () => {
  const text = fc.oneof(
    fc.json({ maxDepth: 3 }),
    fc.string({ unit: fc.constantFrom(...'{}[]",:\\u0129eE.+-tfn alsr\n\t'), maxLength: 30 }),
    fc.tuple(fc.json(), fc.nat(40), fc.constantFrom(...'{}[],:"\\x0')).map(([json, at, added]) =>
      json.slice(0, at) + added + json.slice(at)
    ),
  );
  fc.assert(
    fc.property(text, (text) => {
      const reader = new JsonReader(new TextEncoder().encode(text));
      let accepted = true;
      try {
        reader.skip();
        reader.end();
      } catch (error) {
        assert.ok(error instanceof JsonError);
        accepted = false;
      }
      assert.equal(accepted, isJson(text), text);
    }),
    { numRuns: runs(2000) },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    assert.equal(parseSnapshot(bytes).snapshot, undefined);
  }));
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

Deno.test("a snapshot that is cut anywhere, or has a byte changed, is no surprise", () => {
  const bytes = new TextEncoder().encode(print(SMALL));
  fc.assert(fc.property(fc.nat(bytes.length - 3), (length) => {
    assert.equal(parseSnapshot(bytes.subarray(0, length)).snapshot, undefined);
  }));
  fc.assert(fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, byte) => {
    const changed = bytes.slice();
    changed[at] = byte;
    const { snapshot, problems } = parseSnapshot(changed);
    if (snapshot === undefined) assert.ok(problems.length > 0);
  }));
});

const SMALL: HostSnapshot = {
  kernel: { release: "7.3.4" },
  pageSize: 4096,
  iommu: ["dmar0"],
  functions: [{
    address: "0000:00:02.0",
    vendor: "ffff",
    device: "0000",
    class: "010802",
    parent: "pci0000:00",
    resetMethods: ["flr"],
    config: new Uint8Array(64).fill(0xff),
    bars: [{ index: 0, kind: "memory64", start: 4096n, size: 4096n, prefetchable: true }],
    unreadable: [],
  }],
};

Deno.test("a file that is too large is not read at all", () => {
  const { snapshot, problems } = parseSnapshot(new Uint8Array(MAX_SNAPSHOT_BYTES + 1));
  assert.equal(snapshot, undefined);
  assert.deepEqual(problems.map(({ kind }) => kind), ["too-large"]);
});

/** A file of many functions, from the text of each. */
function many(count: number, text: (index: number) => string): string {
  const all = Array.from({ length: count }, (_, index) => text(index));
  return print(SMALL).replace(/"functions": \[.*/s, `"functions": [${all.join(",")}]}`);
}

function functionText(index: number, start: string): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  const address = `${hex(index >> 16, 4)}:${hex((index >> 8) & 255, 2)}:${
    hex((index >> 3) & 31, 2)
  }.${index & 7}`;
  const bar = `{"index":0,"kind":"memory32","start":"${start}","size":"0x1000","flags":[]}`;
  return `{"address":"${address}","vendor":"ffff","device":"0000","class":"000000",` +
    `"parent":"pci0000:00","resetMethods":[],"config":"${"ff".repeat(64)}","bars":[${bar}],` +
    `"unreadable":[]}`;
}

Deno.test("20,000 BARs that all overlap are found and counted, not compared in pairs", () => {
  const { snapshot, problems } = parse(
    many(20_000, (index) => functionText(index % 8192, "0x1000")),
  );
  assert.equal(snapshot, undefined);
  assert.equal(problems.length, MAX_PROBLEMS + 1);
  assert.equal(problems.at(-1)?.kind, "more-problems");
  // Each but the first overlaps, and those beyond the 32 devices of 256 buses stand there already.
  const told = /^(\d+) more/.exec(problems.at(-1)?.message ?? "")?.[1];
  assert.equal(Number(told) + MAX_PROBLEMS, 19_999 + 20_000 - 8192);
});

Deno.test("a harmless problem never hides a harmful one, nor makes the snapshot unusable", () => {
  const other = `"config":"${"11".repeat(64)}"`;
  const harmless = (index: number) => functionText(index, "0x0").replace(/"config":"f+"/, other);
  const only = parse(many(150, harmless));
  assert.equal(only.snapshot?.functions.length, 150);
  assert.equal(only.problems.length, MAX_PROBLEMS + 1);
  const last = parse(
    many(
      150,
      (index) =>
        index === 149 ? harmless(index).replace("pci0000:00", "0000:ff:00.0") : harmless(index),
    ),
  );
  assert.equal(last.snapshot, undefined);
  assert.ok(last.problems.some(({ kind }) => kind === "missing-parent"));
});
