/**
 * One device that Bargate has opened: a generation from its open to its close, and what can be done
 * to it in between. Operations of one session never interleave.
 *
 * @module
 */
import { checkExportedBuffer, probeBuffer } from "./buffer_checks.ts";
import { closeOnLane } from "./close_on_lane.ts";
import { configHeader, EXTENDED_CONFIG_BYTES } from "../host/config_space.ts";
import { identityDrift, serialDrift } from "./device_identity.ts";
import { DeviceHold, HOLD_NAMES, type HoldKind, holdsOver, type HoldSpan } from "./device_hold.ts";
import { HostNotReadyError, IdentityDriftError, RefusedError } from "./errors.ts";
import type { Fd } from "./fd.ts";
import type { DeviceTarget } from "./device_target.ts";
import type { GuardedSession, Liveness } from "./guarded_session.ts";
import type { GroupAccess } from "./group_access.ts";
import type { DmaRange, EventInterrupt, HotResetInfo, Kernel, Lane } from "./kernel.ts";
import { KernelError } from "./kernel_error.ts";
import { MemoryKeeper, type Settled } from "./memory_keeper.ts";
import { explained, ready, undo } from "./refusal.ts";

/** Region index of PCI configuration space (`VFIO_PCI_CONFIG_REGION_INDEX`). */
export const CONFIG_REGION = 7;
/** As much of configuration space as holds the header and the list of capabilities. */
export const CONFIG_BYTES = 256;

/** A device open for exporting. */
export class DeviceSession implements GuardedSession {
  readonly revocable = true;
  #device: Fd | undefined;
  #probeIoas: number | undefined;
  #generation = 0;
  #held: HoldKind | undefined;
  readonly #hold: DeviceHold;
  readonly #memory: MemoryKeeper | undefined;

  private constructor(
    readonly target: DeviceTarget,
    private readonly kernel: Kernel,
    private readonly lane: Lane,
    private readonly access: GroupAccess,
  ) {
    const { address, controllerMemory } = target;
    this.#hold = new DeviceHold(lane, address);
    this.#memory = controllerMemory && new MemoryKeeper(lane, address, controllerMemory);
  }

  /**
   * Opens the device and makes sure that it is the one that is meant.
   *
   * @param kernel the port
   * @param lane where its calls are made
   * @param access shared by all sessions of one IOMMU group
   * @param target what the device must be
   * @returns the session, in its first generation
   * @throws {HostNotReadyError} if it cannot be opened
   * @throws {IdentityDriftError} if it is another device
   */
  static async open(
    kernel: Kernel,
    lane: Lane,
    access: GroupAccess,
    target: DeviceTarget,
  ): Promise<DeviceSession> {
    const session = new DeviceSession(target, kernel, lane, access);
    await session.reopen();
    return session;
  }

  /** Number of the open…close span, from 1. */
  get generation(): number {
    return this.#generation;
  }

  get isOpen(): boolean {
    return this.#device !== undefined;
  }

  /** What keeps every buffer of this generation revoked; absent: nothing does. */
  get held(): HoldKind | undefined {
    return this.#held;
  }

