/** Makes virtual functions of the `sriov` device, and takes them back when the case ends. @module */
import { join } from "../path.ts";
import { MOST_VFS } from "../machine/topology.ts";
import type { GuestContext } from "./case.ts";
import { bind } from "./setup.ts";

const PCI = "/sys/bus/pci";
const ENABLE_SRIOV = "/sys/module/vfio_pci/parameters/enable_sriov";

/** Who has the physical function: only under vfio-pci do its virtual functions ask for a token. */
export type PfDriver = "nvme" | "vfio-pci";

/**
 * Binds the physical function; when the case ends it is the native driver's again, without virtual
 * functions.
 *
 * @param context of the case
 * @param driver of the physical function
 * @returns its folder in sysfs
 */
export async function preparePf(context: GuestContext, driver: PfDriver): Promise<string> {
  const { sriov } = context.devices;
  const folder = join(PCI, "devices", sriov.address);
  context.defer(async () => {
    await setVfs(context, 0);
    await Deno.writeTextFile(ENABLE_SRIOV, "N");
    await bind(sriov);
  });
  if (driver === "vfio-pci") await Deno.writeTextFile(ENABLE_SRIOV, "Y");
  await bind({ ...sriov, driver });
  return folder;
}

/**
 * Makes virtual functions and binds them to vfio-pci.
 *
 * @param context of the case, after {@linkcode preparePf}
 * @param count how many
 * @returns their addresses
 */
export async function makeVfs(context: GuestContext, count = MOST_VFS): Promise<readonly string[]> {
  const { sriov } = context.devices;
  const folder = join(PCI, "devices", sriov.address);
  // The native driver would wait in vain for a controller that nobody has brought on line.
  await Deno.writeTextFile(join(folder, "sriov_drivers_autoprobe"), "0");
  await setVfs(context, count);
  const addresses: string[] = [];
  for (let index = 0; index < count; index++) {
    const address = (await Deno.readLink(join(folder, `virtfn${index}`))).split("/").at(-1) ?? "";
    await bind({ ...sriov, address, driver: "vfio-pci" });
    addresses.push(address);
  }
  return addresses;
}

/**
 * Writes `sriov_numvfs`. Returns when all that were taken away have been given up by their users.
 *
 * @param context of the case
 * @param count how many there are to be
 */
export async function setVfs({ devices }: GuestContext, count: number): Promise<void> {
  await Deno.writeTextFile(
    join(PCI, "devices", devices.sriov.address, "sriov_numvfs"),
    String(count),
  );
}
