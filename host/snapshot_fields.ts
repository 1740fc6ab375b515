/**
 * The fields of Snapshot v1: which there are, which must be there, and what each must look like.
 * `snapshot.schema.json` says the same in JSON Schema; a test holds the two together.
 *
 * @module
 */
import { meantPciAddress, PCI_ADDRESS_PATTERN, ROOT_BUS_PATTERN } from "./address.ts";
import { SNAPSHOT_API_VERSION, SNAPSHOT_KIND } from "./print_snapshot.ts";
import { KERNEL_OPTIONS } from "./kernel_options.ts";
import type {
  HostSnapshot,
  LeftOutFunction,
  NamedDevice,
  SnapshotBar,
  SnapshotFunction,
  Unreadable,
} from "./snapshot.ts";
import { readMemory, readPersistent } from "./snapshot_memory.ts";
import type { Field, SnapshotValues, TextRule, ValueReader } from "./snapshot_values.ts";

/** A function with the places that later checks point at. */
export interface PlacedFunction {
  readonly entry: SnapshotFunction;
  /** In the file's list. */
  readonly index: number;
  /** Byte offset of a field by its name. */
  readonly fields: Readonly<
    Record<"address" | "parent" | "physfn" | "config" | "cdev" | "groupNode", number>
  >;
  /** Byte offsets of its BARs, in the file's order. */
  readonly bars: readonly number[];
  /** BARs in the file's order. */
  readonly written: readonly SnapshotBar[];
}

/** Kinds of named devices: the fields that list them. */
const NAME_KINDS = ["rdma", "drm", "nvme"] as const;

/** A named device with the places that later checks point at. */
export interface PlacedName {
  readonly kind: typeof NAME_KINDS[number];
  readonly entry: NamedDevice;
  /** In the file's list. */
  readonly index: number;
  /** Byte offset of a field by its name. */
  readonly fields: Readonly<Record<"name" | "function", number>>;
}

/** A function that was left out, with the place that later checks point at. */
export interface PlacedLeftOut {
  readonly entry: LeftOutFunction;
  /** In the file's list. */
  readonly index: number;
  /** Byte offset of its address. */
  readonly at: number;
}

/** A snapshot as it was read, before what its parts say of each other was checked. */
export interface SnapshotDraft {
  readonly head: Omit<HostSnapshot, "functions">;
  readonly functions: readonly PlacedFunction[];
  /** Of all kinds. */
  readonly names: readonly PlacedName[];
  readonly leftOut: readonly PlacedLeftOut[];
  /** Whether every function could be read: only then is one that is not there known to be missing. */
  readonly whole: boolean;
}

const ADDRESS: TextRule = {
  pattern: new RegExp(`^${PCI_ADDRESS_PATTERN}$`),
  expected: 'a PCI address as sysfs writes it ("0000:03:00.0")',
  meant: meantPciAddress,
};
const PARENT: TextRule = {
  pattern: new RegExp(`^(?:${PCI_ADDRESS_PATTERN}|${ROOT_BUS_PATTERN})$`),
  expected: 'the address of the bridge above ("0000:00:01.0") or a root bus ("pci0000:00")',
  meant: meantPciAddress,
};
const ID: TextRule = hexRule(4, "four");
const CLASS: TextRule = hexRule(6, "six");
const SUBSYSTEM: TextRule = {
  pattern: /^[0-9a-f]{4}:[0-9a-f]{4}$/,
  expected: 'vendor and device, "vvvv:dddd", in lower-case hexadecimal digits',
};
const CDEV: TextRule = {
  pattern: /^\/dev\/vfio\/devices\/vfio(?:0|[1-9][0-9]{0,8})$/,
  expected: 'a VFIO character device ("/dev/vfio/devices/vfio0")',
};
const GROUP_NODE: TextRule = {
  pattern: /^\/dev\/vfio\/(?:noiommu-)?(?:0|[1-9][0-9]{0,9})$/,
  expected: 'a VFIO group ("/dev/vfio/12")',
};
const BAR_KINDS = ["memory32", "memory64", "io"] as const;
const BAR_KIND = wordRule(BAR_KINDS);
const BAR_FLAGS = ["prefetchable"] as const;
const BAR_FLAG = wordRule(BAR_FLAGS);
/** What the kernel and people give names to. */
const NAME: TextRule = {
  pattern: /^[\x20-\x7e]{1,256}$/,
  expected: "1 to 256 printable ASCII characters",
};
const DESCRIPTION: TextRule = {
  pattern: /^[\x20-\x7e]{1,1024}$/,
  expected: "1 to 1024 printable ASCII characters",
};

