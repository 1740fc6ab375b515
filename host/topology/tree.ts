/**
 * The PCI tree of a snapshot, as the kernel walks it for peer-to-peer DMA.
 *
 * @module
 */
import { isPciAddress } from "../address.ts";
import { findCapability } from "../config_space.ts";
import type { HostSnapshot, SnapshotFunction } from "../snapshot.ts";
import { type RedirectBit, redirectBits } from "./acs.ts";

/** A function and the bridges above it. */
export interface Chain {
  /** The function first, each followed by the bridge above it. */
  readonly functions: readonly SnapshotFunction[];
  /** Name of the root bus at its end (`pci0000:00`); absent if the snapshot does not go so far. */
  readonly rootBus?: string;
}

/** The function by which the kernel knows a host bridge. */
export interface RootFunction {
  readonly address: string;
  /** `vvvv:dddd` */
  readonly id: string;
}

const PCI_CAP_ID_EXP = 0x10;
/** PCI_EXP_FLAGS, from the capability's start: the type of the device is in bits 4 to 7. */
const PCI_EXP_FLAGS = 2;
const PCI_EXP_TYPE_ROOT_PORT = 4;
/** A domain has so many buses, each with a bridge above it; a longer way is no machine's. */
const MOST_BUSES = 256;
/** All of the standard capabilities. */
const STANDARD_BYTES = 256;

/** Functions of one host by their places. Making it is linear in their number, a walk in its depth. */
export class PciTree {
  readonly #byAddress = new Map<string, SnapshotFunction>();
  readonly #firsts = new Map<string, SnapshotFunction>();
  /** Addresses of functions that the snapshot does not have, the first of each bus, by bus. */
  readonly #holes = new Map<string, string>();
  readonly #redirects = new Map<SnapshotFunction, readonly RedirectBit[] | undefined>();

  /** @param host its snapshot */
  constructor(readonly host: HostSnapshot) {
    for (const entry of host.functions) {
      this.#byAddress.set(entry.address, entry);
      if (entry.physfn !== undefined || isPciAddress(entry.parent)) continue;
      const first = this.#firsts.get(entry.parent);
      if (first === undefined || entry.address < first.address) {
        this.#firsts.set(entry.parent, entry);
      }
    }
    for (const { address } of host.leftOut ?? []) {
      const bus = `pci${address.slice(0, address.lastIndexOf(":"))}`;
      const first = this.#holes.get(bus);
      if (first === undefined || address < first) this.#holes.set(bus, address);
    }
  }

  /** The function at an address. */
  at(address: string): SnapshotFunction | undefined {
    return this.#byAddress.get(address);
  }

  /**
   * The way up from a function. A virtual function's goes up from its physical one, which is not on it.
   *
   * @param entry of this host
   * @returns it and the bridges above; a way that leads round, or is longer than any can be, ends
   *   somewhere without a root bus
   */
  chain(entry: SnapshotFunction): Chain {
    const functions: SnapshotFunction[] = [];
    let each: SnapshotFunction | undefined = entry;
    while (each !== undefined && functions.length <= MOST_BUSES) {
      functions.push(each);
      const parent: string | undefined = this.#parentOf(each);
      if (parent === undefined) break;
      if (!isPciAddress(parent)) return { functions, rootBus: parent };
      each = this.#byAddress.get(parent);
    }
    return { functions };
  }

  /** What a function redirects; undefined if that could not be read. */
  redirects(entry: SnapshotFunction): readonly RedirectBit[] | undefined {
    if (!this.#redirects.has(entry)) this.#redirects.set(entry, redirectBits(entry.config));
    return this.#redirects.get(entry);
  }

  /**
   * The function by which the kernel knows a host bridge: the first on its root bus, if that is device
   * 0, function 0, or a root port (`pci_host_bridge_dev` in drivers/pci/p2pdma.c). Virtual functions
   * come after the others on a bus, and so do those that were plugged in later, which a snapshot does
   * not tell.
   *
   * @param rootBus its name
   * @returns the function; `none` if the first is neither; `unread` if its bytes do not tell, or one
   *   before it could not be read
   */
  rootFunction(rootBus: string): RootFunction | "none" | "unread" {
    const first = this.#firsts.get(rootBus);
    const hole = this.#holes.get(rootBus);
    if (hole !== undefined && (first === undefined || hole <= first.address)) return "unread";
    if (first === undefined) return "none";
    const { address, vendor, device } = first;
    if (!address.endsWith(":00.0")) {
      if (first.config.length < STANDARD_BYTES) return "unread";
      if (!isRootPort(first.config)) return "none";
    }
    return { address, id: `${vendor}:${device}` };
  }

  #parentOf(entry: SnapshotFunction): string | undefined {
    if (entry.physfn === undefined) return entry.parent;
    return this.#byAddress.get(entry.physfn)?.parent;
  }
}

function isRootPort(config: Uint8Array): boolean {
  const at = findCapability(config, PCI_CAP_ID_EXP);
  if (at === undefined || at + PCI_EXP_FLAGS + 2 > config.length) return false;
  const view = new DataView(config.buffer, config.byteOffset, config.byteLength);
  return ((view.getUint16(at + PCI_EXP_FLAGS, true) >> 4) & 0xf) === PCI_EXP_TYPE_ROOT_PORT;
}
