/**
 * `inventory --probe`: asks NVMe controllers where their memory buffers are. Loaded only then, for
 * with this devices are opened.
 *
 * @module
 */
import { type Clock, systemClock } from "../engine/clock.ts";
import { HostNotReadyError, IdentityDriftError, RefusedError } from "../engine/errors.ts";
import { canBeProbed } from "../engine/controllers_to_ask.ts";
import { inTime } from "../engine/in_time.ts";
import type { Kernel } from "../engine/kernel.ts";
import { probeController } from "../engine/probe_controller.ts";
import { LinuxKernel } from "../ffi/linux_kernel.ts";
import type { Finding } from "../host/field_reader.ts";
import type { TakenSnapshot } from "../host/read_snapshot.ts";
import type { SnapshotFunction } from "../host/snapshot.ts";

/** Through what they are asked. */
export interface Asking {
  readonly kernel: Kernel;
  /** Of the limit. */
  readonly clock: Clock;
}

/**
 * Asks one after the other, each for a limited time. The call of one that did not answer keeps its
 * thread, and so whoever asks has to end the process (`exitNow`).
 *
 * @param taken the inventory
 * @param devices only these, by address; absent: all that can be asked
 * @param asking through what; absent: this host's kernel
 * @returns the inventory with their answers; who gave none is a finding
 */
export async function probeControllers(
  taken: TakenSnapshot,
  devices: readonly string[] | undefined,
  asking: Asking = { kernel: new LinuxKernel(), clock: systemClock },
): Promise<TakenSnapshot> {
  const findings: Finding[] = [...taken.findings];
  const functions: SnapshotFunction[] = [];
  for (const entry of taken.snapshot.functions) {
    const wanted = devices?.includes(entry.address) ?? true;
    functions.push(
      wanted && canBeProbed(entry) ? await probed(asking, entry, findings) : entry,
    );
  }
  return { ...taken, snapshot: { ...taken.snapshot, functions }, findings };
}

async function probed(
  { kernel, clock }: Asking,
  entry: SnapshotFunction,
  findings: Finding[],
): Promise<SnapshotFunction> {
  try {
    return { ...entry, ...await inTime(clock, entry.address, probeController(kernel, entry)) };
  } catch (error) {
    const told = error instanceof HostNotReadyError || error instanceof IdentityDriftError ||
      error instanceof RefusedError;
    if (!told) throw error;
    findings.push({ path: `the controller ${entry.address}`, why: error.message });
    return entry;
  }
}