  /**
   * Begins a generation: after the first open, and after a close.
   *
   * @throws {HostNotReadyError} if it cannot be opened
   * @throws {IdentityDriftError} if it is another device
   */
  async reopen(): Promise<void> {
    if (this.#device !== undefined) throw new HostNotReadyError(this.#cannot("open", "it is open"));
    const device = await this.access.openDevice(this.lane, this.target);
    const { iommufd } = this.access;
    try {
      await this.#checkIdentity(device);
      if (iommufd !== undefined) {
        this.#probeIoas ??= await ready(
          "allocate an IOAS to probe with",
          () => this.lane.ioasAlloc(iommufd),
        );
      }
    } catch (error) {
      await undo(error, () => this.#closeDevice(device));
    }
    this.#device = device;
    this.#generation++;
    this.#held = undefined;
  }

  /**
   * Signals an eventfd when the device is asked for, or has failed. A device that cannot signal it
   * is no error: other observers are left.
   *
   * @returns whether it was armed
   */
  async arm(which: EventInterrupt, eventFd: Fd): Promise<boolean> {
    const device = this.#open("watch");
    try {
      await this.lane.armInterrupt(device, which, eventFd);
      return true;
    } catch (error) {
      const unsupported = error instanceof KernelError &&
        (error.errnoName === "ENOTTY" || error.errnoName === "EINVAL");
      if (unsupported) return false;
      return await explained(`watch the ${which} interrupt of ${this.target.address}`, () => {
        throw error;
      });
    }
  }

  /**
   * Makes sure that the controller's memory buffer is where the plan has it, and enables it where the
   * policy lets Bargate. To be called in each generation before anything is exported, and after resets.
   *
   * @returns what was done; undefined: no rule exports the buffer
   * @throws {MemoryLostError} if it is elsewhere, or not enabled
   * @throws {HostNotReadyError} if the controller does not answer
   * @throws {RefusedError} if the kernel refuses an access
   */
  async settleMemory(): Promise<Settled | undefined> {
    return await this.#memory?.settle(this.#open("ask for the memory buffer of"));
  }

  /**
   * Exports ranges of a BAR and makes sure that the buffer is what was asked for and alive.
   *
   * @param what whose buffer it is, for messages
   * @param region BAR number
   * @param ranges in buffer order
   * @returns the dma-buf, close-on-exec
   * @throws {HostNotReadyError} if this kernel or driver cannot export
   * @throws {RefusedError} if the kernel refuses, or the buffer is not whole or not alive; nothing is left open
   */
  async export(what: string, region: number, ranges: readonly DmaRange[]): Promise<Fd> {
    const device = this.#open("export from");
    this.#memory?.check(region, ranges);
    await this.checkFeature();
    const dmaBuf = await explained(
      `export ${what}`,
      () => this.lane.exportDmaBuf(device, region, ranges),
    );
    try {
      checkExportedBuffer(this.kernel, dmaBuf, what, ranges);
      if (await this.#bornRevoked(dmaBuf)) {
        throw new RefusedError(`Cannot export ${what}: ${await this.#whyBornRevoked()}`);
      }
      return dmaBuf;
    } catch (error) {
      return await undo(error, () => this.closeBuffer(dmaBuf));
    }
  }

  /**
   * Asks the kernel whether a buffer can be imported at this instant: maps it into an address space
   * that no device is attached to, and unmaps it.
   *
   * @param dmaBuf a buffer of this device, of this generation or an older one
   */
  async probe(dmaBuf: Fd): Promise<Liveness> {
    const ioas = this.#probeIoas;
    const { iommufd } = this.access;
    if (iommufd === undefined) return "unknown";
    if (ioas === undefined) throw new RefusedError(this.#cannot("probe a buffer of", "no IOAS"));
    return await probeBuffer(this.kernel, this.lane, { iommufd, ioas, dmaBuf });
  }

  /**
   * Holds the device: all its buffers are revoked when this returns, and stay so until
   * {@linkcode unhold}, or for ever once the device is closed. Of the kinds that it has the first is
   * taken that is seen to work: by its register, if it has one, and by a buffer.
   *
   * @param span what the hold must outlive
   * @param witness a live buffer of the device, which must then be revoked; absent, or where nobody
   *   can probe, the register alone says so
   * @throws {RefusedError} if none is seen to work: then nothing is held; or one cannot be given up
   *   that was not seen to work: that one counts as held, and no other is tried
   */
  async hold(span: HoldSpan, witness?: Fd): Promise<void> {
    const device = this.#open("hold");
    const failures: string[] = [];
    for (const kind of holdsOver(this.target.holds, span)) {
      const failure = await this.#tryHold(device, kind, witness);
      if (failure === undefined) return;
      failures.push(`${HOLD_NAMES[kind]}: ${failure}`);
    }
    const why = failures.length === 0 ? "nothing holds it over a reset" : failures.join("; ");
    throw new RefusedError(this.#cannot("hold", why));
  }

  /**
   * From the first call on it may hold, whatever the calls say, until it is given up.
   *
   * @returns why it does not count, and then it was given up; undefined if it holds
   */
  async #tryHold(
    device: Fd,
    kind: HoldKind,
    witness: Fd | undefined,
  ): Promise<string | undefined> {
    this.#held = kind;
    let failure: string | undefined;
    try {
      const told = await this.#hold.engage(device, kind);
      failure = await this.#whyNotHeld(told, witness);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      failure = error.message;
    }
    if (failure === undefined) return undefined;
    try {
      await this.unhold();
    } catch (cause) {
      if (!(cause instanceof RefusedError)) throw cause;
      const why = `${HOLD_NAMES[kind]}: ${failure}, and it cannot be given up: ${cause.message}`;
      throw new RefusedError(this.#cannot("hold", why), { cause });
    }
    return failure;
  }

  /** @param told whether the register says that it holds; undefined: it has none */
  async #whyNotHeld(
    told: boolean | undefined,
    witness: Fd | undefined,
  ): Promise<string | undefined> {
    if (told === false) return "its register does not keep it";
    const liveness = witness === undefined ? "unknown" : await this.probe(witness);
    if (liveness === "live") return "a buffer can be imported all the same";
    if (liveness === "unknown" && told === undefined) return "nobody can see whether it does";
    return undefined;
  }

  /**
   * Gives the hold up: buffers of this generation can be imported again.
   *
   * @throws {RefusedError} if that does not work; then the device stays held
   */
  async unhold(): Promise<void> {
    const kind = this.#held;
    if (kind === undefined) return;
    await this.#hold.release(this.#open("let go of"), kind);
    this.#held = undefined;
  }

  /**
   * Whether memory decode is off in the device itself, whoever has switched it off. A virtual
   * function has no such bit.
   *
   * @throws {RefusedError} if the command register cannot be read
   */
  async decodesNothing(): Promise<boolean> {
    if (!this.#hasMemoryBit) return false;
    return !await this.#hold.memoryBit(this.#open("look at"));
  }

  get #hasMemoryBit(): boolean {
    return this.target.physfn === undefined;
  }

  /**
   * `VFIO_DEVICE_RESET`: all buffers are revoked and, unless held over a reset, validated again.
   *
   * @throws {RefusedError}
   */
  async reset(): Promise<void> {
    const device = this.#open("reset");
    this.#loseHold();
    await explained(`reset ${this.target.address}`, () => this.lane.resetDevice(device));
  }

  get group(): Fd | undefined {
    return this.access.group;
  }

  /**
   * `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`.
   *
   * @returns the functions that are reset together, this one included
   * @throws {RefusedError}
   */
  async hotResetInfo(): Promise<HotResetInfo> {
    const { address } = this.target;
    const device = this.#open("reset");
    return await explained(
      `ask what is reset together with ${address}`,
      () => this.lane.hotResetInfo(device),
    );
  }

  /**
   * `VFIO_DEVICE_PCI_HOT_RESET`: the buffers of all functions that are hit are revoked and, unless
   * held, validated again.
   *
   * @param groups of all these functions; none by the character-device route
   * @throws {RefusedError}
   */
  async hotReset(groups: readonly Fd[]): Promise<void> {
    const device = this.#open("reset");
    const what = `reset the bus of ${this.target.address}`;
    this.#loseHold();
    await explained(what, () => this.lane.hotReset(device, groups));
  }

  /** Not every hold outlives a reset; a reset that is refused validates too. */
  #loseHold(): void {
    const held = this.#held;
    if (held !== undefined && holdsOver([held], "reset").length === 0) this.#held = undefined;
  }

  /** Ends the generation: every buffer of it is revoked for good when this returns. */
  async close(): Promise<void> {
    const device = this.#device;
    if (device === undefined) return;
    try {
      await this.#closeDevice(device);
    } finally {
      // The kernel gives a descriptor up also when its close fails.
      if (!device.open) {
        this.#device = undefined;
        this.#held = undefined;
      }
    }
  }

  async #closeDevice(device: Fd): Promise<void> {
    try {
      await closeOnLane(this.kernel, this.lane, device);
    } finally {
      if (!device.open) this.access.deviceClosed();
    }
  }

