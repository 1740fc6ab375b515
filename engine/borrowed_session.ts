/**
 * A device that another process has open. Bargate takes a copy of its descriptor for the moment of
 * an export, and only for calls that cannot disturb the owner: while a copy is open, the owner's close
 * closes nothing. What was exported lives as long as the owner keeps the device open, and nobody but
 * the importer can end it before.
 *
 * @module
 */
import { FilesError, FolderByPath } from "../host/files.ts";
import { PCI_DEVICES } from "../host/read_function.ts";
import { type FunctionIdentity, readIdentity } from "../host/read_identity.ts";
import type { OwnerIdentity } from "../policy/model.ts";
import { closeOnLane } from "./close_on_lane.ts";
import { checkExportedBuffer, probeBuffer } from "./buffer_checks.ts";
import type { BorrowContext, DeviceLender } from "./device_lender.ts";
import { identityDrift, serialDrift } from "./device_identity.ts";
import { cannotResume, whyAsleep } from "./device_sleep.ts";
import { HostNotReadyError, IdentityDriftError, RefusedError } from "./errors.ts";
import type { Fd } from "./fd.ts";
import type { GuardedSession, Liveness } from "./guarded_session.ts";
import type { DmaRange, HotResetInfo } from "./kernel.ts";
import { explained, ready, refusedBy, undo } from "./refusal.ts";
import type { DeviceTarget } from "./device_target.ts";
import { SentDescriptor } from "./sent_descriptor.ts";
import { TakenDescriptor } from "./taken_descriptor.ts";

/** A device of somebody else. */
export class BorrowedSession implements GuardedSession {
  readonly generation = 1;
  readonly held = undefined;
  readonly revocable = false;
  readonly group = undefined;
  #over = false;

  private constructor(
    readonly target: DeviceTarget,
    private readonly context: BorrowContext,
    readonly owner: DeviceLender,
    private readonly iommufd: Fd,
    private readonly ioas: number,
  ) {}

  /**
   * Finds the owner and makes sure of it. Takes nothing yet.
   *
   * @param context what is around it
   * @param target which device
   * @param owner whose it must be
   * @throws {DeniedError} if the device is open, but by somebody else
   * @throws {HostNotReadyError} if nobody has it open, or it cannot be borrowed
   */
  static async open(
    context: BorrowContext,
    target: DeviceTarget,
    owner: OwnerIdentity,
  ): Promise<BorrowedSession> {
    const { kernel, lane } = context;
    const lender = await findLender(context, target.address, owner);
    let iommufd: Fd | undefined;
    try {
      const opened = iommufd = await ready("open /dev/iommu", () => kernel.openIommufd());
      const ioas = await ready("allocate an IOAS to probe with", () => lane.ioasAlloc(opened));
      return new BorrowedSession(target, context, lender, opened, ioas);
    } catch (error) {
      return await undo(error, async () => {
        try {
          if (iommufd?.open) await closeOnLane(kernel, lane, iommufd);
        } finally {
          await lender.dispose();
        }
      });
    }
  }

  /** Until the owner is seen to have closed the device, or to have ended. */
  get isOpen(): boolean {
    return !this.#over;
  }

  /** The owner has ended: its descriptors were closed before anybody was told. */
  ownerEnded(): void {
    this.#over = true;
  }

  /** The owner's interrupts are the owner's: arming would take them away. */
  arm(): Promise<boolean> {
    return Promise.resolve(false);
  }

