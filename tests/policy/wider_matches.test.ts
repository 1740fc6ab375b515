import assert from "node:assert/strict";
import fc from "fast-check";
import { implies } from "../../policy/match_implies.ts";
import { mayBeSame } from "../../policy/may_be_same.ts";
import { WiderMatches } from "../../policy/wider_matches.ts";
import { runs } from "../support/runs.ts";

const some = <T>(...values: readonly T[]) => fc.uniqueArray(fc.constantFrom(...values));

/** Few values, so that one match is wider than another often. */
const anyMatch = fc.record({
  id: some("1b36:0010", "144d:a80a"),
  address: some("0000:03:00.0", "0000:04:00.0"),
  subsystem: some("1af4:1100"),
  class: some("01", "0108", "010802", "03", "0300"),
  serial: some("00-01-02-03-04-05-06-07"),
  driver: some("vfio-pci", "nvme"),
  iommuGroup: some(1, 2),
  numaNode: some(0),
  barSizes: fc.uniqueArray(fc.tuple(fc.constantFrom(0, 2), some(4096n, 8192n)), {
    selector: ([bar]) => bar,
  }).map((entries) => new Map(entries)),
}, { requiredKeys: [] });

Deno.test("WiderMatches finds exactly what a look at every pair finds", () => {
  fc.assert(
    fc.property(fc.array(anyMatch, { maxLength: 120 }), anyMatch, (matches, own) => {
      const index = new WiderMatches(matches.map((match, value) => ({ match, value })));
      const obvious = matches.flatMap((match, at) => implies(own, match) ? [at] : []);
      assert.deepEqual(index.impliedBy(own).toSorted((a, b) => a - b), obvious);
    }),
    { numRuns: runs(2000) },
  );
});

Deno.test("implies() holds for a match and itself, passes on, and is not in contradiction", () => {
  fc.assert(
    fc.property(anyMatch, anyMatch, anyMatch, (a, b, c) => {
      assert.ok(implies(a, a));
      if (implies(a, b) && implies(b, c)) assert.ok(implies(a, c));
      if (implies(a, b)) assert.ok(mayBeSame(a, b));
    }),
    { numRuns: runs(2000) },
  );
});

Deno.test("implies() knows that a class code has the prefixes that it begins with", () => {
  assert.ok(implies({ class: ["010802"] }, { class: ["01"] }));
  assert.ok(implies({ class: ["010802", "0300"] }, { class: ["03", "0108"] }));
  assert.ok(!implies({ class: ["01"] }, { class: ["0108"] }));
  assert.ok(!implies({}, { class: ["01"] }));
});

type Fields = Parameters<typeof implies>[0];

const COUNT = 3000;
const FIELDS = [
  ...["address", "serial", "subsystem", "class", "driver", "iommuGroup", "numaNode"],
  ...["0", "1", "2", "3", "4", "5"],
];

/** Fields by the bits of a number, each with the same value everywhere. */
function fieldsBy(bits: number): Fields {
  const named = FIELDS.filter((_, bit) => (bits >> bit) % 2 === 1);
  const fields = named.filter((name) => name.length > 1).map((name) => [name, ["01"]]);
  const bars = named.flatMap((name) => name.length === 1 ? [[Number(name), [16n]] as const] : []);
  return { ...Object.fromEntries(fields), barSizes: new Map(bars) };
}

/** Makes matches, and asks for each which are wider than what is asked for. */
const MANY: Readonly<
  Record<string, { readonly match: (i: number) => Fields; readonly asked?: (i: number) => Fields }>
> = {
  "another field rules out": {
    match: (i) => ({ id: ["1b36:0010"], address: [`${i}`] }),
    asked: (i) => ({ id: ["1b36:0010"], address: [`${i}`], driver: ["vfio-pci"] }),
  },
  "names other fields": { match: (i) => ({ ...fieldsBy(i), id: [`${i}`] }) },
  "names other fields, of the same class": {
    match: (i) => ({ ...fieldsBy(i), class: ["01"], id: ["1b36:0010", `${i}`] }),
  },
  "a second value rules out": {
    match: (i) => ({ id: ["1b36:0010", `${i}`], subsystem: ["1b36:0010", `${i}`] }),
  },
  "either of two fields rules out": {
    match: (i) => ({ id: ["1b36:0010", `${i}`], subsystem: ["1b36:0010", `${i}`] }),
    asked: (
      i,
    ) => (i % 2 === 0
      ? { id: ["1b36:0010"], subsystem: [`${i}`] }
      : { id: [`${i}`], subsystem: ["1b36:0010"] }),
  },
};

for (const [what, { match, asked = match }] of Object.entries(MANY)) {
  Deno.test(`WiderMatches does not look at what ${what}`, () => {
    let looks = 0;
    // Whoever compares two matches, or looks where to compare, looks at an id.
    const counted = ({ id = [], ...others }: Fields) => ({
      ...others,
      get id() {
        looks += 1;
        return id;
      },
    });
    const matches = Array.from({ length: COUNT }, (_, value) => ({
      value,
      match: counted(match(value)),
    }));
    const index = new WiderMatches(matches);
    for (let at = 0; at < COUNT; at++) assert.deepEqual(index.impliedBy(counted(asked(at))), [at]);
    assert.ok(looks <= 16 * COUNT, `${looks}`);
  });
}

Deno.test("WiderMatches finds the narrower of many fields among all sets of them", () => {
  const sets = 1 << 10;
  const matches = Array.from({ length: sets }, (_, value) => ({ value, match: fieldsBy(value) }));
  const index = new WiderMatches(matches);
  for (const asked of [0, 1, 5, 0b1010101010, sets - 1]) {
    const own = fieldsBy(asked);
    const obvious = matches.flatMap(({ match, value }) => implies(own, match) ? [value] : []);
    assert.deepEqual(index.impliedBy(own).toSorted((a, b) => a - b), obvious);
    assert.equal(obvious.length, 2 ** asked.toString(2).replaceAll("0", "").length);
  }
});
