/**
 * The devices of a guardian. They end side by side: a stuck one delays no other.
 *
 * @module
 */
import type { DeviceGuard } from "./device_guard.ts";
import type { EndReason } from "./end.ts";
import { RefusedError } from "./errors.ts";
import type { Cause } from "./event.ts";
import type { Urgency } from "./guard/enforcement.ts";
import type { HeldGrant } from "./held_grant.ts";
import type { Supervision } from "./supervision.ts";

/** All devices that one process guards. */
export class GuardedDevices {
  readonly #guards = new Map<string, DeviceGuard>();

  /** @param supervision of ends that fail */
  constructor(private readonly supervision: Supervision) {}

  /** Each with its grants. */
  get all(): readonly DeviceGuard[] {
    return [...this.#guards.values()];
  }

  /** Grants of which no end was seen. */
  get standing(): readonly HeldGrant[] {
    return this.all.flatMap((guard) => guard.standing);
  }

  /** Whether grants are being made again: devices take their turns by themselves. */
  get renewing(): boolean {
    return this.all.some((guard) => guard.renewing);
  }

  /** One more. */
  add(guard: DeviceGuard): void {
    this.#guards.set(guard.session.target.address, guard);
  }

  /** @returns the device at an address; undefined if it is not here */
  at(address: string): DeviceGuard | undefined {
    return this.#guards.get(address);
  }

  /**
   * The device of a grant.
   *
   * @throws {RefusedError} if it is not here any more
   */
  of({ grant }: HeldGrant): DeviceGuard {
    const guard = this.#guards.get(grant.plan.device.address);
    if (guard === undefined) throw new RefusedError(`Cannot find the device of grant ${grant.id}`);
    return guard;
  }

  /** Ends all grants: nothing is exported from here on. */
  async endAll(reason: EndReason, cause: Cause, urgency: Urgency): Promise<void> {
    await this.#each((guard) => guard.endAll(reason, cause, urgency));
  }

  /** Resolves when every end that has begun is over, well or not. */
  async settled(): Promise<void> {
    await Promise.all(this.all.map((guard) => guard.settled()));
  }

  /** Compares what should be with what is. */
  async reconcile(): Promise<void> {
    await Promise.all(this.all.map(({ observed }) => observed.reconcile()));
  }

  /** Ends what stands, and closes all. */
  async dispose(): Promise<void> {
    await this.#each((guard) => guard.dispose());
  }

  /** Forgets all, once they are closed. */
  clear(): void {
    this.#guards.clear();
  }

  async #each(work: (guard: DeviceGuard) => Promise<void>): Promise<void> {
    for (const end of await Promise.allSettled(this.all.map(work))) {
      if (end.status === "rejected") this.supervision.failed(end.reason);
    }
  }
}