/** Names of devices are names of files. */
const DEVICE_NAME: TextRule = {
  pattern: /^(?!\.{1,2}$)[!-.0-~]{1,255}$/,
  expected: "the name of a device, 1 to 255 printable ASCII characters without blanks and slashes",
};
const MODE: TextRule = { pattern: /^[0-7]{4}$/, expected: 'four octal digits ("0600")' };
const SWITCHES = ["y", "m", "n"] as const;
const SWITCH = wordRule(SWITCHES);
const NO_GROUP = ["none"] as const;
const NO_GROUP_WORD = wordRule(NO_GROUP);

/** Beyond every BAR: one past the last address. */
const ADDRESS_END = 1n << 64n;
/** IDs of IOMMU groups and NUMA nodes are ints. */
const MAX_INT = 2 ** 31 - 1;
/** Of users and groups. */
const MAX_ID = 2 ** 32 - 1;
const MAX_PAGE = 1 << 20;

const BAR_FIELDS: ReadonlyMap<string, Field> = new Map([
  required("index", (values) => values.integer(0, 5)),
  required("kind", (values) => values.word(BAR_KINDS, BAR_KIND)),
  required("start", (values) => values.hex64(0n)),
  required("size", (values) => values.hex64(1n)),
  required("flags", (values) => values.list((each) => each.word(BAR_FLAGS, BAR_FLAG))),
]);

const UNREADABLE_FIELDS: ReadonlyMap<string, Field> = new Map([
  required("field", name),
  required("right", name),
]);

const ACCESS_FIELDS: ReadonlyMap<string, Field> = new Map([
  required("uid", (values) => values.integer(0, MAX_ID)),
  required("gid", (values) => values.integer(0, MAX_ID)),
  required("mode", (values) => values.text(MODE)),
]);

const SRIOV_FIELDS: ReadonlyMap<string, Field> = new Map([
  required("total", (values) => values.integer(0, MAX_INT)),
  required("enabled", (values) => values.integer(0, MAX_INT)),
]);

const OPENER_FIELDS: ReadonlyMap<string, Field> = new Map([
  required("pid", (values) => values.integer(1, MAX_INT)),
  optional("command", name),
]);

const NAMED_FIELDS: ReadonlyMap<string, Field> = new Map([
  required("name", placed((values) => values.text(DEVICE_NAME))),
  optional("function", placed((values) => values.text(ADDRESS))),
]);

const LEFT_OUT_FIELDS: ReadonlyMap<string, Field> = new Map([
  required("address", placed((values) => values.text(ADDRESS))),
  optional("iommuGroup", (values) => values.integer(0, MAX_INT)),
  optional("iommuGroupIs", (values) => values.word(NO_GROUP, NO_GROUP_WORD)),
]);

const FUNCTION_FIELDS: ReadonlyMap<string, Field> = new Map([
  required("address", placed((values) => values.text(ADDRESS))),
  required("vendor", (values) => values.text(ID)),
  required("device", (values) => values.text(ID)),
  optional("subsystem", (values) => values.text(SUBSYSTEM)),
  required("class", (values) => values.text(CLASS)),
  optional("driver", name),
  optional("driverOverride", name),
  optional("iommuGroup", (values) => values.integer(0, MAX_INT)),
  optional("numaNode", (values) => values.integer(0, MAX_INT)),
  optional("physfn", placed((values) => values.text(ADDRESS))),
  optional("sriov", (values) => values.object(SRIOV_FIELDS)),
  required("parent", placed((values) => values.text(PARENT))),
  optional("slot", name),
  optional("cdev", placed((values) => values.text(CDEV))),
  optional("cdevAccess", (values) => values.object(ACCESS_FIELDS)),
  optional("groupNode", placed((values) => values.text(GROUP_NODE))),
  optional("groupAccess", (values) => values.object(ACCESS_FIELDS)),
  optional("openBy", (values) => values.list((each) => each.object(OPENER_FIELDS))),
  required("resetMethods", (values) => values.list(name)),
  optional("powerState", name),
  optional("runtimeStatus", name),
  required("config", placed((values) => values.config())),
  required("bars", (values) => values.list(placed(readBar))),
  optional("controllerMemory", readMemory),
  optional("persistentMemory", readPersistent),
  required("unreadable", readUnreadable),
]);

