/**
 * Bargate decides which slices of which PCI BARs may leave which device as dma-bufs, and to whom;
 * exports them on Linux, and takes them back.
 *
 * The library's public names: checking policies, describing a host, planning, and guarding.
 *
 * @example Check a policy
 * ```ts
 * import { loadPolicySet } from "./mod.ts";
 *
 * const text = `
 * apiVersion: bargate/v1
 * kind: ExportPolicy
 * metadata: { name: demo }
 * devices: { ssd: { match: { id: "1b36:0010" } } }
 * importers: { engine: { identity: { user: nobody }, driver: iommufd } }
 * exports:
 *   - { name: data, device: ssd, bar: 2, slices: [{ offset: 0, length: 64 }], importers: [engine] }
 * `;
 * const { set, diagnostics } = loadPolicySet([{ file: "demo.yaml", text }]);
 * if (set !== undefined || diagnostics[0]?.line !== 8) throw new Error("64 bytes are no page");
 * ```
 *
 * @module
 */
export { loadPolicySet } from "./policy/load.ts";
export type { LoadOptions, LoadResult, PolicySource } from "./policy/load.ts";
export type { Diagnostic, Related, Severity } from "./policy/diagnostic.ts";
export type { Policy, PolicySet } from "./policy/model.ts";
export { Decider } from "./policy/decide.ts";
export type { AccessRequest, Decision } from "./policy/decide.ts";

export type { Files } from "./host/files.ts";
export { readSnapshot } from "./host/read_snapshot.ts";
export { parseSnapshot } from "./host/parse_snapshot.ts";
export type { ParsedSnapshot } from "./host/parse_snapshot.ts";
export { printSnapshot } from "./host/print_snapshot.ts";
export type { SnapshotProblem } from "./host/snapshot_problem.ts";
export type { HostSnapshot, NamedDevice, SnapshotBar, SnapshotFunction } from "./host/snapshot.ts";

export { makePlan } from "./engine/plan.ts";
export type { Plan, PlannedGrant, PlanOptions } from "./engine/plan.ts";
export type { Kernel, Lane } from "./engine/kernel.ts";
export { Guardian } from "./engine/guardian.ts";
export type { GuardedEnd } from "./engine/guardian.ts";
export type { GuardianContext } from "./engine/guardian_context.ts";
export type { ImporterProcess, ImporterSource } from "./engine/importer_process.ts";
export { StartedProgram } from "./engine/started_program.ts";
export type { Command } from "./engine/started_program.ts";
export { ConnectedPeer } from "./engine/connected_peer.ts";
export type { PeerAddress } from "./engine/connected_peer.ts";
export { EventLog } from "./engine/event.ts";
export type { Event } from "./engine/event.ts";
export { systemClock } from "./engine/clock.ts";
export { DeniedError, HostNotReadyError, InterruptedError, RefusedError } from "./engine/errors.ts";

export { LinuxFiles } from "./ffi/linux_files.ts";
export { LinuxKernel } from "./ffi/linux_kernel.ts";
