/**
 * Whether a device is awake, by what can be read without waking it: the power state that the kernel
 * has of it, runtime power management, which suspends in D0 what has no power management of its own,
 * and the device's own register, which can be written behind the kernel's back.
 *
 * @module
 */
import { powerStateOf } from "../host/config_space.ts";

/** What the register's two bits mean. */
const STATES = ["D0", "D1", "D2", "D3hot"] as const;

/** What tells. */
export interface PowerFacts {
  readonly powerState?: string | undefined;
  readonly runtimeStatus?: string | undefined;
  readonly config?: Uint8Array;
}

/**
 * Why a device is not to be called upon: that could wake it.
 *
 * @param facts what was read of it; a power state that is not there says nothing
 * @returns in words, to follow "it is"; absent: it is awake, as far as can be seen
 *
 * @example
 * ```ts
 * import { whyAsleep } from "./device_sleep.ts";
 *
 * if (whyAsleep({ powerState: "D0", runtimeStatus: "active" }) !== undefined) throw new Error("wrong");
 * if (whyAsleep({ powerState: "D0", runtimeStatus: "suspended" }) === undefined) throw new Error("wrong");
 * ```
 */
export function whyAsleep({ powerState, runtimeStatus, config }: PowerFacts): string | undefined {
  if (powerState === "unknown") return "in a power state that the kernel does not know";
  if (powerState !== undefined && powerState !== "D0") return `in ${powerState}`;
  if (runtimeStatus === "suspended" || runtimeStatus === "suspending") {
    return `${runtimeStatus} by runtime power management`;
  }
  const state = STATES[config === undefined ? 0 : powerStateOf(config) ?? 0];
  if (state === undefined || state === "D0") return undefined;
  return `in ${state} by its own register, while the kernel takes it for awake`;
}

/**
 * Whether the kernel has given up on the device's runtime power management: to open it then answers
 * EINVAL, and every call on an open descriptor EIO, until the function is removed and found anew.
 *
 * @param facts what was read of it
 */
export function cannotResume({ runtimeStatus }: Pick<PowerFacts, "runtimeStatus">): boolean {
  return runtimeStatus === "error";
}