const CONFIG_FIELDS: ReadonlyMap<string, Field> = new Map(
  KERNEL_OPTIONS.map((option) => optional(option, (values) => values.word(SWITCHES, SWITCH))),
);

const KERNEL_FIELDS: ReadonlyMap<string, Field> = new Map([
  required("release", name),
  optional("config", (values) => values.object(CONFIG_FIELDS)),
]);

const CPU_FIELDS: ReadonlyMap<string, Field> = new Map([
  optional("vendor", name),
  optional("family", (values) => values.integer(0, MAX_INT)),
]);

/** What an object of `FUNCTION_FIELDS` is when nothing in it is wrong. */
type FunctionValues =
  & Omit<
    SnapshotFunction,
    "address" | "physfn" | "parent" | "cdev" | "groupNode" | "config" | "bars" | "unreadable"
  >
  & {
    readonly address: Placed<string>;
    readonly physfn?: Placed<string>;
    readonly cdev?: Placed<string>;
    readonly groupNode?: Placed<string>;
    readonly parent: Placed<string>;
    readonly config: Placed<Uint8Array>;
    readonly bars: readonly Placed<SnapshotBar>[];
    readonly unreadable: readonly Unreadable[];
  };

/** What an object of `NAMED_FIELDS` is when nothing in it is wrong. */
interface NamedValues {
  readonly name: Placed<string>;
  readonly function?: Placed<string>;
}

/** What an object of `LEFT_OUT_FIELDS` is when nothing in it is wrong. */
type LeftOutValues = Omit<LeftOutFunction, "address"> & { readonly address: Placed<string> };

/** A value and its byte offset. */
export interface Placed<T> {
  readonly at: number;
  readonly value: T;
}

/**
 * Reads a snapshot.
 *
 * @param values of the file
 * @returns what could be read; undefined if it is no snapshot at all
 */
export function readDraft(values: SnapshotValues): SnapshotDraft | undefined {
  const functions: PlacedFunction[] = [];
  const names: PlacedName[] = [];
  const leftOut: PlacedLeftOut[] = [];
  let seen = 0;
  const readFunctions: ValueReader<true> = (each) => {
    const list = each.list((item) => {
      const found = readFunction(item, seen++);
      if (found !== undefined) functions.push(found);
      return undefined;
    });
    return list === undefined ? undefined : true;
  };
  const head = values.object(
    new Map([
      required("apiVersion", exactly(SNAPSHOT_API_VERSION)),
      required("kind", exactly(SNAPSHOT_KIND)),
      optional("description", (each) => each.text(DESCRIPTION)),
      required("kernel", (each) => each.object(KERNEL_FIELDS)),
      optional("cpu", (each) => each.object(CPU_FIELDS)),
      required("pageSize", readPageSize),
      required("iommu", (each) => each.list(name)),
      required("functions", readFunctions),
      ...NAME_KINDS.map((kind) => optional(kind, (each) => readNamed(each, kind, names))),
      optional("leftOut", (each) => readLeftOut(each, leftOut)),
      optional("unreadable", readUnreadable),
    ]),
  );
  const whole = functions.length === seen;
  const { apiVersion: _version, kind: _kind, functions: _functions, ...rest } = head ?? {};
  return { head: rest as unknown as SnapshotDraft["head"], functions, names, leftOut, whole };
}

function readFunction(values: SnapshotValues, index: number): PlacedFunction | undefined {
  const found = values.object(FUNCTION_FIELDS) as FunctionValues | undefined;
  if (found === undefined) return undefined;
  const { address, physfn, parent, cdev, groupNode, config, bars, ...rest } = found;
  const written = bars.map(({ value }) => value);
  return {
    entry: {
      ...rest,
      address: address.value,
      ...(physfn === undefined ? {} : { physfn: physfn.value }),
      parent: parent.value,
      ...(cdev === undefined ? {} : { cdev: cdev.value }),
      ...(groupNode === undefined ? {} : { groupNode: groupNode.value }),
      config: config.value,
      bars: written.toSorted((a, b) => a.index - b.index),
    },
    index,
    fields: {
      address: address.at,
      parent: parent.at,
      physfn: physfn?.at ?? 0,
      config: config.at,
      cdev: cdev?.at ?? 0,
      groupNode: groupNode?.at ?? 0,
    },
    bars: bars.map(({ at }) => at),
    written,
  };
}

