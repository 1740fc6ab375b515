import assert from "node:assert/strict";
import fc from "fast-check";
import { implies } from "../../policy/match_implies.ts";
import { mayBeSame } from "../../policy/may_be_same.ts";
import { WiderMatches } from "../../policy/wider_matches.ts";

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
    fc.property(fc.array(anyMatch, { maxLength: 40 }), anyMatch, (matches, own) => {
      const index = new WiderMatches(matches.map((match, value) => ({ match, value })));
      const obvious = matches.flatMap((match, at) => implies(own, match) ? [at] : []);
      assert.deepEqual(index.impliedBy(own).toSorted((a, b) => a - b), obvious);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("implies() holds for a match and itself, passes on, and is not in contradiction", () => {
  fc.assert(
    fc.property(anyMatch, anyMatch, anyMatch, (a, b, c) => {
      assert.ok(implies(a, a));
      if (implies(a, b) && implies(b, c)) assert.ok(implies(a, c));
      if (implies(a, b)) assert.ok(mayBeSame(a, b));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("implies() knows that a class code has the prefixes that it begins with", () => {
  assert.ok(implies({ class: ["010802"] }, { class: ["01"] }));
  assert.ok(implies({ class: ["010802", "0300"] }, { class: ["03", "0108"] }));
  assert.ok(!implies({ class: ["01"] }, { class: ["0108"] }));
  assert.ok(!implies({}, { class: ["01"] }));
});

Deno.test("WiderMatches does not look at what another field rules out", () => {
  const count = 3000;
  let looks = 0;
  const matches = Array.from({ length: count }, (_, index) => {
    const address = [`${index}`];
    return {
      value: index,
      match: {
        id: ["1b36:0010"],
        get address() {
          looks += 1;
          return address;
        },
      },
    };
  });
  const index = new WiderMatches(matches);
  looks = 0;
  for (let at = 0; at < count; at++) {
    const found = index.impliedBy({ id: ["1b36:0010"], address: [`${at}`], driver: ["vfio-pci"] });
    assert.deepEqual(found, [at]);
  }
  assert.ok(looks <= 4 * count, `${looks}`);
});
