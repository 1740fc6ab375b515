/** Snapshots of any sound content, for property tests. @module */
import fc from "fast-check";
import { KERNEL_OPTIONS } from "../../host/kernel_options.ts";
import type {
  ControllerMemory,
  HostSnapshot,
  NamedDevice,
  PersistentMemory,
  SnapshotBar,
  SnapshotFunction,
} from "../../host/snapshot.ts";

const name = fc.string({
  unit: fc.constantFrom(...'abcXYZ019 _-./"\\~:{}'),
  minLength: 1,
  maxLength: 20,
});
const hexDigits = (count: number) =>
  fc.nat(16 ** count - 1).map((value) => value.toString(16).padStart(count, "0"));

const config = fc.oneof(
  fc.uint8Array({ minLength: 64, maxLength: 80 }),
  fc.constantFrom(256, 4096).map((length) => new Uint8Array(length).fill(0xa5)),
);

const access = fc.record({
  uid: fc.nat(2 ** 32 - 1),
  gid: fc.nat(2 ** 32 - 1),
  mode: fc.nat(0o7777).map((mode) => mode.toString(8).padStart(4, "0")),
}, { noNullPrototype: true });

const opener = fc.record({ pid: fc.integer({ min: 1, max: 2 ** 31 - 1 }), command: name }, {
  requiredKeys: ["pid"],
  noNullPrototype: true,
});

const memory: fc.Arbitrary<ControllerMemory> = fc.oneof(
  fc.constantFrom({ state: "none" } as const, { state: "disabled" } as const),
  fc.record({
    state: fc.constantFrom("disabled" as const, "enabled" as const),
    bar: fc.nat(5),
    offset: fc.bigInt(0n, 1n << 40n),
    size: fc.bigInt(1n, 1n << 40n),
  }, { noNullPrototype: true }),
);

const persistent: fc.Arbitrary<PersistentMemory> = fc.oneof(
  fc.constant({ state: "none" } as const),
  fc.record({
    state: fc.constantFrom("disabled" as const, "enabled" as const),
    bar: fc.nat(5),
  }, { noNullPrototype: true }),
);

const unreadable = fc.array(fc.record({ field: name, right: name }, { noNullPrototype: true }), {
  maxLength: 2,
});

/** What a function is apart from its place, its relations and its BARs' addresses. */
const plain = fc.record({
  vendor: hexDigits(4),
  device: hexDigits(4),
  subsystem: fc.tuple(hexDigits(4), hexDigits(4)).map((ids) => ids.join(":")),
  class: hexDigits(6),
  driver: name,
  iommuGroup: fc.nat(2 ** 31 - 1),
  numaNode: fc.nat(7),
  slot: name,
  nodes: fc.constantFrom("cdev", "group", "both", "noiommu"),
  powerState: name,
  runtimeStatus: name,
  resetMethods: fc.array(name, { maxLength: 3 }),
  config,
  driverOverride: name,
  sriov: fc.record({ total: fc.nat(255), enabled: fc.nat(255) }, { noNullPrototype: true }),
  cdevAccess: access,
  groupAccess: access,
  openBy: fc.array(opener, { maxLength: 2 }),
  controllerMemory: memory,
  persistentMemory: persistent,
  unreadable,
}, {
  requiredKeys: ["vendor", "device", "class", "resetMethods", "config", "unreadable"],
  noNullPrototype: true,
});

/** Kinds and sizes of BARs; 64-bit ones take two places. */
const barPlan = fc.array(
  fc.record({
    kind: fc.constantFrom("memory32", "memory64", "io", "none"),
    size: fc.oneof(fc.constantFrom(16n, 4096n, 1n << 20n), fc.bigInt(1n, 1n << 40n)),
    prefetchable: fc.boolean(),
    assigned: fc.boolean(),
  }),
  { maxLength: 6 },
);

type Plain = typeof plain extends fc.Arbitrary<infer T> ? T : never;
type BarPlan = typeof barPlan extends fc.Arbitrary<infer T> ? T : never;

const BRIDGE = "060400";

/** Gives each BAR an address of its own. */
class Room {
  #next = 0x1000n;

  bars(plan: BarPlan): SnapshotBar[] {
    const bars: SnapshotBar[] = [];
    let index = 0;
    for (const { kind, size, prefetchable, assigned } of plan) {
      const taken = kind === "memory64" ? 2 : 1;
      if (index + taken > 6) break;
      if (kind !== "none") {
        const start = assigned ? this.#next : 0n;
        if (assigned) this.#next += size;
        bars.push({ index, kind, start, size, prefetchable });
      }
      index += taken;
    }
    return bars;
  }
}

interface Planned {
  readonly address: string;
  readonly plain: Plain;
  readonly bars: BarPlan;
  /** Above: an earlier one, if there is one. */
  readonly above: number | undefined;
  readonly virtual: boolean;
}

const address = fc.tuple(
  fc.constantFrom("0000", "0001", "10000"),
  fc.nat(255),
  fc.nat(31),
  fc.nat(7),
).map(([domain, bus, device, fn]) =>
  `${domain}:${bus.toString(16).padStart(2, "0")}:${device.toString(16).padStart(2, "0")}.${fn}`
);

