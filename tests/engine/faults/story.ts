/**
 * What stories are made of: the host that they play on, and what happens in them.
 *
 * @module
 */
import type { ObserverChoice } from "../../../engine/observation_post.ts";
import type { SimKernel } from "../../../sim/sim_kernel.ts";
import { type GrantSpec, Scene, simFunction, SSD } from "../support.ts";
import { type Fault, FaultyKernel } from "./faulty_kernel.ts";
import { Trial } from "./trial.ts";

/** A story. */
export interface Scenario {
  readonly name: string;
  /** Makes the host, with the faults. */
  make(faults: ReadonlyMap<number, Fault>): Promise<Made>;
  play(trial: Trial): Promise<void>;
}

/** A host with its faults. */
export interface Made {
  readonly trial: Trial;
  readonly faulty: FaultyKernel;
}

export const BESIDE = "0000:01:00.1";

/** A scene of Bargate's own devices. */
export function scene(
  specs: readonly GrantSpec[],
  functions?: Parameters<typeof simFunction>[1][],
  route: "cdev" | "group" = "cdev",
  observe: ObserverChoice = {},
): Scenario["make"] {
  return (faults) => {
    const box: { faulty?: FaultyKernel } = {};
    const made = functions?.map((more, index) => simFunction(index === 0 ? SSD : BESIDE, more));
    const around = (kernel: SimKernel) => {
      box.faulty = new FaultyKernel(kernel, faults);
      return { kernel: box.faulty.port };
    };
    const it = new Scene(specs, made, observe, route, around);
    return Promise.resolve(madeOf(it, box.faulty));
  };
}

export function madeOf(it: Scene, faulty: FaultyKernel | undefined): Made {
  if (faulty === undefined) throw new RangeError("no port was made");
  return { trial: new Trial(it, faulty), faulty };
}

export const DOMAIN = { group: 1, hotResetDomain: [SSD, BESIDE] };

/** Starts, does something, and ends. */
export function story(
  name: string,
  make: Scenario["make"],
  then: (trial: Trial) => Promise<void> = () => Promise.resolve(),
): Scenario {
  return {
    name,
    make,
    async play(trial) {
      if (await trial.start()) await then(trial);
      await trial.end();
    },
  };
}

/** Bargate resets. @param devices that are reset with it */
export const reset = (
  method: "function" | "decode" | "bus",
  devices: readonly string[] = method === "bus" ? [SSD, BESIDE] : [SSD],
) =>
async (trial: Trial) => {
  const domain = devices.length > 1;
  const { scene, resets } = trial;
  const ending = resets.ending(devices);
  const before = resets.made;
  const outcome = await trial.act("reset", () => scene.guardian.reset(SSD, method, "test", domain));
  // What was not reset has lost nothing that must be lost; a late end is told, and goes on.
  if (outcome !== undefined || resets.made > before) {
    if (trial.isLate) resets.checkBegun(ending);
    else resets.checkEnded(ending);
  }
  // What a failed call has left suspended is found by the next look.
  if (trial.isDisturbed && resets.suspended > 0) {
    await trial.act("a look", () => scene.clock.advance(10_000));
  }
  if (!trial.isLate) resets.checkRestored();
};

/** The importer asks for a mapping. */
export async function request(trial: Trial): Promise<void> {
  const { scene } = trial;
  if (!trial.alive) return;
  const { iommufd, ioas } = scene.kernelIommufd();
  const number = scene.kernel.table.install(iommufd);
  trial.foreign(number);
  trial.deliveries.sent.set(iommufd, "data");
  await trial.act(
    "request",
    () => scene.send({ type: "request", export: "data", ioas }, [number]),
  );
  await scene.clock.advance(0);
}

/** The importer says something of its grant. */
export async function say(trial: Trial, type: "release" | "ack"): Promise<void> {
  const { scene } = trial;
  if (!trial.alive) return;
  const grant = scene.events.find((event) => event.type === "delivered")?.grant;
  if (type === "release" && grant !== undefined) trial.audit.askedToRelease.add(grant);
  await trial.act(type, () => scene.send({ type, grant }));
  await trial.act(`after ${type}`, () => scene.clock.advance(10_000));
}

export async function expire(trial: Trial): Promise<void> {
  await trial.act("expiry", () => trial.scene.clock.advance(5_000));
}

export async function shutDown(trial: Trial): Promise<void> {
  await trial.act("shutdown", () => trial.scene.guardian.shutdown("SIGTERM"));
}

export async function unbind(trial: Trial): Promise<void> {
  trial.unbind();
  await trial.act("unbind", () => trial.scene.clock.advance(10_000));
}
