/**
 * Snapshot files of hosts that are far larger than any, or that cannot be: the laboratory's, and many
 * more functions.
 *
 * @module
 */

const LABORATORY = new URL("../../examples/hosts/laboratory.json", import.meta.url);
/** Domains that the laboratory does not have. */
const FIRST_DOMAIN = 0x1000;
/** Addresses of a domain. */
const FUNCTIONS = 65536;
/** Those of a bus. */
const BUS = 256;
/** So many bridges can stand above a function. */
const MOST_ABOVE = 255;
/** Files are written in pieces: the whole would not fit into one string. */
const PIECE = 1000;

/** What of a function matters here; the rest is as small as can be. */
interface Placed {
  readonly address: string;
  readonly parent: string;
  readonly class?: string;
  readonly driver?: string;
  readonly physfn?: string;
  /** Its number, by which its IOMMU group and its node are named; absent: it has none. */
  readonly number?: number;
  readonly group?: number;
  readonly config?: string;
}

/** Makes the functions of a shape, one by one. */
export type Shape = (count: number) => Iterable<Placed>;

function at(domain: number, bus: number, device: number, number: number): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  return `${hex(FIRST_DOMAIN + domain, 4)}:${hex(bus, 2)}:${hex(device, 2)}.${number}`;
}

/** The address of a number, with `from` addresses of each domain left free. */
function address(index: number, from = 0): string {
  const room = FUNCTIONS - from;
  const rest = from + index % room;
  return at(Math.floor(index / room), rest >> 8, (rest >> 3) & 31, rest & 7);
}

function rootOf(of: string): string {
  return `pci${of.slice(0, of.indexOf(":"))}:00`;
}

const BRIDGE = { class: "060400", driver: "pcieport" };
const VFIO = "vfio-pci";

/** Many below one bridge, all of them devices that could be exported from. */
function* below(count: number, numbers: (index: number) => Partial<Placed>): Iterable<Placed> {
  for (let index = 0; index < count; index++) {
    const own = address(index, BUS);
    const domain = Math.floor(index / (FUNCTIONS - BUS));
    const bridge = at(domain, 0, 0, 0);
    if (own === at(domain, 1, 0, 0)) yield { address: bridge, parent: rootOf(bridge), ...BRIDGE };
    yield { address: own, parent: bridge, driver: VFIO, number: index, ...numbers(index) };
  }
}

/** Shapes that can be taken for a host's. */
export const SOUND: Readonly<Record<string, Shape>> = {
  "plain functions": function* (count) {
    for (let index = 0; index < count; index++) {
      const own = address(index);
      yield { address: own, parent: rootOf(own), config: HEADER };
    }
  },
  "devices below one bridge": (count) => below(count, () => ({})),
  "devices in one group": (count) => below(count, () => ({ group: 7000 })),
  "devices on root buses": function* (count) {
    for (let index = 0; index < count; index++) {
      const own = address(index);
      yield { address: own, parent: rootOf(own), driver: VFIO, number: index };
    }
  },
  "virtual functions of one": function* (count) {
    const physfn = at(0, 0, 0, 0);
    yield { address: physfn, parent: rootOf(physfn), driver: VFIO, number: count };
    for (let index = 0; index < count; index++) {
      const own = address(index, BUS);
      yield { address: own, parent: rootOf(physfn), physfn, driver: VFIO, number: index };
    }
  },
  "devices deep below bridges": function* (count) {
    for (let index = 0; index < count; index++) {
      const domain = Math.floor(index / BUS / BUS);
      const within = index % (BUS * BUS);
      if (within === 0) {
        for (let depth = 0; depth < MOST_ABOVE; depth++) {
          const own = at(domain, depth, 0, 0);
          const parent = depth === 0 ? rootOf(own) : at(domain, depth - 1, 0, 0);
          yield { address: own, parent, ...BRIDGE };
        }
      }
      const [bus, rest] = [within >> 8, within & 255];
      if (rest === 0 && bus < MOST_ABOVE) continue;
      const own = at(domain, bus, rest >> 3, rest & 7);
      const parent = at(domain, MOST_ABOVE - 1, 0, 0);
      yield { address: own, parent, driver: VFIO, number: index };
    }
  },
};

/** Shapes that no host can have, however few the functions. */
export const IMPOSSIBLE: Readonly<Record<string, Shape>> = {
  "one chain of parents": function* (count) {
    for (let index = 0; index < count; index++) {
      const own = address(index);
      const parent = index === 0 ? rootOf(own) : address(index - 1);
      yield { address: own, parent, class: "060400" };
    }
  },
  "a chain that is a circle": function* (count) {
    for (let index = 0; index < count; index++) {
      yield { address: address(index), parent: address((index + 1) % count), class: "060400" };
    }
  },
  "parents that are no bridges": function* (count) {
    const first = at(0, 0, 0, 0);
    yield { address: first, parent: rootOf(first) };
    for (let index = 1; index < count; index++) yield { address: address(index), parent: first };
  },
  "parents in another domain": function* (count) {
    const first = at(0, 0, 0, 0);
    yield { address: first, parent: rootOf(first), ...BRIDGE };
    for (let index = 1; index < count; index++) {
      yield { address: address(FUNCTIONS + index), parent: first };
    }
  },
  "one node for all": (count) => below(count, () => ({ number: 5000 })),
};

/** As much as an ordinary user can read: a million of them are no more than the parser takes. */
const HEADER = `868034120600${"00".repeat(58)}`;
/** As long as root can read of a conventional function, without capabilities. */
const CONFIG = `${HEADER}${"00".repeat(192)}`;

function functionText(placed: Placed, index: number): string {
  const { address, parent, class: code = "010802", driver, physfn, number } = placed;
  const group = placed.group ?? (number === undefined ? undefined : 10_000 + number);
  const bar = {
    index: 0,
    kind: "memory64",
    start: `0x${((index + 1) * 16384 + 2 ** 44).toString(16)}`,
  };
  return JSON.stringify({
    address,
    vendor: "8086",
    device: "1234",
    class: code,
    ...(driver === undefined ? {} : { driver }),
    ...(group === undefined ? {} : { iommuGroup: group, groupNode: `/dev/vfio/${group}` }),
    ...(physfn === undefined ? {} : { physfn }),
    ...(number === undefined ? {} : { cdev: `/dev/vfio/devices/vfio${5000 + number}` }),
    parent,
    resetMethods: number === undefined ? [] : ["flr"],
    config: placed.config ?? CONFIG,
    bars: [{ ...bar, size: "0x4000", flags: [] }],
    unreadable: [],
  });
}

/**
 * Writes a snapshot file: the laboratory's functions, and those of a shape.
 *
 * @param path of the file
 * @param functions that are added
 */
export function writeLargeHost(path: string, functions: Iterable<Placed>): void {
  const laboratory = JSON.parse(Deno.readTextFileSync(LABORATORY));
  const { functions: known, ...head } = laboratory;
  using file = Deno.openSync(path, { write: true, truncate: true, create: true });
  const put = (text: string) => {
    for (let rest = new TextEncoder().encode(text); rest.length > 0;) {
      rest = rest.subarray(file.writeSync(rest));
    }
  };
  put(`{"functions":[\n${known.map((each: unknown) => JSON.stringify(each)).join(",\n")}`);
  let piece: string[] = [];
  let index = 0;
  for (const each of functions) {
    piece.push(`,\n${functionText(each, index++)}`);
    if (piece.length === PIECE) {
      put(piece.join(""));
      piece = [];
    }
  }
  put(`${piece.join("")}],\n${JSON.stringify(head).slice(1)}\n`);
}