const leftOut = fc.record({
  address,
  iommuGroup: fc.nat(2 ** 31 - 1),
  iommuGroupIs: fc.constant("none" as const),
}, {
  requiredKeys: ["address"],
  noNullPrototype: true,
});

const planned: fc.Arbitrary<readonly Planned[]> = fc.uniqueArray(
  fc.record({
    address,
    plain,
    bars: barPlan,
    above: fc.option(fc.nat(100), { nil: undefined }),
    virtual: fc.boolean(),
  }),
  { maxLength: 8, selector: (each) => each.address },
);

const kernelConfig = fc.dictionary(
  fc.constantFrom(...KERNEL_OPTIONS),
  fc.constantFrom("y" as const, "m" as const, "n" as const),
  { noNullPrototype: true },
);

const named = fc.uniqueArray(
  fc.record({
    name: fc.stringMatching(/^[a-z]{1,5}[0-9_-]{0,3}$/),
    behind: fc.option(fc.nat(9), { nil: undefined }),
  }),
  { maxLength: 3, selector: (each) => each.name },
);

type NamePlan = typeof named extends fc.Arbitrary<infer T> ? T : never;

/** Sound snapshots, as the parser would give them: functions and BARs sorted. */
export const snapshots: fc.Arbitrary<HostSnapshot> = fc.record({
  description: fc.option(name, { nil: undefined }),
  release: name,
  cpu: fc.option(
    fc.record({ vendor: name, family: fc.nat(255) }, { requiredKeys: [], noNullPrototype: true }),
    { nil: undefined },
  ),
  pageSize: fc.nat(8).map((power) => 4096 << power),
  iommu: fc.array(name, { maxLength: 2 }),
  functions: planned,
  config: fc.option(kernelConfig, { nil: undefined }),
  names: fc.option(fc.record({ rdma: named, drm: named, nvme: named }), { nil: undefined }),
  leftOut: fc.option(fc.array(leftOut, { maxLength: 2 }), { nil: undefined }),
  unreadable: fc.option(unreadable, { nil: undefined }),
}).map(({ description, release, cpu, functions, config, names, ...more }) => {
  const { leftOut, unreadable, ...rest } = more;
  const made = functionsOf(functions);
  return {
    ...(description === undefined ? {} : { description }),
    kernel: { release, ...(config === undefined ? {} : { config }) },
    ...(cpu === undefined ? {} : { cpu }),
    ...rest,
    functions: made,
    ...(names === undefined ? {} : {
      rdma: namedOf(names.rdma, made),
      drm: namedOf(names.drm, made),
      nvme: namedOf(names.nvme, made),
    }),
    ...(leftOut === undefined ? {} : { leftOut }),
    ...(unreadable === undefined ? {} : { unreadable }),
  };
});

/** Each behind one of the functions, or behind none. */
function namedOf(plan: NamePlan, functions: readonly SnapshotFunction[]): NamedDevice[] {
  return plan.map(({ name, behind }) => {
    const address = behind === undefined ? undefined : functions[behind]?.address;
    return { name, ...(address === undefined ? {} : { function: address }) };
  }).sort((a, b) => a.name < b.name ? -1 : 1);
}

function functionsOf(plan: readonly Planned[]): SnapshotFunction[] {
  const room = new Room();
  const made: SnapshotFunction[] = [];
  for (const { address, plain, bars, above, virtual } of plan) {
    const near = made.filter((other) => domainOf(other) === domainOf({ address }));
    const at = above === undefined ? undefined : near[above % Math.max(near.length, 1)];
    const bridge = at === undefined ? undefined : { ...at, class: BRIDGE };
    if (at !== undefined && bridge !== undefined) made[made.indexOf(at)] = bridge;
    const physical = virtual
      ? made.find((each) => each.physfn === undefined && domainOf(each) === domainOf({ address }))
      : undefined;
    const { nodes, ...rest } = plain;
    made.push({
      ...rest,
      ...nodesOf(nodes, made.length, plain.iommuGroup),
      ...(physical === undefined ? {} : { physfn: physical.address }),
      address,
      parent: physical?.parent ?? bridge?.address ?? "pci0000:00",
      bars: room.bars(bars),
      config: ownConfig(plain),
    });
  }
  return made.sort((a, b) => a.address < b.address ? -1 : 1);
}

function domainOf({ address }: Pick<SnapshotFunction, "address">): string {
  return address.slice(0, address.indexOf(":"));
}

/** Character devices are of one function each, and groups' nodes of their groups. */
function nodesOf(
  nodes: Plain["nodes"],
  index: number,
  group: number | undefined,
): Pick<SnapshotFunction, "cdev" | "groupNode"> {
  const hasCdev = nodes === "cdev" || nodes === "both";
  const name = nodes === "noiommu" ? `noiommu-${group}` : `${group}`;
  return {
    ...(hasCdev ? { cdev: `/dev/vfio/devices/vfio${index}` } : {}),
    ...(nodes === "cdev" || group === undefined ? {} : { groupNode: `/dev/vfio/${name}` }),
  };
}

/** With the function's own ids in its header: those of another are worth a warning. */
function ownConfig({ config, vendor, device }: Plain): Uint8Array {
  const own = config.slice();
  const view = new DataView(own.buffer);
  view.setUint16(0, parseInt(vendor, 16), true);
  view.setUint16(2, parseInt(device, 16), true);
  return own;
}
