/**
 * Runs scenarios with faults.
 *
 * @module
 */
import { setImmediate } from "node:timers/promises";
import { type Call, type Fault, faultsOf } from "./faulty_kernel.ts";
import type { Scenario } from "./story.ts";

/** A fault and the number of the call that it is of. */
export interface Placed {
  readonly at: number;
  readonly fault: Fault;
}

/** How a run came out. */
export interface Outcome {
  /** All calls of the run. */
  readonly calls: readonly Call[];
  /** What did not hold. */
  readonly violations: readonly string[];
}

/** Failures that nobody awaited. */
const unhandled: string[] = [];
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  unhandled.push(`unhandled: ${event.reason}`);
});
addEventListener("error", (event) => {
  event.preventDefault();
  unhandled.push(`uncaught: ${event.message}`);
});

/** Runs a scenario. @returns all calls, and what did not hold */
export async function runWith(scenario: Scenario, placed: readonly Placed[]): Promise<Outcome> {
  const { trial, faulty } = await scenario.make(
    new Map(placed.map(({ at, fault }) => [at, fault])),
  );
  const broken: string[] = [];
  try {
    await scenario.play(trial);
  } catch (error) {
    broken.push(`the story breaks off: ${error instanceof Error ? error.stack : error}`);
  }
  await setImmediate();
  const lost = unhandled.splice(0);
  const violations = trial.isKilled ? trial.violations : [...trial.violations, ...broken, ...lost];
  return { calls: faulty.calls, violations };
}

/** A series of calls that do the same to one file after another. */
const SERIES = "addFileWatch";

/** Every single fault of a scenario; of a long series of calls, of the first and of the last. */
export async function singleFaults(scenario: Scenario): Promise<readonly Placed[]> {
  const { calls } = await runWith(scenario, []);
  return calls.flatMap((call, at) => {
    const amid = [at - 1, at, at + 1].every((each) => calls[each]?.name === SERIES);
    return amid ? [] : faultsOf(call).map((fault) => ({ at, fault }));
  });
}

/** For people: what was done to which call. */
export function describe({ at, fault }: Placed, calls: readonly Call[]): string {
  const call = calls[at];
  const where = call?.lane === undefined ? "" : ` on ${call.lane}`;
  const { kind, ...how } = fault;
  return `${call?.name}${where} (call ${at}): ${[kind, ...Object.values(how)].join(" ")}`;
}
