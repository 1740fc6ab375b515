/**
 * Opening devices for a guardian: Bargate's own, or with a copy of their owners' descriptors.
 *
 * @module
 */
import { BorrowedSession } from "./borrowed_session.ts";
import { DeviceGuard } from "./device_guard.ts";
import type { DeviceTarget } from "./device_target.ts";
import { DeniedError, HostNotReadyError } from "./errors.ts";
import type { Cause } from "./event.ts";
import { GroupAccess } from "./group_access.ts";
import type { GuardContext } from "./guard_context.ts";
import type { GuardedSession } from "./guarded_session.ts";
import type { GuardianContext } from "./guardian_context.ts";
import type { Lane, Watch } from "./kernel.ts";
import type { ObservationPost } from "./observation_post.ts";
import type { PlannedGrant } from "./plan.ts";
import { DeviceSession } from "./session.ts";
import { SharedIommufd } from "./shared_iommufd.ts";
import type { Supervision } from "./supervision.ts";

/** Opening a device tries a reset of it, for which PCI Express gives a function up to 60 s. */
const OPEN_LIMIT_MS = 90_000;

/** What the guardian does when something happens to a device. */
export interface OpeningHooks extends Pick<GuardContext, "notify" | "onTurn"> {
  /** The owner of a borrowed device has ended, and the device with it. */
  ownerEnded(address: string, cause: Cause): void;
}

/** Opens devices, and gives back what they share. */
export class DeviceOpening {
  readonly #groups = new Map<string, GroupAccess>();
  readonly #iommufd: SharedIommufd;
  /** Watches of the owners of borrowed devices. */
  readonly #owners: Watch[] = [];

  /**
   * @param context of the guardian
   * @param post watches what is opened
   * @param supervision of what takes too long
   * @param hooks of the guardian
   */
  constructor(
    private readonly context: GuardianContext,
    private readonly post: ObservationPost,
    private readonly supervision: Supervision,
    private readonly hooks: OpeningHooks,
  ) {
    this.#iommufd = new SharedIommufd(context.kernel);
  }

  /**
   * Opens the device of these grants.
   *
   * @throws {HostNotReadyError} if it cannot be opened, or is another one
   */
  async open(grants: readonly PlannedGrant[]): Promise<DeviceGuard> {
    const [first] = grants;
    if (first === undefined) throw new DeniedError("Cannot open a device without grants");
    const { kernel, limitMs } = this.context;
    const { address } = first.device;
    const lane = kernel.openLane(address);
    try {
      return await this.soon(`open ${address}`, this.#guarded(first, lane));
    } catch (error) {
      await this.supervision.within(limitMs, lane.end());
      throw error;
    }
  }

  /**
   * Waits for a call of the opening, which must not keep the tool for ever.
   *
   * @param what for the message: `open 0000:01:00.0`
   * @param call that was made
   * @throws {HostNotReadyError} if it takes too long
   */
  async soon<T>(what: string, call: Promise<T>): Promise<T> {
    const answer = call.then((value) => ({ value }));
    const done = await this.supervision.within(OPEN_LIMIT_MS, answer);
    if (done !== undefined) return done.value;
    this.supervision.counted();
    throw new HostNotReadyError(
      `Cannot ${what}: the kernel has not answered within ${OPEN_LIMIT_MS / 1000} s`,
    );
  }

  async #guarded(grant: PlannedGrant, lane: Lane): Promise<DeviceGuard> {
    const { kernel, clock, log, limitMs } = this.context;
    const { notify, onTurn } = this.hooks;
    const session = await this.#session(grant, lane);
    const onTrouble = () => this.supervision.counted();
    const context = { kernel, clock, log, limitMs, notify, onTrouble, onTurn };
    const guard = new DeviceGuard(session, lane, context);
    try {
      await this.post.add(guard);
      return guard;
    } catch (error) {
      // Also what it was borrowed with: the first error is the one that is told.
      await session.dispose().catch((failure: unknown) => this.supervision.failed(failure));
      throw error;
    }
  }

  /** Bargate's own, or the owner's. */
  async #session(grant: PlannedGrant, lane: Lane): Promise<GuardedSession> {
    const { kernel, files, clock } = this.context;
    const target: DeviceTarget = grant.device;
    if (target.owner === undefined) {
      return await DeviceSession.open(kernel, lane, this.#groupOf(grant), target);
    }
    const session = await BorrowedSession.open(
      { kernel, files, clock, lane },
      target,
      target.owner,
    );
    try {
      this.#watchOwner(session);
    } catch (error) {
      await session.dispose();
      throw error;
    }
    return session;
  }

  #watchOwner(session: BorrowedSession): void {
    const { pid, pidfd } = session.owner;
    const watch = this.context.kernel.watch(pidfd, () => {
      // A process that has ended stays readable.
      watch.stop();
      session.ownerEnded();
      const detail = `process ${pid}, the owner, has ended`;
      this.hooks.ownerEnded(session.target.address, { source: "pidfd", detail });
    });
    this.#owners.push(watch);
  }

  /** Devices of one IOMMU group share what owns the group's DMA. */
  #groupOf(grant: PlannedGrant): GroupAccess {
    const key = grant.iommuGroup === undefined ? grant.device.address : `group ${grant.iommuGroup}`;
    const known = this.#groups.get(key) ??
      new GroupAccess(this.context.kernel, this.#iommufd, this.context.vfTokenFor);
    this.#groups.set(key, known);
    return known;
  }

  /** Gives back what the devices shared, once they are closed. */
  dispose(): void {
    this.supervision.guarded(() => this.#iommufd.close());
    this.#groups.clear();
  }

  /** Watches no owner any more. */
  stop(): void {
    for (const watch of this.#owners.splice(0)) watch.stop();
  }
}
