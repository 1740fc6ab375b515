/**
 * What a reset would do to grants, and what it did.
 *
 * @module
 */
import { DeniedError } from "./errors.ts";
import { type HeldGrant, isActive } from "./held_grant.ts";
import type { HitTogether } from "./reset_domain.ts";

/**
 * How a device is reset. `function`: VFIO_DEVICE_RESET; `bus`: VFIO_DEVICE_PCI_HOT_RESET, of all
 * functions of its slot or bus; `decode`: memory decode off and on again.
 */
export type ResetMethod = "function" | "bus" | "decode";

/** All of them. */
export const RESET_METHODS: readonly ResetMethod[] = ["function", "bus", "decode"];

/** A grant that a reset of another device would hit. */
export interface GrantHit {
  /** `policy/export` */
  readonly export: string;
  /** `policy/importer` */
  readonly importer: string;
  /** Address of the grant's own device. */
  readonly device: string;
  /** Whose reset hits both: a physical function, or a bridge above both. */
  readonly through: string;
}

/** What a reset would hit beyond the device itself. */
export interface ResetReach {
  /** Functions, with grants on them or not. */
  readonly functions: readonly HitTogether[];
  readonly hits: readonly GrantHit[];
}

/** What became of one grant. `restored`: it stands, with its old buffer or a new one. */
export interface GrantFate {
  readonly export: string;
  readonly importer: string;
  readonly became: "ended" | "failed" | "restored";
}

/** What became of the grants of one device. */
export interface DeviceOutcome {
  readonly device: string;
  readonly grants: readonly GrantFate[];
}

/** What became of all grants. */
export interface ResetOutcome {
  /** Grants whose end was seen. */
  readonly ended: number;
  /** Grants whose end could not be seen. */
  readonly failed: number;
  /** Grants that stand: restored, or renewed with a new generation. */
  readonly restored: number;
  /** The device itself, and the others of its reset domain that had grants, by address. */
  readonly devices: readonly DeviceOutcome[];
}

/** The reset would hit grants of devices that it was not told to hit. Nothing was done. */
export class DomainError extends DeniedError {
  /**
   * @param device that was to be reset
   * @param hits every grant of others that it would hit
   */
  constructor(readonly device: string, readonly hits: readonly GrantHit[]) {
    super(`Cannot reset ${device} alone: the reset would hit ${hits.length} grants of others`);
  }
}

/**
 * Adds up what became of the grants of several devices.
 *
 * @param devices in any order
 * @returns the sum
 *
 * @example
 * ```ts
 * import { outcomeOf } from "./reset_outcome.ts";
 *
 * const grants = [{ export: "p/a", importer: "p/i", became: "ended" }] as const;
 * if (outcomeOf([{ device: "0000:01:00.0", grants }]).ended !== 1) throw new Error("one");
 * ```
 */
export function outcomeOf(devices: readonly DeviceOutcome[]): ResetOutcome {
  const fates = devices.flatMap(({ grants }) => grants);
  const count = (fate: GrantFate["became"]) => fates.filter(({ became }) => became === fate).length;
  return {
    ended: count("ended"),
    failed: count("failed"),
    restored: count("restored"),
    devices: devices.toSorted((a, b) => a.device < b.device ? -1 : 1),
  };
}

/** @returns what is to be told of a grant */
export function fateOf({ grant }: HeldGrant, became: GrantFate["became"]): GrantFate {
  return { export: grant.plan.export, importer: grant.plan.importerName, became };
}

/** @returns what became of a grant that was to end */
export function endFate(held: HeldGrant): GrantFate {
  return fateOf(held, held.grant.end?.means === undefined ? "failed" : "ended");
}

/**
 * The grants of a device that is hit.
 *
 * @param guard of the device
 * @param through whose reset hits it; absent: its physical function's, or its own
 */
export function hitsOf(guard: Guarded, through?: string): readonly GrantHit[] {
  return guard.standing.filter(isActive).map(({ grant: { plan } }) => ({
    export: plan.export,
    importer: plan.importerName,
    device: plan.device.address,
    through: through ?? plan.device.physfn ?? plan.device.address,
  }));
}

/** What stands on a device. */
interface Guarded {
  readonly standing: readonly HeldGrant[];
}
