/** A device that another process has open, for the engine's tests. @module */
import type { Fd } from "../../engine/fd.ts";
import { configHeader } from "../../host/config_space.ts";
import type { GuardianContext } from "../../engine/guardian_context.ts";
import type { ObserverChoice } from "../../engine/observation_post.ts";
import type { SimKernel } from "../../sim/sim_kernel.ts";
import type { SimProcess } from "../../sim/process.ts";
import { SimDeviceFile } from "../../sim/vfio.ts";
import { AT, type GrantSpec, Scene, SSD } from "./support.ts";

export const OWNER_PID = 77;
export const OWNER = { unit: { value: "tgt.service", at: AT }, user: { value: "nobody", at: AT } };
export const DEVICE_FOLDER = `/sys/bus/pci/devices/${SSD}`;

/** An owner with the device open, as procfs shows it. */
export interface Owned {
  readonly scene: Scene;
  readonly process: SimProcess;
  readonly device: SimDeviceFile;
  /** Its descriptor of the device. */
  readonly node: Fd;
  /** The owner closes its descriptor. */
  close(): void;
  /** The owner ends. */
  end(): void;
}

/** A scene whose device another process has open. */
export async function owned(
  spec: GrantSpec = {},
  unit = "tgt.service",
  observe: ObserverChoice = {},
  more: readonly GrantSpec[] = [],
  context: (kernel: SimKernel) => Partial<GuardianContext> = () => ({}),
): Promise<Owned> {
  const first = { owner: OWNER, graceMs: 100, ...spec };
  const specs = [first, ...more.map((each) => ({ ...first, ...each }))];
  const scene = new Scene(specs, undefined, observe, "cdev", context);
  const { kernel, files } = scene;
  const lane = kernel.openLane("owner");
  const node = await lane.openNode(`/dev/vfio/devices/${SSD}`);
  const iommufd = kernel.openIommufd();
  await lane.bindIommufd(node, iommufd);
  const device = kernel.file(node, SimDeviceFile);
  const process = kernel.addProcess({ pid: OWNER_PID, uid: 65534, gid: 65534, unit });
  const procfs: Record<string, string> = {
    [`/proc/${OWNER_PID}/fd/${node.number}`]: "->/dev/vfio/devices/vfio0",
    [`/proc/${OWNER_PID}/fdinfo/${node.number}`]:
      `pos:\t0\nvfio-device-syspath: /sys/devices/pci0000:00/0000:00:10.0/${SSD}\n`,
    "/proc/88/fd/3": "->/dev/null",
    "/proc/self/fd/3": "->/dev/null",
    [`${DEVICE_FOLDER}/power_state`]: "D0\n",
    [`${DEVICE_FOLDER}/power/runtime_status`]: "active\n",
  };
  Object.assign(files.tree, procfs);
  Object.defineProperties(files.tree, identityFiles(device.device.fn.config));
  const close = () => {
    kernel.close(node);
    for (const path of Object.keys(procfs)) {
      if (path.startsWith(`/proc/${OWNER_PID}/`)) delete files.tree[path];
    }
  };
  const end = () => {
    close();
    kernel.close(iommufd);
    process.end();
  };
  return { scene, process, device, node, close, end };
}

/** sysfs tells what the device says at that moment. */
function identityFiles(config: Uint8Array): PropertyDescriptorMap {
  const header = () => configHeader(config);
  const values = {
    vendor: () => `0x${header()?.vendor}\n`,
    device: () => `0x${header()?.device}\n`,
    class: () => `0x${header()?.class}\n`,
  };
  return Object.fromEntries(
    Object.entries(values).map(([name, get]) => {
      const attributes = { get, enumerable: true, configurable: true };
      return [`${DEVICE_FOLDER}/${name}`, attributes];
    }),
  );
}
