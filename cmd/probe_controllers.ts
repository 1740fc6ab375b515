/**
 * `inventory --probe`: asks NVMe controllers where their memory buffers are. Loaded only then, for
 * with this devices are opened.
 *
 * @module
 */
import { HostNotReadyError, IdentityDriftError, RefusedError } from "../engine/errors.ts";
import { canBeProbed } from "../engine/controllers_to_ask.ts";
import { probeController } from "../engine/probe_controller.ts";
import { LinuxKernel } from "../ffi/linux_kernel.ts";
import type { Finding } from "../host/field_reader.ts";
import type { TakenSnapshot } from "../host/read_snapshot.ts";
import type { SnapshotFunction } from "../host/snapshot.ts";

/**
 * Asks one after the other: a controller that answers late keeps the others waiting, and no other
 * process.
 *
 * @param taken the inventory
 * @param devices only these, by address; absent: all that can be asked
 * @returns the inventory with their answers; who gave none is a finding
 */
export async function probeControllers(
  taken: TakenSnapshot,
  devices: readonly string[] | undefined,
): Promise<TakenSnapshot> {
  const kernel = new LinuxKernel();
  const findings: Finding[] = [...taken.findings];
  const functions: SnapshotFunction[] = [];
  for (const entry of taken.snapshot.functions) {
    const wanted = devices?.includes(entry.address) ?? true;
    functions.push(
      wanted && canBeProbed(entry) ? await probed(kernel, entry, findings) : entry,
    );
  }
  return { ...taken, snapshot: { ...taken.snapshot, functions }, findings };
}

async function probed(
  kernel: LinuxKernel,
  entry: SnapshotFunction,
  findings: Finding[],
): Promise<SnapshotFunction> {
  try {
    return { ...entry, ...await probeController(kernel, entry) };
  } catch (error) {
    const told = error instanceof HostNotReadyError || error instanceof IdentityDriftError ||
      error instanceof RefusedError;
    if (!told) throw error;
    findings.push({ path: `the controller ${entry.address}`, why: error.message });
    return entry;
  }
}
