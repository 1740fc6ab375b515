/** An observer's surroundings, over a simulated kernel. @module */
import type { Observation, ObserverContext } from "../../../engine/observers/observation.ts";
import { SimKernel } from "../../../sim/sim_kernel.ts";

/** What an observer told, and what went wrong. */
export interface Seen {
  readonly kernel: SimKernel;
  readonly context: ObserverContext;
  readonly told: Observation[];
  readonly errors: unknown[];
}

export function seen(): Seen {
  const kernel = new SimKernel({ functions: [] });
  const told: Observation[] = [];
  const errors: unknown[] = [];
  const context: ObserverContext = {
    kernel,
    tell: (observation) => void told.push(observation),
    failed: (error) => void errors.push(error),
  };
  return { kernel, context, told, errors };
}

/** Devices and kind of each observation. */
export function brief(told: readonly Observation[]): string[] {
  return told.map(({ devices, kind }) =>
    `${kind} ${typeof devices === "string" ? devices : devices.join(" ")}`
  );
}
