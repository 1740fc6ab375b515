/**
 * What resets do to grants (invariant 5): what a reset ends has ended when it is made, and nothing of it
 * is valid again afterwards.
 *
 * @module
 */
import type { SimVfioDevice } from "../../../sim/vfio.ts";
import type { Scene } from "../support.ts";
import type { Audit } from "./audit.ts";
import type { Buffers, Made, Violated } from "./buffers.ts";

/** Looks at resets. */
export class Resets {
  /** Resets of devices of Bargate's own. */
  #made = 0;

  constructor(
    private readonly scene: Scene,
    private readonly buffers: Buffers,
    private readonly audit: Audit,
    private readonly violated: Violated,
  ) {
    for (const device of scene.kernel.devices.values()) this.watch(device);
  }

  /** How many were made. */
  get made(): number {
    return this.#made;
  }

  /** Takes note of a device's own resets. */
  watch(device: SimVfioDevice): void {
    const reset = device.reset.bind(device);
    device.reset = () => {
      let answer: void | Promise<void>;
      try {
        answer = reset();
      } catch (error) {
        // It has bounced all the same.
        if (device.fn.resettable) this.over(device);
        throw error;
      }
      if (!(answer instanceof Promise)) return this.over(device);
      return answer.finally(() => this.over(device));
    };
  }

  /** Devices that a hot reset hit are over it. */
  hot(address: string): void {
    for (const device of this.scene.kernel.devices.values()) {
      const domain = device.fn.hotResetDomain ?? [];
      if (device.fn.address === address || domain.includes(address)) this.over(device);
    }
  }

  /** A reset of a device is over; those of an owner are the owner's. */
  over(device: SimVfioDevice): void {
    if (this.#isOwners(device.fn.address)) return;
    this.#made++;
    for (const made of this.#hit(device)) {
      const { buffer } = made;
      if (ends(made) && !buffer.revoked && buffer.references > 0) {
        this.violated(`${made.plan.export} with onReset: revoke is valid again after a reset`);
      }
    }
  }

  #isOwners(address: string): boolean {
    return this.scene.plan.grants.some(({ device }) =>
      device.address === address && device.owner !== undefined
    );
  }

  /** Buffers of the device, and of virtual functions of it, of which the kernel revokes nothing. */
  #hit({ fn: { address } }: SimVfioDevice): readonly Made[] {
    return this.buffers.made.filter(({ plan: { device } }) =>
      device.address === address || device.physfn === address
    );
  }

  /** Grants of these devices that a reset ends. */
  ending(devices: readonly string[]): readonly string[] {
    return this.buffers.made.filter((made) =>
      ends(made) && devices.includes(made.plan.device.address)
    )
      .map(({ grant }) => grant).filter((grant) => this.audit.standing.includes(grant));
  }

  /** A reset was seen. @param grants those that it ends */
  checkBegun(grants: readonly string[]): void {
    for (const grant of grants) {
      const state = this.audit.stateOf(grant);
      if (state !== "revoking" && state !== "ended") {
        this.violated(`a reset was seen, and a grant with onReset: revoke is ${state}`);
      }
    }
  }

  /** A reset is over. @param grants those that it ends */
  checkEnded(grants: readonly string[]): void {
    for (const grant of grants) {
      const state = this.audit.stateOf(grant);
      if (state !== "ended") {
        this.violated(`after a reset a grant with onReset: revoke is ${state}`);
      }
    }
  }

  /** How many grants wait to be restored. */
  get suspended(): number {
    const { audit } = this;
    return audit.standing.filter((grant) => audit.stateOf(grant) === "suspended").length;
  }

  /** What a reset does not end is not left suspended by it. */
  checkRestored(): void {
    if (this.suspended > 0) this.violated("a grant is suspended after its reset is over");
  }
}

function ends({ plan: { rule } }: Made): boolean {
  return rule.onReset === "revoke";
}
