import assert from "node:assert/strict";
import fc from "fast-check";
import { deviceKey } from "../../policy/device_key.ts";
import { type IndexedMatch, MatchIndex } from "../../policy/match_index.ts";
import { mayBeSame } from "../../policy/may_be_same.ts";
import { runs } from "../support/runs.ts";

const some = <T>(...values: readonly T[]) => fc.uniqueArray(fc.constantFrom(...values));

/** Few values, so that matches agree and contradict each other often. */
const anyMatch: fc.Arbitrary<IndexedMatch> = fc.record({
  id: some("1b36:0010", "144d:a80a"),
  address: some("0000:03:00.0", "0000:04:00.0"),
  subsystem: some("1af4:1100", "144d:a801"),
  class: some("01", "0108", "010802", "03", "0300"),
  serial: some("00-01-02-03-04-05-06-07", "10-11-12-13-14-15-16-17"),
  driver: some("vfio-pci", "nvme"),
  iommuGroup: some(1, 2),
  numaNode: some(0, 1),
  barSizes: fc.uniqueArray(fc.tuple(fc.constantFrom(0, 2), some(4096n, 8192n)), {
    selector: ([bar]) => bar,
  }).map((entries) => new Map(entries)),
}, { requiredKeys: [] }).map((match) => ({ key: deviceKey(match), match }));

/** Few are looked at one by one, many by what they name. */
const someMatches = fc.oneof(
  fc.array(anyMatch, { maxLength: 24 }),
  fc.array(anyMatch, { minLength: 16, maxLength: 24 }),
);

Deno.test("MatchIndex finds others exactly where a look at every pair does", () => {
  fc.assert(
    fc.property(someMatches, (entries) => {
      const index = new MatchIndex(entries);
      for (const own of entries) {
        const obvious = entries.some((other) =>
          other.key !== own.key && mayBeSame(own.match, other.match)
        );
        assert.equal(index.hasOther(own), obvious);
      }
    }),
    { numRuns: runs(1000) },
  );
});

Deno.test("MatchIndex looks at few of many matches that name different things", () => {
  const count = 500;
  const slots = Array.from({ length: count }, (_, index): IndexedMatch => {
    const match = { id: ["1b36:0010"], address: [`${index}`] };
    return { key: deviceKey(match), match };
  });
  const sizes = Array.from({ length: count }, (_, index): IndexedMatch => {
    const match = { class: ["0108"], barSizes: new Map([[2, [BigInt(index)]]]) };
    return { key: deviceKey(match), match };
  });
  for (const entries of [slots, sizes]) {
    const index = new MatchIndex(entries);
    const looks = entries.reduce(
      (sum, { match }) => sum + index.candidates(match).flat().length,
      0,
    );
    assert.equal(looks, count);
  }
});

Deno.test("MatchIndex looks at few of many that are ruled out by different fields", () => {
  const count = 500;
  const slots = Array.from({ length: count }, (_, index): IndexedMatch => {
    const match = { id: ["1b36:0010"], address: [`${index}`], driver: ["vfio-pci"] };
    return { key: deviceKey(match), match };
  });
  const cards = Array.from({ length: count }, (_, index): IndexedMatch => {
    const match = { id: ["144d:a80a"], serial: [`${index}`] };
    return { key: deviceKey(match), match };
  });
  const index = new MatchIndex([...slots, ...cards]);
  const own = { id: ["1b36:0010"], address: ["7"] };
  assert.equal(index.candidates(own).flat().length, 1);
});
