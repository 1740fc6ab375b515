/** Devices from outside: their configuration space by sysfs, and how they are made whole again. @module */
import { boundDriver } from "../guest/setup.ts";
import { until } from "../guest/until.ts";
import type { LabDevice } from "../machine/topology.ts";
import { exists } from "../exists.ts";

const PCI = "/sys/bus/pci";
const COMMAND = 4;
const MEMORY = 0x2;
const CAPABILITIES = 0x34;
const POWER_MANAGEMENT = 1;
/** From the capability's begin on. */
const POWER_CONTROL = 4;
/** More than this many capabilities do not fit. */
const MOST_CAPABILITIES = 48;
const REPAIR_MS = 20_000;

/**
 * Writes as setpci does: without truncating, which would be a modification by itself. On a thread of
 * its own: some files of sysfs let their writer wait.
 *
 * @param path of a file
 * @param offset in it
 * @param bytes to write
 */
export async function writeAt(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { write: true });
  await file.seek(offset, Deno.SeekMode.Start);
  await file.write(bytes);
}

/** @returns whether a function decodes memory */
export async function hasMemoryBit(folder: string): Promise<boolean> {
  const [low = 0] = (await Deno.readFile(`${folder}/config`)).slice(COMMAND, COMMAND + 1);
  return (low & MEMORY) !== 0;
}

/** Switches memory decode of a function, past VFIO. */
export async function memoryBit(folder: string, on: boolean): Promise<void> {
  const [low = 0, high = 0] = (await Deno.readFile(`${folder}/config`)).slice(COMMAND, COMMAND + 2);
  const wanted = on ? low | MEMORY : low & ~MEMORY;
  await writeAt(`${folder}/config`, COMMAND, new Uint8Array([wanted, high]));
}

/** Puts a function into a power state, past the kernel. @returns whether it has any */
export async function powerState(folder: string, state: 0 | 3): Promise<boolean> {
  const config = await Deno.readFile(`${folder}/config`);
  const at = capability(config, POWER_MANAGEMENT);
  if (at === undefined) return false;
  const [low = 0] = config.slice(at + POWER_CONTROL);
  await writeAt(`${folder}/config`, at + POWER_CONTROL, new Uint8Array([low & ~3 | state]));
  return true;
}

function capability(config: Uint8Array, wanted: number): number | undefined {
  let at = config[CAPABILITIES] ?? 0;
  for (let seen = 0; at >= 0x40 && seen < MOST_CAPABILITIES; seen++) {
    if (config[at] === wanted) return at;
    at = config[at + 1] ?? 0;
  }
  return undefined;
}

/** One rescan or binding at a time. */
let repairing: Promise<unknown> = Promise.resolve();

/**
 * Brings a device back to its driver, whatever was done to it, and may be done meanwhile.
 *
 * @param device of the laboratory
 */
export function repair(device: LabDevice): Promise<void> {
  const done = repairing.then(() =>
    until(`${device.address} to be back`, REPAIR_MS, async () => {
      if (await boundDriver(device.address) === device.driver) return true;
      await tryToBind(device);
      return undefined;
    })
  );
  repairing = Promise.allSettled([done]);
  return done.then(() => undefined);
}

/** It can be taken away again at each step. */
async function tryToBind({ address, driver }: LabDevice): Promise<void> {
  const folder = `${PCI}/devices/${address}`;
  try {
    if (!await exists(folder)) await rescan();
    await writeText(`${folder}/driver_override`, driver);
    if (await boundDriver(address) === undefined) await writeText(`${PCI}/drivers_probe`, address);
    else if (await boundDriver(address) !== driver) {
      await writeText(`${folder}/driver/unbind`, address);
    }
  } catch (error) {
    if (!isRefused(error)) throw error;
  }
}

/** @returns whether it is an answer of the kernel: the file is not there, the device has gone */
export function isRefused(error: unknown): error is Error {
  return error instanceof Error && /\(os error \d+\)/.test(error.message);
}

/** No driver of the kernel's own is to take what comes back. */
async function rescan(): Promise<void> {
  await writeText(`${PCI}/drivers_autoprobe`, "0");
  try {
    await writeText(`${PCI}/rescan`, "1");
  } finally {
    await writeText(`${PCI}/drivers_autoprobe`, "1");
  }
}

function writeText(path: string, text: string): Promise<void> {
  return writeAt(path, 0, new TextEncoder().encode(text));
}
