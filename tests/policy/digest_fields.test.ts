/**
 * Whatever single thing that counts is changed, taken away or put elsewhere in a policy that has
 * everything, the digest is another.
 */
import assert from "node:assert/strict";
import { digestOf } from "../../policy/digest.ts";
import type { Policy } from "../../policy/model.ts";

/** With every field that the model knows: one that it learns must be added below. */
type Whole<T> = T extends ReadonlyMap<infer K, infer V> ? ReadonlyMap<K, Whole<V>>
  : T extends readonly (infer Item)[] ? readonly Whole<Item>[]
  : T extends object ? { readonly [Key in keyof T as Exclude<Key, symbol>]-?: Whole<T[Key]> }
  : T;

const AT = { file: "x", line: 1, column: 1, endLine: 1, endColumn: 1 };
const placed = <T>(value: T) => ({ value, at: AT });

const WHOLE: Whole<Policy> = {
  name: "p",
  description: "words",
  labels: new Map([["a", "b"]]),
  devices: new Map([["ssd", {
    name: "ssd",
    match: {
      id: ["1b36:0010", "1b36:0011"],
      address: ["0000:03:00.0", "0000:04:00.0"],
      subsystem: ["1af4:1100", "1af4:1101"],
      class: ["0108", "0106"],
      serial: ["00-1b-21-ff-ff-a0-12-34", "00-1b-21-ff-ff-a0-12-35"],
      driver: ["vfio-pci", "nvme"],
      iommuGroup: [8, 20],
      numaNode: [0, 5],
      barSizes: new Map([[2, [4096n, 8192n]], [4, [4096n, 8192n]]]),
      at: AT,
    },
    acquire: "borrow",
    owner: {
      unit: placed("a.service"),
      user: placed("spdk"),
      executable: placed("/usr/bin/x"),
      pidFile: placed("/run/x.pid"),
      socket: placed("/run/x.sock"),
    },
    many: true,
    enableCmb: true,
    labels: new Map([["a", "b"]]),
    at: AT,
  }]]),
  importers: new Map([["engine", {
    name: "engine",
    identity: {
      user: placed("nobody"),
      group: placed("nogroup"),
      unit: placed("b.service"),
      cgroup: placed("/b"),
      executable: placed("/usr/bin/y"),
      sha256: placed("00"),
    },
    driver: placed("iommufd"),
    mapping: "bargate",
    device: {
      address: "0000:05:00.0",
      id: "15b3:1017",
      rdma: "mlx5_0",
      drm: "renderD128",
      nvme: "nvme0",
      at: AT,
    },
    labels: new Map([["a", "b"]]),
    at: AT,
  }]]),
  exports: [{
    name: "data",
    qualifiedName: "p/data",
    device: placed("ssd"),
    bar: placed(2),
    slices: [
      { offset: 65536n, length: 4096n, at: AT },
      { offset: 4096n, length: 8192n, at: AT },
    ],
    region: placed("nvme.cmb"),
    importers: [placed("engine"), placed("other")],
    access: "read-only",
    onReset: "restore",
    graceMs: 1000,
    expiresMs: 9000,
    collateral: "device",
    revocation: "cooperative",
    shared: true,
    labels: new Map([["a", "b"]]),
    allowProtected: [
      { range: "msix-table", reason: "one", at: AT },
      { range: "msix-pba", reason: "two", at: AT },
    ],
    at: AT,
  }],
  deny: [{
    device: placed("ssd"),
    bar: 1,
    slices: [
      { offset: 0n, length: 4096n, at: AT },
      { offset: 65536n, length: "rest", at: AT },
    ],
    reason: "registers",
    at: AT,
  }],
  at: AT,
};

/** Places, what is for people, and what is made of other names. */
const UNCOUNTED: ReadonlySet<string> = new Set(["at", "labels", "description", "qualifiedName"]);

