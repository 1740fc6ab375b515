/**
 * Which functions of the host a policy's device is, and whether they can be exported from.
 *
 * @module
 */
import { whyNoIommu } from "../host/no_iommu.ts";
import { serialOf } from "../host/serial.ts";
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import type { DeviceMatch, DeviceRule } from "../policy/model.ts";
import { holdKinds } from "./device_hold.ts";
import { placeOf } from "./device_place.ts";
import type { DeviceTarget } from "./device_target.ts";
import type { Route } from "./group_access.ts";
import type { AddFinding } from "./host_findings.ts";
import { protectedRanges, whyNotKnown } from "./protected_ranges.ts";
import { idOf, type Mismatch, mismatches, whyUnjudged } from "./match_fields.ts";
import type { FunctionIndex } from "./resolve.ts";

/** A device of a policy, found on the host. */
export interface Resolved {
  readonly entry: SnapshotFunction;
  readonly target: DeviceTarget;
  /** As the policy names it. */
  readonly named: DeviceRule;
}

const VFIO_PCI = "vfio-pci";
/** Made of vfio-pci for one kind of device: `mlx5_vfio_pci`, `nvgrace-gpu-vfio-pci`. */
const VFIO_VARIANT = /^.+[-_]vfio[-_]pci$/;
/** Fields that say which device it is, and not what has been done to it since. */
const OF_IDENTITY: ReadonlySet<Mismatch["field"]> = new Set([
  "id",
  "subsystem",
  "class",
  "serial",
  "barSizes",
]);
/** Functions told that are almost a device. */
const MAX_NEAR_MISSES = 4;

/** Finds devices, and tells why there are none. */
export class DeviceFinder {
  /**
   * @param host what is there
   * @param index of its functions
   * @param route open devices this way; absent: by the character device where there is one
   * @param add takes what is found
   */
  constructor(
    private readonly host: HostSnapshot,
    private readonly index: FunctionIndex,
    private readonly route: Route | undefined,
    private readonly add: AddFinding,
  ) {}

  /**
   * @param device of a policy
   * @returns the functions that it is, each ready to be opened; none if one of them is not
   */
  resolve(device: DeviceRule): readonly Resolved[] {
    const { found, unjudged } = this.index.matching(device.match);
    const name = JSON.stringify(device.name);
    if (unjudged.length > 0) this.#cannotJudge(device, unjudged);
    else if (found.length === 0) this.#notThere(device);
    else if (found.length > 1 && device.many === undefined) {
      const message = `device ${name} is ${found.length} PCI functions of the host: ${some(found)}`;
      this.add("BG2002", device.match.at, message);
    } else return found.flatMap((entry) => this.#usable(device, entry) ?? []);
    return [];
  }

  /** One of them may be the device, and then there is one more than was found. */
  #cannotJudge({ name, match }: DeviceRule, unjudged: readonly SnapshotFunction[]): void {
    const [first] = unjudged;
    const why = first === undefined ? "" : `: ${whyUnjudged(first, match)}`;
    const message = `whether ${some(unjudged)} is device ${
      JSON.stringify(name)
    } cannot be judged${why}`;
    this.add("BG2021", match.at, message);
  }

  #notThere({ name, match }: DeviceRule): void {
    const there = (match.address ?? []).flatMap((a) => this.index.at(a) ?? [])
      .map((entry) => ({ entry, lacks: mismatches(entry, match) }));
    const near = this.#near(match, new Set(there.map(({ entry }) => entry)));
    const drifted = there.some(({ lacks }) => lacks.some(({ field }) => OF_IDENTITY.has(field)));
    const instead = [...there, ...near].map(({ entry, lacks }) =>
      `${entry.address} is ${idOf(entry)}, class ${entry.class}, and fits but for its ${
        lacks.map(({ field, has }) => `${field} (${has})`).join(", ")
      }`
    );
    const message = `no PCI function of the host is device ${JSON.stringify(name)}${
      instead.length === 0 ? "" : `: ${instead.join("; ")}`
    }`;
    this.add(drifted ? "BG2031" : "BG2001", match.at, message);
  }

  #near(match: DeviceMatch, told: ReadonlySet<SnapshotFunction>) {
    const near: { entry: SnapshotFunction; lacks: Mismatch[] }[] = [];
    for (const { entry, lacks } of this.index.nearly(match)) {
      if (near.length === MAX_NEAR_MISSES) break;
      if (!told.has(entry)) near.push({ entry, lacks: [lacks] });
    }
    return near;
  }

  #usable(device: DeviceRule, entry: SnapshotFunction): Resolved | undefined {
    if (VFIO_VARIANT.test(entry.driver ?? "")) {
      this.add(
        "BG2032",
        device.at,
        `${entry.address} is bound to ${entry.driver}, a VFIO driver that Bargate cannot export from`,
      );
      return undefined;
    }
    if (entry.driver !== VFIO_PCI) {
      const unread = entry.unreadable.find(({ field }) => field === "driver");
      const message = entry.driver === undefined && unread !== undefined
        ? `which driver ${entry.address} is bound to is not known (needs ${unread.right}); it must be ${VFIO_PCI}`
        : `${entry.address} is bound to ${entry.driver ?? "no driver"} and not to ${VFIO_PCI}`;
      this.add("BG2003", device.at, message);
      return undefined;
    }
    const unconfined = whyNoIommu(this.host, entry);
    if (unconfined !== undefined) {
      this.add("BG2207", device.at, `no IOMMU confines ${entry.address}: ${unconfined}`);
      return undefined;
    }
    const route = this.#routeTo(entry);
    if (route === undefined) {
      this.add("BG2004", device.at, `${entry.address} has no VFIO node to open it by`);
      return undefined;
    }
    const guarded = protectedRanges(entry.config, this.host.pageSize);
    if (guarded === undefined) {
      this.add(
        "BG2011",
        device.at,
        `${whyNotKnown(entry.address, entry.config)}, so that its MSI-X pages are not known`,
      );
      return undefined;
    }
    const serial = serialOf(entry);
    const memory = entry.bars.filter((bar) => bar.kind !== "io");
    return {
      entry,
      named: device,
      target: {
        ...placeOf(entry, (address) => this.index.at(address)),
        id: idOf(entry),
        ...route,
        subsystem: entry.subsystem,
        class: entry.class,
        ...(serial.is === "known" ? { serial: serial.serial } : {}),
        protectedRanges: guarded,
        barSizes: new Map(memory.map((bar) => [bar.index, bar.size])),
        holds: device.owner === undefined
          ? holdKinds(entry.config, entry.physfn !== undefined)
          : [],
        ...(device.owner === undefined ? {} : { owner: device.owner }),
      },
    };
  }

  /** By its character device where there is one: a group is open to one process only. */
  #routeTo(entry: SnapshotFunction): { route: Route; node: string } | undefined {
    const { cdev, groupNode } = entry;
    const wanted = this.route;
    if (cdev !== undefined && wanted !== "group") return { route: "cdev", node: cdev };
    if (groupNode !== undefined && wanted !== "cdev") return { route: "group", node: groupNode };
    return undefined;
  }
}

/** At most four, so that a message stays readable. */
function some(entries: readonly SnapshotFunction[]): string {
  const first = entries.slice(0, 4).map(({ address }) => address).join(", ");
  return `${first}${entries.length > 4 ? ", …" : ""}`;
}
