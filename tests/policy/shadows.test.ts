import assert from "node:assert/strict";
import fc from "fast-check";
import { loadPolicySet } from "../../policy/load.ts";
import { runs } from "../support/runs.ts";

interface AnyRule {
  readonly offset: number;
  readonly length: number;
  readonly importers: readonly string[];
  readonly access: "read-only" | "read-write";
}

const anyRules: fc.Arbitrary<readonly AnyRule[]> = fc.uniqueArray(
  fc.record({
    offset: fc.nat(4),
    length: fc.integer({ min: 1, max: 5 }),
    importers: fc.subarray(["engine", "other"], { minLength: 1 }),
    access: fc.constantFrom("read-only" as const, "read-write" as const),
  }),
  // Of two that give each other's bytes only one is told, which is another case.
  { minLength: 2, maxLength: 7, selector: ({ offset, length }) => `${offset} ${length}` },
);

const HEAD = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
devices: { ssd: { match: { id: "1b36:0010" } } }
importers:
  engine: { identity: { user: nobody }, driver: iommufd, mapping: bargate }
  other: { identity: { user: daemon }, driver: iommufd, mapping: bargate }
defaults: { collateral: device }
exports:
`;

function shadowed(rules: readonly AnyRule[]): readonly string[] {
  const lines = rules.map(({ offset, length, importers, access }, index) =>
    `  - { name: e${index}, device: ssd, bar: 2, slices: [{ offset: ${offset * 4}KiB, length: ${
      length * 4
    }KiB }], importers: [${importers.join(", ")}], access: ${access}, shared: true }\n`
  );
  const { diagnostics } = loadPolicySet([{ file: "x.yaml", text: HEAD + lines.join("") }]);
  return diagnostics.filter(({ code }) => code === "BG1309")
    .map(({ message }) => message.split(" ")[0] ?? "");
}

/** Each importer gets all of it by one of the others as well. */
function isShadowed(rule: AnyRule, others: readonly AnyRule[]): boolean {
  return rule.importers.every((importer) =>
    others.some((other) =>
      other.importers.includes(importer) && other.offset <= rule.offset &&
      rule.offset + rule.length <= other.offset + other.length &&
      (other.access === "read-write" || rule.access === "read-only")
    )
  );
}

Deno.test("a rule is told to allow nothing new exactly when others allow it to the same", () => {
  fc.assert(
    fc.property(anyRules, (rules) => {
      const obvious = rules.flatMap((rule, index) =>
        isShadowed(rule, rules.toSpliced(index, 1)) ? [`demo/e${index}`] : []
      );
      assert.deepEqual(shadowed(rules), obvious);
    }),
    { numRuns: runs(400) },
  );
});

Deno.test("of two rules that allow the same only one is told, and of two the lesser", () => {
  const same = { offset: 0, length: 2, importers: ["engine"], access: "read-write" } as const;
  assert.deepEqual(shadowed([same, same]), ["demo/e1"]);
  assert.deepEqual(shadowed([{ ...same, access: "read-only" }, same]), ["demo/e0"]);
  assert.deepEqual(shadowed([same, { ...same, importers: ["engine", "other"] }]), ["demo/e0"]);
});
