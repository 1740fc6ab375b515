/**
 * Taking the inventory of a host, this one or a simulated one.
 *
 * @module
 */
import { namesAmong } from "../host/device_names.ts";
import { FilesError } from "../host/files.ts";
import { type KernelConfigRead, readKernelConfig } from "../host/kernel_config.ts";
import { partOfSnapshot } from "../host/part_of_snapshot.ts";
import { readSnapshot, type TakenSnapshot } from "../host/read_snapshot.ts";
import {
  type HostSnapshot,
  NO_RIGHT,
  type SnapshotFunction,
  type Unreadable,
} from "../host/snapshot.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import type { ThisHost } from "./prepare_plan.ts";

/**
 * Takes an inventory.
 *
 * @param host whose
 * @param devices addresses of the functions that are wanted, which must be there; absent: all
 * @throws {CommandError} host not ready: there is no PCI here, or no such device
 */
export async function takeInventory(
  host: ThisHost,
  devices: readonly string[] | undefined,
): Promise<TakenSnapshot> {
  const wanted = devices === undefined ? undefined : new Set(devices);
  const taken = host.simulated === undefined
    ? await readOwn(host, wanted)
    : ofFile(host.simulated, wanted);
  const there = new Set(taken.snapshot.functions.map(({ address }) => address));
  for (const address of wanted ?? []) {
    if (there.has(address)) continue;
    const why = taken.skipped.find((skipped) => skipped.address === address)?.why;
    throw new CommandError(
      `Cannot take the inventory of ${address}: ${why ?? "this host has no such PCI function"}`,
      ExitStatus.hostNotReady,
    );
  }
  return taken;
}

/** What a simulated host is, its file says: what could be read of the simulation is less, and more. */
function ofFile(simulated: HostSnapshot, wanted: ReadonlySet<string> | undefined): TakenSnapshot {
  const snapshot = wanted === undefined ? simulated : partOfSnapshot(simulated, wanted);
  return { snapshot, skipped: [], findings: [] };
}

async function readOwn(
  host: ThisHost,
  wanted: ReadonlySet<string> | undefined,
): Promise<TakenSnapshot> {
  try {
    const kernel = await readKernelConfig(host.files, host.release);
    const taken = readSnapshot(
      host.files,
      { ...host, ...(kernel.config === undefined ? {} : { config: kernel.config }) },
      (address) => wanted === undefined || wanted.has(address),
    );
    return withKernel(taken, kernel);
  } catch (error) {
    if (!(error instanceof FilesError)) throw error;
    const message = `Cannot take the inventory: ${error.message}`;
    throw new CommandError(message, ExitStatus.hostNotReady, { cause: error });
  }
}

/** A place that may not be read matters only if no other place says it. */
function withKernel(taken: TakenSnapshot, kernel: KernelConfigRead): TakenSnapshot {
  const lacking = kernel.config === undefined ? kernel.unreadable : [];
  const unreadable = [...lacking, ...taken.snapshot.unreadable ?? []];
  return {
    ...taken,
    snapshot: {
      ...namesAmong(taken.snapshot),
      ...(unreadable.length === 0 ? {} : { unreadable }),
    },
    findings: [...kernel.findings, ...taken.findings],
  };
}

/**
 * What is not in an inventory, and which right it would have needed.
 *
 * @param taken the inventory
 * @returns lines for people
 */
export function shortcomings({ snapshot, skipped, findings }: TakenSnapshot): readonly string[] {
  const counts = new Map<string, number>();
  for (const { unreadable } of snapshot.functions) count(unreadable, counts);
  return [
    ...(snapshot.unreadable ?? []).map((each) => `warning: could not read ${lack(each)}`),
    ...[...counts].map(([what, count]) =>
      `warning: could not read of ${count} function${count === 1 ? "" : "s"}: ${what}`
    ),
    ...skipped.map(({ address, why }) => `warning: left out ${address}: ${why}`),
    ...findings.map(({ path, why }) => `warning: left out what ${path} says: ${why}`),
  ];
}

function count(unreadable: SnapshotFunction["unreadable"], counts: Map<string, number>): void {
  // What makes no sense is told by itself.
  for (const each of unreadable.filter(({ right }) => right !== NO_RIGHT)) {
    counts.set(lack(each), (counts.get(lack(each)) ?? 0) + 1);
  }
}

function lack({ field, right }: Unreadable): string {
  return `${field} (needs ${right})`;
}