  /** Closes a dma-buf of this device; the last reference can wait for the device. */
  async closeBuffer(dmaBuf: Fd): Promise<void> {
    await closeOnLane(this.kernel, this.lane, dmaBuf);
  }

  /** Gives back what outlives generations, and ends the lane. The device must be closed. */
  async dispose(): Promise<void> {
    const ioas = this.#probeIoas;
    const { iommufd } = this.access;
    this.#probeIoas = undefined;
    try {
      await this.close();
      if (ioas !== undefined && iommufd !== undefined) await this.lane.iommuDestroy(iommufd, ioas);
    } finally {
      await this.lane.end();
    }
  }

  /**
   * Asks whether this kernel and driver can export from the device.
   *
   * @throws {HostNotReadyError} if not
   */
  async checkFeature(): Promise<void> {
    const device = this.#open("export from");
    const answer = await explained(
      `ask ${this.target.address} whether it can export`,
      () => this.lane.probeDmaBuf(device),
    );
    if (answer.state === "present") return;
    const why = answer.state === "broken"
      ? `the probe of VFIO_DEVICE_FEATURE_DMA_BUF answers ${answer.errnoName}`
      : answer.cause === "kernel"
      ? "this kernel has no VFIO_PCI_DMABUF (Linux 6.19 or later, with PCI_P2PDMA)"
      : "the VFIO driver bound to it cannot export dma-bufs; bind vfio-pci";
    throw new HostNotReadyError(this.#cannot("export from", why));
  }

  /** Where nobody can probe, the memory bit decides, for it is what the kernel goes by. */
  async #bornRevoked(dmaBuf: Fd): Promise<boolean> {
    const liveness = await this.probe(dmaBuf);
    return liveness === "unknown" ? await this.decodesNothing() : liveness === "revoked";
  }

