/**
 * The devices of a simulated host, from the snapshot of a host.
 *
 * @module
 */
import { isPciAddress } from "../host/address.ts";
import type { HostSnapshot, SnapshotBar, SnapshotFunction } from "../host/snapshot.ts";
import type { SimMemories } from "./nvme_registers.ts";
import type { SimFunction } from "./vfio.ts";

const VFIO_DRIVER = /^vfio-pci$|_vfio_pci$|-vfio-pci$/;

/** Bytes of the vendor's and the device's id. */
const IDS = 4;

/**
 * The functions that can be opened: those that are bound to a VFIO driver. They behave as the rules of
 * VFIO say for what the snapshot tells of them; nothing else is known of them. It tells no VF token, and
 * so none is asked for.
 *
 * @param snapshot of a host
 * @returns its devices
 */
export function functionsOf(snapshot: HostSnapshot): readonly SimFunction[] {
  const domains = hotResetDomains(snapshot);
  const physical = new Set(snapshot.functions.map(({ physfn }) => physfn));
  return snapshot.functions.filter(({ driver }) => driver !== undefined && VFIO_DRIVER.test(driver))
    .map((fn) =>
      functionOf(fn, {
        domain: domains.get(fn.parent),
        hasVirtualFunctions: physical.has(fn.address) || (fn.sriov?.enabled ?? 0) > 0,
      })
    );
}

/** What the others say of a function. */
interface Surroundings {
  readonly domain: readonly string[] | undefined;
  readonly hasVirtualFunctions: boolean;
}

function functionOf(
  fn: SnapshotFunction,
  { domain, hasVirtualFunctions }: Surroundings,
): SimFunction {
  const memories = memoriesOf(fn);
  const [ports, memory] = [
    barsOf(fn, (kind) => kind === "io"),
    barsOf(fn, (kind) => kind !== "io"),
  ];
  return {
    address: fn.address,
    node: fn.cdev ?? `${fn.address} (no character device)`,
    config: configOf(fn),
    bars: memory,
    ...(ports.size === 0 ? {} : { ports }),
    resettable: fn.resetMethods.length > 0,
    virtual: fn.physfn !== undefined,
    ...(fn.physfn === undefined ? {} : { physfn: fn.physfn }),
    ...(hasVirtualFunctions ? { hasVirtualFunctions } : {}),
    ...(fn.iommuGroup === undefined ? {} : { group: fn.iommuGroup }),
    ...(domain === undefined ? {} : { hotResetDomain: domain }),
    ...(memories === undefined ? {} : { memories }),
  };
}

function barsOf(
  { bars }: SnapshotFunction,
  isMeant: (kind: SnapshotBar["kind"]) => boolean,
): ReadonlyMap<number, bigint> {
  return new Map(bars.flatMap(({ index, kind, size }) => isMeant(kind) ? [[index, size]] : []));
}

/** What nobody asked a controller for, its simulation does not know. */
function memoriesOf(
  { controllerMemory, persistentMemory }: SnapshotFunction,
): SimMemories | undefined {
  if (controllerMemory === undefined) return undefined;
  return { controllerMemory, ...(persistentMemory === undefined ? {} : { persistentMemory }) };
}

/** A virtual function's own registers do not say what it is; VFIO fills that in. */
function configOf({ config, physfn, vendor, device }: SnapshotFunction): Uint8Array {
  if (physfn === undefined || config.length < IDS) return config;
  const filled = config.slice();
  const view = new DataView(filled.buffer);
  view.setUint16(0, Number.parseInt(vendor, 16), true);
  view.setUint16(2, Number.parseInt(device, 16), true);
  return filled;
}

/** By bridge: a bus below one is reset as a whole; of a root bus there is no reset. */
function hotResetDomains({ functions }: HostSnapshot): ReadonlyMap<string, readonly string[]> {
  const domains = new Map<string, string[]>();
  for (const { parent, address } of functions) {
    if (!isPciAddress(parent)) continue;
    const domain = domains.get(parent);
    if (domain === undefined) domains.set(parent, [address]);
    else domain.push(address);
  }
  return domains;
}
