/**
 * The names by which people know devices, and the PCI functions behind them: NVMe controllers, RDMA
 * devices, DRM nodes.
 *
 * @module
 */
import { isPciAddress } from "./address.ts";
import { FieldReader } from "./field_reader.ts";
import type { Files } from "./files.ts";
import type { HostSnapshot, NamedDevice } from "./snapshot.ts";

/** The named devices of a host. */
export type DeviceNames = Required<Pick<HostSnapshot, "rdma" | "drm" | "nvme">>;

const NAME = /^(?!\.{1,2}$)[!-.0-~]{1,255}$/;

/** Buses of devices that are a part, or the face, of the function that they sit on. */
const DIVISIONS: ReadonlySet<string> = new Set(["virtio", "auxiliary"]);
/** Of a function and its divisions: there are two one above the other at most, a sub-function's. */
const MOST_DIVISIONS = 8;

/** Where the kernel lists them, and which of the entries are devices. */
const CLASSES = {
  rdma: { folder: "/sys/class/infiniband", name: NAME },
  // Connectors (`card0-DP-1`) and a file `version` are there too.
  drm: { folder: "/sys/class/drm", name: /^(?:card|renderD)[0-9]{1,9}$/ },
  nvme: { folder: "/sys/class/nvme", name: /^nvme[0-9]{1,9}$/ },
} as const;

/**
 * Reads the names. There are few of them, and so all are read.
 *
 * @param files where to read
 * @param fields takes what cannot be read, or makes no sense
 * @returns the devices of each kind, sorted by name
 *
 * @example
 * ```ts
 * import "../ffi/preload.ts";
 * import { LinuxFiles } from "../ffi/linux_files.ts";
 * import { readDeviceNames } from "./device_names.ts";
 *
 * const { rdma } = readDeviceNames(new LinuxFiles());
 * if (rdma.some(({ name }) => name === "")) throw new Error("every device has a name");
 * ```
 */
export function readDeviceNames(files: Files, fields = new FieldReader(files)): DeviceNames {
  const { rdma, drm, nvme } = CLASSES;
  return {
    rdma: devicesOf(fields, "rdma", rdma),
    drm: devicesOf(fields, "drm", drm),
    nvme: devicesOf(fields, "nvme", nvme),
  };
}

function devicesOf(
  fields: FieldReader,
  kind: keyof DeviceNames,
  { folder, name: pattern }: { readonly folder: string; readonly name: RegExp },
): readonly NamedDevice[] {
  const devices: NamedDevice[] = [];
  for (const name of fields.names(folder, kind)) {
    if (pattern.test(name)) {
      const address = functionBehind(fields, `${folder}/${name}/device`, kind);
      devices.push({ name, ...(address === undefined ? {} : { function: address }) });
    } else if (!NAME.test(name)) fields.find(`${folder}/${name}`, "no device has such a name");
  }
  return devices;
}

/**
 * The function that does the device's DMA: the device itself, or what it is a division of, which can
 * itself be one (an RDMA device of a sub-function sits on an auxiliary device, and that on the
 * function or on another). One of any other bus (a USB display) does no DMA of a function.
 */
function functionBehind(fields: FieldReader, path: string, field: string): string | undefined {
  let at = fields.realPath(path, field);
  for (let above = 0; at !== undefined && above <= MOST_DIVISIONS; above++) {
    const cut = at.lastIndexOf("/");
    const name = at.slice(cut + 1);
    if (isPciAddress(name)) return name;
    // Without a function above there is nothing to ask.
    if (!at.split("/").some(isPciAddress)) return undefined;
    const bus = fields.linkName(`${at}/subsystem`, field);
    if (bus === undefined || !DIVISIONS.has(bus)) return undefined;
    at = at.slice(0, cut);
  }
  return undefined;
}

/**
 * The names that can stand in a file with a snapshot's functions: those of the functions that it has,
 * and of what is no PCI function at all.
 *
 * @param snapshot with names, or without those of a kind that nobody looked for
 * @returns the same, without the names of other functions
 */
export function namesAmong(snapshot: HostSnapshot): HostSnapshot {
  const there = new Set(snapshot.functions.map(({ address }) => address));
  const among = (kind: keyof DeviceNames) => {
    const found = snapshot[kind]?.filter((device) =>
      device.function === undefined || there.has(device.function)
    );
    return found === undefined ? {} : { [kind]: found };
  };
  return { ...snapshot, ...among("rdma"), ...among("drm"), ...among("nvme") };
}
