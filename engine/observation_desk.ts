/**
 * What follows from what observers saw: which grants end, for which reason; and that after each
 * event what is and what should be are compared.
 *
 * @module
 */
import type { DeviceGuard } from "./device_guard.ts";
import type { Cause } from "./event.ts";
import type { Observation, ObservationKind } from "./observers/observation.ts";

/** What a desk needs from around it. */
export interface DeskWorld {
  /** Every device that is guarded now. */
  readonly guards: () => readonly DeviceGuard[];
  /** Takes work that nobody awaits. */
  readonly background: (work: Promise<void>) => void;
}

/** Takes observations. */
export class ObservationDesk {
  /** @param world around it */
  constructor(private readonly world: DeskWorld) {}

  /** Does what follows, each device by itself: a stuck one delays no other. */
  take({ devices, kind, cause }: Observation): void {
    for (const guard of this.#hit(devices)) {
      this.world.background(follow(guard, kind, cause).then(() => guard.observed.reconcile()));
    }
  }

  /**
   * Ends what a reset of these devices will end.
   *
   * @param devices their addresses
   * @param cause of the reset
   * @returns resolves when every end was seen, or was found not to be seen
   */
  async beforeReset(devices: readonly string[], cause: Cause): Promise<void> {
    await Promise.all(
      this.#hit(devices).map((guard) => guard.observed.end("device-reset", cause)),
    );
  }

  #hit(devices: readonly string[] | "all"): readonly DeviceGuard[] {
    return this.world.guards().filter(({ session }) =>
      devices === "all" || devices.includes(session.target.address)
    );
  }
}

async function follow(guard: DeviceGuard, kind: ObservationKind, cause: Cause): Promise<void> {
  switch (kind) {
    case "removal":
      return await guard.endAll("device-removed", cause, "immediate");
    case "error":
      return await guard.endAll("device-error", cause, "immediate");
    case "reset":
      return await guard.observed.seen(cause);
    case "config-write":
      return await guard.observed.configWritten(cause);
    case "revoke":
      guard.observed.revoked(cause);
      return;
    case "unrevoke":
      return await guard.observed.unrevoked(cause);
    case "look":
      guard.observed.looked(cause);
  }
}
