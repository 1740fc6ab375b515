/**
 * The decision against another that is slow and obvious: random trees, every pair. The oracle is
 * written from the description of the kernel's routine, on strings, and knows nothing of the modules
 * under test.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { judgePath } from "../../../host/topology/judge.ts";
import { hostOf, ROOT_PORT, type Spec, treeOf } from "./support.ts";
import { runs } from "../../support/runs.ts";

/** A function of a random machine; those above it come before it. */
interface Sown {
  /** Index of what is above; -1 and -2: the two root buses. */
  readonly above: number;
  readonly acs: number | undefined;
  readonly virtual: boolean;
}

const ROOTS = ["pci0000:00", "pci0001:00"];
const IDS = ["8086:09a2", "8086:2f01", "8086:29c0", "10de:2f95", "1ae0:0001"];

const sown: fc.Arbitrary<Sown> = fc.record({
  above: fc.integer({ min: -2, max: 11 }),
  acs: fc.option(fc.constantFrom(0, 0x01, 0x04, 0x08, 0x10, 0x20, 0x1d, 0x5f), { nil: undefined }),
  virtual: fc.boolean(),
});
const machine = fc.record({
  functions: fc.array(sown, { minLength: 2, maxLength: 12 }),
  firsts: fc.tuple(...ROOTS.map(() =>
    fc.record({
      id: fc.constantFrom(...IDS),
      device: fc.constantFrom(0, 1),
      type: fc.option(fc.constantFrom(ROOT_PORT, 9), { nil: undefined }),
    })
  )),
  cpu: fc.constantFrom(
    { vendor: "GenuineIntel", family: 6 },
    { vendor: "AuthenticAMD", family: 23 },
    { vendor: "AuthenticAMD", family: 21 },
    {},
  ),
});
type Machine = typeof machine extends fc.Arbitrary<infer T> ? T : never;

/** Each root bus begins with the function by which it may be known; the others come behind it. */
function specsOf({ functions, firsts }: Machine): Spec[] {
  const specs: Spec[] = firsts.map(({ id, device, type }, root) => ({
    address: `000${root}:00:0${device}.0`,
    parent: ROOTS[root] ?? "",
    id,
    ...(type === undefined ? {} : { type }),
  }));
  const made: Spec[] = [];
  for (const [index, { above, acs, virtual }] of functions.entries()) {
    const bridge = made[above];
    const root = above === -2 ? 1 : 0;
    const domain = bridge?.address.slice(0, 4) ?? `000${root}`;
    const bus = bridge === undefined ? "00" : (0x10 + above).toString(16);
    const address = `${domain}:${bus}:${(0x10 + index).toString(16)}.0`;
    const physical = virtual ? made.find((each) => each.physfn === undefined) : undefined;
    made.push({
      address: physical === undefined
        ? address
        : `${physical.address.slice(0, 5)}${(0x40 + index).toString(16)}:00.1`,
      parent: physical?.parent ?? bridge?.address ?? ROOTS[root] ?? "",
      ...(acs === undefined ? {} : { acs }),
      ...(physical === undefined ? {} : { physfn: physical.address }),
    });
  }
  return [...specs, ...made];
}

/** What the kernel answers, and the number of steps that it counts. */
function oracle(specs: readonly Spec[], { firsts, cpu }: Machine, p: string, c: string): string {
  const at = (address: string | undefined) => specs.find((spec) => spec.address === address);
  const upstream = (address: string): string | undefined => {
    const spec = at(address);
    const parent = at(spec?.physfn ?? address)?.parent;
    return at(parent)?.address;
  };
  const redirects = (address: string) => ((at(address)?.acs ?? 0) & 0x2c) !== 0;
  const rootOf = (address: string): string => {
    const above = upstream(address);
    if (above !== undefined) return rootOf(above);
    return at(at(address)?.physfn ?? address)?.parent ?? "";
  };
  let count = 0;
  let stepsUp = 0;
  let answer: string | undefined;
  for (let a: string | undefined = p; a !== undefined && answer === undefined; a = upstream(a)) {
    if (redirects(a)) count++;
    let stepsDown = 0;
    for (let b: string | undefined = c; b !== undefined; b = upstream(b)) {
      if (b === a) {
        for (let d: string | undefined = c; d !== undefined && d !== a; d = upstream(d)) {
          if (redirects(d)) count++;
        }
        answer = count === 0 ? `direct ${stepsUp + stepsDown}` : `host ${stepsUp + stepsDown}`;
        break;
      }
      stepsDown++;
    }
    stepsUp++;
    if (answer === undefined && upstream(a) === undefined) answer = `host ${stepsUp + stepsDown}`;
  }
  if (answer?.startsWith("direct") === true) return answer;
  const zen = cpu.vendor === "AuthenticAMD" && cpu.family >= 0x17;
  const same = rootOf(p) === rootOf(c);
  const listed = (root: string): boolean => {
    const first = firsts[ROOTS.indexOf(root)];
    if (first === undefined) return false;
    if (first.device !== 0 && first.type !== ROOT_PORT) return false;
    if (first.id === "8086:29c0") return false;
    return first.id !== "8086:2f01" || same;
  };
  const permitted = zen || (listed(rootOf(p)) && listed(rootOf(c)));
  return `${permitted ? "through" : "none"} ${answer?.split(" ")[1]}`;
}

const WORDS = {
  "direct": "direct",
  "through-host-bridge": "through",
  "not-supported": "none",
  "not-known": "not known",
} as const;

Deno.test("random trees: every pair is what the slow oracle says", () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(machine, (random) => {
      const specs = specsOf(random);
      const { tree, at } = treeOf(hostOf(specs, { cpu: random.cpu }));
      for (const { address: from } of specs) {
        for (const { address: to } of specs) {
          const { kind, path, redirecting, supported } = judgePath(tree, at(from), at(to));
          const expected = oracle(specs, random, from, to);
          assert.equal(`${WORDS[kind]} ${path.distance}`, expected, `${from} to ${to}`);
          assert.equal(supported, kind !== "not-supported");
          assert.ok(kind !== "direct" || redirecting.length === 0);
          seen.set(WORDS[kind], (seen.get(WORDS[kind]) ?? 0) + 1);
        }
      }
    }),
    { numRuns: runs(300) },
  );
  assert.deepEqual([...seen.keys()].sort(), ["direct", "none", "through"], "all were met");
});