/** What can be absent. */
const OPTIONAL: readonly RegExp[] = [
  /^devices\.ssd\.(?:match\.\w+|owner(?:\.\w+)?|many|enableCmb)$/,
  /^importers\.engine\.(?:identity\.\w+|device(?:\.\w+)?)$/,
  /^exports\.0\.(?:region|expiresMs|collateral|revocation|shared)$/,
  /^deny\.0\.(?:bar|slices)$/,
];

/** What is one step away, and by which step. */
interface Change<T> {
  readonly step: string;
  readonly value: T;
}

/** Everything that is one step away from a value. */
function changesOf(value: unknown, path: string): readonly Change<unknown>[] {
  if (value instanceof Map) return changesOfMap(value, path);
  if (Array.isArray(value)) return changesOfList(value, path);
  if (typeof value === "object" && value !== null) return changesOfFields(value, path);
  // What is true is so or absent.
  return value === true ? [] : [{ step: `another ${path}`, value: anotherThan(value) }];
}

function changesOfMap(map: ReadonlyMap<unknown, unknown>, path: string) {
  return [...map].flatMap(([key, value]): readonly Change<unknown>[] => {
    const rest = [...map].filter(([other]) => other !== key);
    const here = `${path}.${key}`;
    const moved = { step: `elsewhere ${here}`, value: new Map([...rest, [0, value]]) };
    return [
      ...changesOf(value, here).map(({ step, value: other }) => ({
        step,
        value: new Map([...rest, [key, other]]),
      })),
      { step: `without ${here}`, value: new Map(rest) },
      ...(typeof key === "number" ? [moved] : []),
    ];
  });
}

function changesOfList(list: readonly unknown[], path: string): readonly Change<unknown>[] {
  const turned = { step: `turned ${path}`, value: list.toReversed() };
  return [
    ...list.flatMap((item, index) => [
      ...changesOf(item, `${path}.${index}`).map(({ step, value }) => ({
        step,
        value: list.with(index, value),
      })),
      { step: `without ${path}.${index}`, value: list.toSpliced(index, 1) },
    ]),
    // The one list whose order means something.
    ...(path === "exports.0.slices" ? [turned] : []),
  ];
}

function changesOfFields<T extends object>(fields: T, path: string): readonly Change<T>[] {
  const counted = Object.entries(fields).filter(([key]) => !UNCOUNTED.has(key));
  return counted.flatMap(([key, value]) => {
    const here = path === "" ? key : `${path}.${key}`;
    const changed = changesOf(value, here).map(({ step, value: other }) => ({
      step,
      value: { ...fields, [key]: other },
    }));
    if (!OPTIONAL.some((pattern) => pattern.test(here))) return changed;
    const rest = { ...fields };
    Reflect.deleteProperty(rest, key);
    return [...changed, { step: `without ${here}`, value: rest }];
  });
}

function anotherThan(value: unknown): unknown {
  switch (typeof value) {
    case "string":
      return value === "rest" ? 4096n : `${value}x`;
    case "number":
      return value + 1;
    case "bigint":
      return value + 1n;
    default:
      throw new Error(`a policy has no ${typeof value}`);
  }
}

Deno.test("each thing that counts has its part in the digest", () => {
  const digest = digestOf([WHOLE]);
  const changes = changesOfFields<Policy>(WHOLE, "");
  assert.deepEqual(changes.filter(({ value }) => digestOf([value]) === digest), []);
  const digests = Map.groupBy(changes, ({ value }) => digestOf([value]));
  const alike = [...digests.values()].filter((same) => same.length > 1);
  assert.deepEqual(alike.map((same) => same.map(({ step }) => step)), []);
  assert.ok(changes.length > 130, `only ${changes.length} changes`);
});

Deno.test("what is for people has no part in the digest", () => {
  const digest = digestOf([WHOLE]);
  const { description: _, labels: __, ...silent } = WHOLE;
  assert.equal(digestOf([silent]), digest);
});
