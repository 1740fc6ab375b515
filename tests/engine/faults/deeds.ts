/**
 * What others do while Bargate works.
 *
 * @module
 */
import type { SimProcess } from "../../../sim/process.ts";
import { SimIommufd } from "../../../sim/iommufd.ts";
import type { SimKernel } from "../../../sim/sim_kernel.ts";
import { type SimFunction, SimVfioDevice } from "../../../sim/vfio.ts";
import type { Deed } from "./faulty_kernel.ts";
import { withMsix } from "./msix.ts";
import type { Trial } from "./trial.ts";

const STRANGER = { pid: 4711, uid: 65534, gid: 65534 };
/** The BAR that is exported from, and where in it. */
const [BAR, OFFSET] = [2, 0x1000];

/** What is another with the device that takes the place. */
const OTHERS: Readonly<Partial<Record<Deed, (fn: SimFunction) => Partial<SimFunction>>>> = {
  "other id": ({ config }) => ({
    config: Uint8Array.from(config, (it, at) => at === 2 ? 0x77 : it),
  }),
  "other BAR": ({ bars }) => ({ bars: new Map([...bars, [BAR, 0x80_0000n]]) }),
  "other MSI-X": ({ config }) => ({ config: withMsix(config, BAR, OFFSET) }),
  "other address": () => ({ address: "0000:0f:00.0" }),
};

/**
 * Puts another device where one was: who opens the node from now on opens that one.
 *
 * @returns the other one; undefined if there is none to take the place of
 */
export function replaceDevice(
  { devices, groups }: SimKernel,
  address: string,
  what: Deed,
): SimVfioDevice | undefined {
  const old = [...devices.values()].find(({ fn }) => fn.address === address);
  const change = OTHERS[what];
  if (old === undefined || change === undefined) return undefined;
  const device = new SimVfioDevice({ ...old.fn, ...change(old.fn) });
  devices.set(old.fn.node, device);
  for (const group of groups.values()) {
    const at = group.devices.indexOf(old);
    if (at >= 0) group.devices[at] = device;
  }
  return device;
}

/** A process runs another program, as another account. */
export function become(process: SimProcess, uid: number): void {
  Object.assign(process, { identity: { ...process.identity, uid } });
}

/** A process that has inherited the importer's connection asks for all that can be asked there. */
export function speakAsStranger({ scene, audit }: Trial): void {
  const { kernel, events } = scene;
  const child = kernel.children.find(({ end }) => end === undefined);
  const socket = child?.fds.get("bargate");
  if (socket === undefined || kernel.table.get(socket) === undefined) return;
  kernel.addProcess(STRANGER);
  const say = (packet: unknown, fds: readonly number[] = []) =>
    kernel.sendAs(STRANGER, socket, new TextEncoder().encode(JSON.stringify(packet)), fds);
  for (const grant of audit.standing) {
    say({ type: "release", grant });
    say({ type: "ack", grant });
  }
  const iommufd = new SimIommufd();
  const number = kernel.table.install(iommufd);
  for (const name of new Set(events.flatMap((event) => event.export ?? []))) {
    say({ type: "request", export: name, ioas: iommufd.allocate() }, [number]);
  }
  kernel.table.close(number);
}
