/**
 * A device fd that is taken from its owner (pidfd_getfd), who need not know of it.
 *
 * @module
 */
import type { OwnerIdentity } from "../policy/model.ts";
import { closeOnLane } from "./close_on_lane.ts";
import {
  type BorrowContext,
  type DeviceLender,
  type LentDevice,
  otherThan,
} from "./device_lender.ts";
import { type DeviceOwner, findOwner, ownerDifferences } from "./device_owner.ts";
import { DeniedError, IdentityDriftError } from "./errors.ts";
import type { Fd } from "./fd.ts";
import type { Lane } from "./kernel.ts";
import { OpenDevice } from "./process_descriptors.ts";
import { explained } from "./refusal.ts";

/** Takes copies of an owner's descriptor. */
export class TakenDescriptor implements DeviceLender {
  readonly lane: Lane;
  readonly pid: number;
  readonly pidfd: Fd;
  readonly #open: OpenDevice;

  private constructor(
    private readonly context: BorrowContext,
    private readonly address: string,
    private readonly owner: DeviceOwner,
    private readonly wanted: OwnerIdentity,
  ) {
    this.lane = context.lane;
    this.pid = owner.pid;
    this.pidfd = owner.pidfd;
    this.#open = new OpenDevice(context.files, owner.pid, address, owner.descriptor);
  }

  /**
   * Finds the owner and makes sure of it. Takes nothing yet.
   *
   * @throws {DeniedError} if the device is open, but by somebody else
   * @throws {HostNotReadyError} if nobody has it open, or Bargate may not look
   */
  static async find(
    context: BorrowContext,
    address: string,
    owner: OwnerIdentity,
  ): Promise<TakenDescriptor> {
    return new TakenDescriptor(context, address, await findOwner(context, address, owner), owner);
  }

  /** By the copy it is settled which device it is; the numbers of another process can change. */
  async lend(): Promise<LentDevice> {
    const { address, owner, lane } = this;
    const { pid, pidfd, descriptor } = owner;
    const device = await explained(
      `borrow ${address}`,
      () => this.context.kernel.borrow(pidfd, descriptor, `${address} of process ${pid}`),
    );
    // While the copy is open, the owner's close closes nothing.
    const giveBack = () => closeOnLane(this.context.kernel, lane, device);
    try {
      const other = await explained(
        "ask which device it is",
        () => otherThan(lane, device, address),
      );
      if (other !== undefined) {
        throw new IdentityDriftError(
          `Cannot borrow ${address}: the owner's descriptor is of ${other}, by now`,
        );
      }
      await this.#checkAgain();
      return { device, giveBack };
    } catch (error) {
      await giveBack();
      throw error;
    }
  }

  /** The same process can have become another program, or another account's. */
  async #checkAgain(): Promise<void> {
    const { address, context, wanted, owner: { pid, pidfd } } = this;
    const wrong = await explained(
      `look again at process ${pid}`,
      () => ownerDifferences(context, wanted, pidfd),
    );
    if (wrong.length === 0) return;
    throw new DeniedError(
      `Cannot borrow ${address}: process ${pid} is not its owner any more: ${wrong.join(", and ")}`,
    );
  }

  hasDeviceOpen(): Promise<boolean | undefined> {
    return this.#open.isOpen();
  }

  dispose(): Promise<void> {
    if (this.pidfd.open) this.context.kernel.close(this.pidfd);
    return Promise.resolve();
  }
}
