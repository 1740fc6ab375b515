/**
 * The files of sysfs, and of procfs, through which others can reset, take away or change a device, and what each of
 * them means for it.
 *
 * @module
 */
import type { FileEventKind } from "../kernel.ts";
import type { ObservationKind } from "./observation.ts";

/** A device, and what lies between it and the root. */
export interface DevicePlace {
  readonly address: string;
  /** Addresses of the bridges above it, nearest first. */
  readonly above: readonly string[];
  /** Address of the physical function, if it is a virtual one. */
  readonly physfn?: string;
  /** Names of the hot-plug slots that it, or a bridge above it, sits in. */
  readonly slots: readonly string[];
}

/** A file, and what follows from an event of it. */
export interface DeviceFile {
  readonly path: string;
  readonly event: FileEventKind;
  readonly kind: ObservationKind;
}

const PCI = "/sys/bus/pci";

/**
 * A write to `remove` returns when everything is over, and so its open counts; of `reset` only a
 * write that reset something counts, and inotify tells no other. `unbind` is the driver's and does not
 * say whom it is about; `sriov_numvfs` and `power` make the kernel ask for the devices that go.
 */
const EVENTS: Readonly<Record<string, { event: FileEventKind; kind: ObservationKind }>> = {
  reset: { event: "modify", kind: "reset" },
  reset_subordinate: { event: "modify", kind: "reset" },
  config: { event: "modify", kind: "config-write" },
  remove: { event: "open", kind: "removal" },
  sriov_numvfs: { event: "modify", kind: "look" },
  "driver/unbind": { event: "open", kind: "look" },
  power: { event: "modify", kind: "look" },
};

/**
 * All files that matter to a device; not every host has each of them.
 *
 * @param place of the device
 */
export function filesOf(place: DevicePlace): readonly DeviceFile[] {
  return [
    ...named(place.address, ["reset", "config", "remove", "driver/unbind"]),
    ...inProcfs(place.address, "config-write"),
    ...place.physfn === undefined ? [] : [
      ...named(place.physfn, ["reset", "remove", "sriov_numvfs"]),
      ...resetByConfig(place.physfn),
    ],
    ...place.above.flatMap((bridge) => [
      ...named(bridge, ["reset", "reset_subordinate", "remove"]),
      ...resetByConfig(bridge),
    ]),
    ...place.slots.flatMap((slot) => file(`${PCI}/slots/${slot}`, "power")),
  ];
}

/**
 * Those of them by which a device is reset: what a gate can be put before.
 *
 * @param place of the device
 * @returns paths
 */
export function resetFilesOf({ address, physfn, above }: DevicePlace): readonly string[] {
  return [
    `${PCI}/devices/${address}/reset`,
    ...physfn === undefined ? [] : [`${PCI}/devices/${physfn}/reset`],
    ...above.flatMap((bridge) => [
      `${PCI}/devices/${bridge}/reset`,
      `${PCI}/devices/${bridge}/reset_subordinate`,
    ]),
  ];
}

/**
 * The same registers in procfs: another file, and so another watch. Which of the names a function has
 * is for its kernel's architecture to say (`pci_proc_attach_device` in drivers/pci/proc.c).
 */
function inProcfs(address: string, kind: ObservationKind): readonly DeviceFile[] {
  const [domain = "", bus = "", device = ""] = address.split(":");
  const folders = Number.parseInt(domain, 16) === 0 ? [bus, `${domain}:${bus}`] : [
    `${domain}:${bus}`,
  ];
  return folders.map((folder) => ({
    path: `/proc/bus/pci/${folder}/${device}`,
    event: "modify",
    kind,
  }));
}

/**
 * A function reset of a physical function, or a secondary bus reset of a bridge, is a bit in there
 * that reads as 0 afterwards: nobody can tell what was written.
 */
function resetByConfig(address: string): readonly DeviceFile[] {
  return [
    { path: `${PCI}/devices/${address}/config`, event: "modify", kind: "reset" },
    ...inProcfs(address, "reset"),
  ];
}

function named(address: string, names: readonly string[]): readonly DeviceFile[] {
  return names.flatMap((name) => file(`${PCI}/devices/${address}`, name));
}

function file(folder: string, name: string): readonly DeviceFile[] {
  const what = EVENTS[name];
  return what === undefined ? [] : [{ path: `${folder}/${name}`, ...what }];
}
