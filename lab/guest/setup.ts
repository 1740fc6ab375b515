/** Prepares the guest before the first case. @module */
import { basename, join } from "../path.ts";
import { type LabDevice, labDevices, type Role } from "../machine/topology.ts";
import { until } from "./until.ts";

/** Devices by role, as the guest sees them. */
export type Devices = Readonly<Record<Role, LabDevice>>;

/** Account for importers: never the one that Bargate runs as. */
export const IMPORTER_ACCOUNT = { name: "nobody", uid: 65534, gid: 65534 } as const;

/** Programs of the guest live here, where every account can execute them. */
export const PROGRAMS = "/run/bargate-lab/bin";

const PCI = "/sys/bus/pci";
/** A task that the kernel holds this long is stuck; the default of two minutes only costs time. */
const HUNG_TASK_SECONDS = 20;

/**
 * @param tools folder with the compiled programs
 * @returns the devices, bound to their drivers
 */
export async function setUp(tools: string): Promise<Devices> {
  const devices = labDevices("");
  await Deno.writeTextFile("/proc/sys/kernel/hung_task_timeout_secs", `${HUNG_TASK_SECONDS}`);
  await copyPrograms(tools);
  for (const device of devices) await bind(device);
  await openToImporters(deviceByRole(devices, "edu").address);
  return {
    nvme: deviceByRole(devices, "nvme"),
    nvme2: deviceByRole(devices, "nvme2"),
    nativeNvme: deviceByRole(devices, "nativeNvme"),
    sriov: deviceByRole(devices, "sriov"),
    dual0: deviceByRole(devices, "dual0"),
    dual1: deviceByRole(devices, "dual1"),
    peerMemory: deviceByRole(devices, "peerMemory"),
    peerDisk: deviceByRole(devices, "peerDisk"),
    edu: deviceByRole(devices, "edu"),
    ivshmem: deviceByRole(devices, "ivshmem"),
    nic: deviceByRole(devices, "nic"),
  };
}

function deviceByRole(devices: readonly LabDevice[], role: Role): LabDevice {
  const device = devices.find((each) => each.role === role);
  if (device === undefined) throw new Error(`Cannot find the device ${role} in the topology`);
  return device;
}

async function copyPrograms(tools: string): Promise<void> {
  await Deno.mkdir(PROGRAMS, { recursive: true });
  for await (const entry of Deno.readDir(tools)) {
    await Deno.copyFile(join(tools, entry.name), join(PROGRAMS, entry.name));
    await Deno.chmod(join(PROGRAMS, entry.name), 0o755);
  }
}

/**
 * Binds a device to its driver of the topology.
 *
 * @param device which
 */
export async function bind(device: LabDevice): Promise<void> {
  const folder = join(PCI, "devices", device.address);
  await checkIdentity(device, folder);
  if (await boundDriver(device.address) === device.driver) return;
  await Deno.writeTextFile(join(folder, "driver_override"), device.driver);
  if (await boundDriver(device.address) !== undefined) {
    await Deno.writeTextFile(join(folder, "driver/unbind"), device.address);
  }
  await Deno.writeTextFile(join(PCI, "drivers_probe"), device.address);
  await until(
    `${device.address} to be bound to ${device.driver}`,
    5000,
    async () => await boundDriver(device.address) === device.driver || undefined,
  );
}

async function checkIdentity(device: LabDevice, folder: string): Promise<void> {
  const read = async (name: string) =>
    (await Deno.readTextFile(join(folder, name))).trim().replace("0x", "");
  const id = `${await read("vendor")}:${await read("device")}`;
  if (id !== device.id) {
    throw new Error(`Cannot use ${device.address} as ${device.role}: it is ${id}`);
  }
}

/**
 * @param address of a PCI function
 * @returns the driver bound to it
 */
export async function boundDriver(address: string): Promise<string | undefined> {
  try {
    return basename(await Deno.readLink(join(PCI, "devices", address, "driver")));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * @param address of a function bound to a VFIO driver
 * @returns its character device
 */
export async function vfioNode(address: string): Promise<string> {
  const folder = join(PCI, "devices", address, "vfio-dev");
  const [name] = await Array.fromAsync(Deno.readDir(folder));
  if (name === undefined) throw new Error(`Cannot find the VFIO device of ${address}`);
  return join("/dev/vfio/devices", name.name);
}

/** Importers drive the DMA engine themselves, with their own iommufd. */
async function openToImporters(address: string): Promise<void> {
  const { uid, gid } = IMPORTER_ACCOUNT;
  for (const node of ["/dev/iommu", await vfioNode(address)]) await Deno.chown(node, uid, gid);
  // devtmpfs makes the folder for root only
  await Deno.chmod("/dev/vfio", 0o755);
  await Deno.chmod("/dev/vfio/devices", 0o755);
}
