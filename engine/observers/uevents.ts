/**
 * Kobject uevents: the kernel's own word that a device goes, or that its recovery from an error
 * begins. They tell nothing of resets.
 *
 * @module
 */
import type { Uevent } from "../kernel.ts";
import type { Observation, ObservationKind, Observer, ObserverContext } from "./observation.ts";
import { whenReadable } from "./when_readable.ts";

/** `…/0000:01:00.0/vfio-dev/vfio0` */
const VFIO_DEVICE = /\/([0-9a-f:.]+)\/vfio-dev\//;

/**
 * Watches the uevents of this host.
 *
 * @param context takes what is seen
 * @returns the watching
 * @throws {KernelError} where there are none to be had
 */
export function observeUevents(context: ObserverContext): Observer {
  const { kernel, tell } = context;
  const socket = kernel.openUevents();
  return whenReadable(context, socket, () => {
    for (
      let event = kernel.receiveUevent(socket);
      event !== "empty";
      event = kernel.receiveUevent(socket)
    ) {
      const seen = event === "overrun" ? LOST : meaningOf(event);
      if (seen !== undefined) tell(seen);
    }
  });
}

const LOST: Observation = {
  devices: "all",
  kind: "look",
  cause: { source: "uevent", detail: "some were lost" },
};

/**
 * What a uevent says of a device.
 *
 * @param event from the kernel
 * @returns absent: nothing that matters here
 */
export function meaningOf(event: Uevent): Observation | undefined {
  const subsystem = event.values.get("SUBSYSTEM");
  if (subsystem === "vfio-dev" && event.action === "remove") {
    return seen(VFIO_DEVICE.exec(event.path)?.[1], "removal", "remove vfio-dev");
  }
  if (subsystem !== "pci") return undefined;
  const address = event.values.get("PCI_SLOT_NAME");
  if (event.action === "unbind" || event.action === "remove") {
    return seen(address, "removal", `${event.action} pci`);
  }
  const failing = event.values.get("ERROR_EVENT") === "BEGIN_RECOVERY";
  return failing ? seen(address, "error", "BEGIN_RECOVERY") : undefined;
}

function seen(
  address: string | undefined,
  kind: ObservationKind,
  detail: string,
): Observation | undefined {
  if (address === undefined) return undefined;
  return { devices: [address], kind, cause: { source: "uevent", detail } };
}