function readBar(values: SnapshotValues): SnapshotBar | undefined {
  const at = values.json.offset;
  const found = values.object(BAR_FIELDS);
  if (found === undefined) return undefined;
  const { flags, ...bar } = found as Omit<SnapshotBar, "prefetchable"> & { flags: string[] };
  const { index, kind, start, size } = bar;
  if (start + size > ADDRESS_END) {
    values.report("out-of-range", at, () => {
      const received = `0x${start.toString(16)} and 0x${size.toString(16)}`;
      return `start and size together exceed 64 bits (received ${received})`;
    });
    return undefined;
  }
  return { index, kind, start, size, prefetchable: flags.includes("prefetchable") };
}

function readNamed(
  values: SnapshotValues,
  kind: PlacedName["kind"],
  names: PlacedName[],
): readonly NamedDevice[] | undefined {
  let index = 0;
  const list = values.list((each) => {
    const at = index++;
    const found = each.object(NAMED_FIELDS) as NamedValues | undefined;
    if (found === undefined) return undefined;
    const { name, function: address } = found;
    const entry = {
      name: name.value,
      ...(address === undefined ? {} : { function: address.value }),
    };
    names.push({ kind, entry, index: at, fields: { name: name.at, function: address?.at ?? 0 } });
    return entry;
  });
  return list?.sort((a, b) => a.name < b.name ? -1 : 1);
}

function readLeftOut(
  values: SnapshotValues,
  leftOut: PlacedLeftOut[],
): readonly LeftOutFunction[] | undefined {
  let index = 0;
  return values.list((each) => {
    const own = index++;
    const found = each.object(LEFT_OUT_FIELDS) as LeftOutValues | undefined;
    if (found === undefined) return undefined;
    const { address: { at, value: address }, ...rest } = found;
    const entry = { address, ...rest };
    leftOut.push({ entry, index: own, at });
    return entry;
  });
}

function readUnreadable(values: SnapshotValues): Unreadable[] | undefined {
  return values.list((each) => each.object(UNREADABLE_FIELDS) as Unreadable | undefined);
}

function readPageSize(values: SnapshotValues): number | undefined {
  const at = values.json.offset;
  const size = values.integer(4096, MAX_PAGE);
  if (size === undefined || Number.isInteger(Math.log2(size))) return size;
  values.report("bad-value", at, () => `expected a power of two (received ${size})`);
  return undefined;
}

function exactly(word: string): ValueReader<string> {
  return (values) => {
    const at = values.json.offset;
    const text = values.text(NAME);
    if (text === undefined || text === word) return text;
    values.report(
      "another-kind",
      at,
      () => `expected ${JSON.stringify(word)} (received ${JSON.stringify(text)})`,
    );
    return undefined;
  };
}

/** Keeps where a value stands. One that is wrong has been told, and its object is not used. */
function placed<T>(read: ValueReader<T>): ValueReader<Placed<T>> {
  return (values) => {
    const at = values.json.offset;
    const value = read(values);
    return value === undefined ? undefined : { at, value };
  };
}

function name(values: SnapshotValues): string | undefined {
  return values.text(NAME);
}

function required(field: string, read: ValueReader<unknown>): [string, Field] {
  return [field, { required: true, read }];
}

function optional(field: string, read: ValueReader<unknown>): [string, Field] {
  return [field, { required: false, read }];
}

function wordRule(words: readonly string[]): TextRule {
  const expected = words.map((word) => JSON.stringify(word)).join(" or ");
  return { pattern: new RegExp(`^(?:${words.join("|")})$`), expected };
}

function hexRule(digits: number, word: string): TextRule {
  const pattern = new RegExp(`^[0-9a-f]{${digits}}$`);
  return {
    pattern,
    expected: `${word} lower-case hexadecimal digits`,
    meant: (text) => {
      const bare = text.replace(/^0x/i, "").toLowerCase();
      return pattern.test(bare) ? bare : undefined;
    },
  };
}