  async #whyBornRevoked(): Promise<string> {
    return await this.decodesNothing()
      ? `memory decode of ${this.target.address} is off, so that the buffer is born revoked; switch the memory bit of its command register on`
      : `the buffer is born revoked; ${this.target.address} is in low power, or is being reset`;
  }

  /**
   * The plan was made from what sysfs said of an address; what counts is the device that is open.
   * Everything that rules match on, and where its protected pages lie, is read from that one.
   */
  async #checkIdentity(device: Fd): Promise<void> {
    const { address, node } = this.target;
    const told = await explained(
      `ask which device ${node} is`,
      () => this.lane.deviceAddress(device),
    );
    if (told === undefined) {
      throw new IdentityDriftError(
        `Cannot take ${node} for ${address}: the kernel does not tell which device it is (no vfio-device-syspath in its fdinfo)`,
      );
    }
    if (told !== address) {
      throw new IdentityDriftError(`Cannot take ${node} for ${address}: it is the node of ${told}`);
    }
    const config = await explained(
      `read the identity of ${address}`,
      () => this.lane.readRegion(device, CONFIG_REGION, 0n, CONFIG_BYTES),
    );
    this.#checkConfig(config);
    await this.#checkSerial(device);
    await this.#checkBars(device);
  }

  async #checkSerial(device: Fd): Promise<void> {
    const { address, serial } = this.target;
    if (serial === undefined) return;
    const { size } = await explained(
      `ask for the configuration space of ${address}`,
      () => this.lane.regionInfo(device, CONFIG_REGION),
    );
    const bytes = Math.min(Number(size), EXTENDED_CONFIG_BYTES);
    const config = await explained(
      `read the serial number of ${address}`,
      () => this.lane.readRegion(device, CONFIG_REGION, 0n, bytes),
    );
    this.#refuse(serialDrift(this.target, config));
  }

  #checkConfig(config: Uint8Array): void {
    const { vendor, device, subsystem, class: classCode } = configHeader(config) ?? {};
    const found = { id: `${vendor}:${device}`, subsystem, class: classCode, config };
    this.#refuse(identityDrift(this.target, found, this.kernel.pageSize));
  }

  #refuse(drift: string | undefined): void {
    if (drift === undefined) return;
    throw new IdentityDriftError(
      `Cannot take ${this.target.address} for the planned device: ${drift}`,
    );
  }

  async #checkBars(device: Fd): Promise<void> {
    const { address, barSizes } = this.target;
    for (const [bar, expected] of barSizes) {
      const { size } = await explained(
        `ask for BAR ${bar} of ${address}`,
        () => this.lane.regionInfo(device, bar),
      );
      if (size !== expected) {
        throw new IdentityDriftError(
          `Cannot take ${address}: BAR ${bar} of the open device has ${size} bytes where the plan has ${expected}`,
        );
      }
    }
  }

  #open(verb: string): Fd {
    if (this.#device === undefined) throw new RefusedError(this.#cannot(verb, "it is not open"));
    return this.#device;
  }

  #cannot(verb: string, why: string): string {
    return `Cannot ${verb} ${this.target.address}: ${why}`;
  }
}