  /** To ask the controller would be a read of the owner's device. */
  settleMemory(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  /**
   * Exports by a copy of the owner's descriptor, which is closed before this returns.
   *
   * @throws {HostNotReadyError} if the device is not awake, or this kernel or driver cannot export
   * @throws {IdentityDriftError} if it is another device than the planned one
   * @throws {RefusedError} if the owner has gone, or the kernel refuses; nothing is left open
   */
  async export(what: string, region: number, ranges: readonly DmaRange[]): Promise<Fd> {
    this.#checkAwake();
    const dmaBuf = await this.#exportByCopy(what, region, ranges);
    try {
      checkExportedBuffer(this.context.kernel, dmaBuf, what, ranges);
      if (await this.probe(dmaBuf) === "revoked") {
        throw new RefusedError(
          `Cannot export ${what}: the buffer is born revoked; its owner has memory decode off, or resets the device`,
        );
      }
      return dmaBuf;
    } catch (error) {
      return await undo(error, () => this.closeBuffer(dmaBuf));
    }
  }

  /** A revoked buffer can come back as long as the owner has the device open. */
  async probe(dmaBuf: Fd): Promise<Liveness> {
    const { kernel, lane } = this.context;
    const { iommufd, ioas, owner } = this;
    const liveness = await probeBuffer(kernel, lane, { iommufd, ioas, dmaBuf });
    if (liveness === "revoked" && !this.#over) {
      const gone = kernel.hasExited(owner.pidfd) || await owner.hasDeviceOpen() === false;
      if (gone) this.#over = true;
    }
    return liveness;
  }

  /** To ask would be a read of the owner's device. */
  decodesNothing(): Promise<boolean> {
    return Promise.resolve(false);
  }

  reopen(): Promise<void> {
    return Promise.reject(this.#notOurs("open"));
  }

  hold(): Promise<void> {
    return Promise.reject(this.#notOurs("hold"));
  }

  unhold(): Promise<void> {
    return Promise.reject(this.#notOurs("switch on memory decode of"));
  }

  reset(): Promise<void> {
    return Promise.reject(this.#notOurs("reset"));
  }

  hotResetInfo(): Promise<HotResetInfo> {
    return Promise.reject(this.#notOurs("reset"));
  }

  hotReset(): Promise<void> {
    return Promise.reject(this.#notOurs("reset"));
  }

  /** There is nothing of Bargate's to close. */
  close(): Promise<void> {
    return Promise.resolve();
  }

  async closeBuffer(dmaBuf: Fd): Promise<void> {
    const { kernel, lane } = this.context;
    await closeOnLane(kernel, lane, dmaBuf);
  }

  async dispose(): Promise<void> {
    const { kernel, lane } = this.context;
    try {
      await this.owner.dispose();
    } finally {
      // The address space goes with the last reference to what it is in.
      await closeOnLane(kernel, lane, this.iommufd).finally(() => lane.end());
    }
  }

  /** Any ioctl wakes a device in low power, and its owner is told of that by an event of its own. */
  #checkAwake(): void {
    const { files } = this.context;
    const folder = `${PCI_DEVICES}/${this.target.address}`;
    const [power, runtime] = ["power_state", "power/runtime_status"].map((name) =>
      files.exists(`${folder}/${name}`) ? files.readText(`${folder}/${name}`) : "unknown"
    );
    const facts = { powerState: power, runtimeStatus: runtime };
    if (whyAsleep(facts) !== undefined) throw this.#asleep(`${power}, ${runtime}`);
    if (!cannotResume(facts)) return;
    throw new HostNotReadyError(
      `Cannot borrow ${this.target.address}: the kernel does not resume it any more (power/runtime_status is error); remove the function and let the bus be scanned again`,
    );
  }

  #asleep(how: string): HostNotReadyError {
    return new HostNotReadyError(
      `Cannot borrow ${this.target.address}: it is in low power (${how}), and to touch it would wake it behind its owner's back; let its owner end that first`,
    );
  }

  async #exportByCopy(what: string, region: number, ranges: readonly DmaRange[]): Promise<Fd> {
    const { device, giveBack } = await this.owner.lend();
    const [made] = await Promise.allSettled([this.#exportBy(device, what, region, ranges)]);
    try {
      await giveBack();
    } catch (error) {
      const refusal = refusedBy(`give the copy of ${this.target.address} back`, error);
      if (made.status === "rejected") throw refusal;
      return await undo(refusal, () => this.closeBuffer(made.value));
    }
    if (made.status === "rejected") throw made.reason;
    return made.value;
  }

  async #exportBy(
    device: Fd,
    what: string,
    region: number,
    ranges: readonly DmaRange[],
  ): Promise<Fd> {
    const { lane } = this.owner;
    const { address, barSizes } = this.target;
    await this.#checkIdentity();
    for (const [bar, expected] of barSizes) {
      const { size } = await explained(
        `ask for BAR ${bar} of ${address}`,
        () => lane.regionInfo(device, bar),
      );
      if (size === expected) continue;
      throw new IdentityDriftError(
        `Cannot borrow ${address}: BAR ${bar} of the open device has ${size} bytes where the plan has ${expected}`,
      );
    }
    return await explained(`export ${what}`, () => lane.exportDmaBuf(device, region, ranges));
  }

  /**
   * Beneath an address there can be another device than the plan has seen; while a copy of the
   * descriptor is open, none takes its place. sysfs is asked, not the owner's descriptor: that one is
   * for calls that cannot disturb the owner. The same bytes tell whether the device sleeps.
   */
  async #checkIdentity(): Promise<void> {
    const { target, context: { kernel } } = this;
    const what = `read from sysfs which device ${target.address} is`;
    const config = await ready(what, () => this.owner.lane.configSpace(target.address));
    const { vendor, device, subsystem, class: seenClass } = this.#readIdentity(what, config);
    const found = { id: `${vendor}:${device}`, subsystem, class: seenClass, config };
    const drift = identityDrift(target, found, kernel.pageSize) ?? serialDrift(target, config);
    if (drift !== undefined) {
      throw new IdentityDriftError(
        `Cannot borrow ${target.address} for the planned device: ${drift}`,
      );
    }
    const asleep = whyAsleep({ config });
    if (asleep !== undefined) throw this.#asleep(asleep);
  }

  #readIdentity(what: string, config: Uint8Array): FunctionIdentity {
    const folder = new FolderByPath(this.context.files, `${PCI_DEVICES}/${this.target.address}`);
    try {
      return readIdentity(folder, config);
    } catch (cause) {
      if (!(cause instanceof FilesError || cause instanceof SyntaxError)) throw cause;
      throw new HostNotReadyError(`Cannot ${what}: ${cause.message}`, { cause });
    }
  }

  #notOurs(verb: string): RefusedError {
    return new RefusedError(
      `Cannot ${verb} ${this.target.address}: it is borrowed, and that is its owner's to do (process ${this.owner.pid})`,
    );
  }
}

function findLender(
  context: BorrowContext,
  address: string,
  owner: OwnerIdentity,
): Promise<DeviceLender> {
  return owner.socket === undefined
    ? TakenDescriptor.find(context, address, owner)
    : SentDescriptor.find(context, address, owner, owner.socket.value);
}
