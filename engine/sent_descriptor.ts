/**
 * A device fd that its owner sends when it is asked for it (docs/protocol.md, "The owner's socket").
 * Who listens is checked as an importer is; what it sends is a stranger's file until the kernel says
 * that it is the device. Strangers' files stay on a lane of their own, and are closed there.
 *
 * @module
 */
import type { OwnerIdentity } from "../policy/model.ts";
import { FLAWS, PacketError, parseObject } from "./channel.ts";
import { closeOnLane } from "./close_on_lane.ts";
import {
  type BorrowContext,
  type DeviceLender,
  type LentDevice,
  otherThan,
} from "./device_lender.ts";
import { ownerDifferences } from "./device_owner.ts";
import { Discards } from "./discards.ts";
import { DeniedError, HostNotReadyError, IdentityDriftError, RefusedError } from "./errors.ts";
import type { Fd } from "./fd.ts";
import type { Kernel, Lane, LanePacket } from "./kernel.ts";
import { connectToPeer, holdPeer } from "./peer_socket.ts";
import { OpenDevice } from "./process_descriptors.ts";
import { explained, ready } from "./refusal.ts";

/** Version of the protocol. */
const VERSION = 1;
/** An owner answers within this time, ms. */
const ANSWER_LIMIT_MS = 10_000;
/** Longest text of an owner's in a message, characters. */
const LONGEST = 200;

/** Asks an owner for copies of its descriptor. */
export class SentDescriptor implements DeviceLender {
  readonly pid: number;
  /** Something of a stranger's may keep the lane for as long as it likes. */
  #spoiled = false;

  private constructor(
    private readonly context: BorrowContext,
    private readonly address: string,
    private readonly owner: OwnerIdentity,
    private readonly path: string,
    readonly pidfd: Fd,
    private readonly open: OpenDevice,
    pid: number,
    readonly lane: Lane,
    private readonly discards: Discards,
  ) {
    this.pid = pid;
  }

  /**
   * Connects, and makes sure who listens. Asks for nothing yet.
   *
   * @throws {DeniedError} if it is somebody else
   * @throws {HostNotReadyError} if it does not have the device open
   * @throws {RefusedError} if nobody listens there
   */
  static async find(
    context: BorrowContext,
    address: string,
    owner: OwnerIdentity,
    path: string,
  ): Promise<SentDescriptor> {
    const { kernel, files } = context;
    const lane = kernel.openLane(`owner of ${address}`);
    const discards = new Discards(kernel, lane);
    let socket: Fd | undefined;
    let pidfd: Fd | undefined;
    try {
      socket = connectToPeer(kernel, path, "owner");
      pidfd = holdPeer(kernel, socket, path);
      const pid = await checkOwner(context, address, owner, pidfd, path);
      const open = new OpenDevice(files, pid, address);
      if (await open.isOpen() === false) {
        throw new HostNotReadyError(
          `Cannot borrow ${address}: process ${pid}, who listens on ${path}, does not have it open`,
        );
      }
      hangUp(kernel, socket, discards);
      return new SentDescriptor(context, address, owner, path, pidfd, open, pid, lane, discards);
    } catch (error) {
      if (pidfd !== undefined) kernel.close(pidfd);
      if (socket !== undefined) hangUp(kernel, socket, discards);
      // Not waited for: a stranger may keep it.
      void lane.end();
      throw error;
    }
  }

  /**
   * Asks for the device fd. The connection stays until the copy is closed, so that its end tells the
   * owner.
   *
   * @throws {DeniedError} if somebody else listens by now
   * @throws {IdentityDriftError} if what comes is not the device
   * @throws {RefusedError} if nothing comes in time, or what was not asked for
   */
  async lend(): Promise<LentDevice> {
    const { kernel } = this.context;
    const socket = connectToPeer(kernel, this.path, "owner");
    try {
      await this.#checkAgain(socket);
      const device = await this.#within((timeUp) => this.#ask(socket, timeUp));
      return { device, giveBack: () => this.#giveBack(device, socket) };
    } catch (error) {
      this.#spoiled = true;
      // In its turn, behind what came: it can be the device.
      this.discards.add(socket);
      throw error;
    }
  }

  hasDeviceOpen(): Promise<boolean | undefined> {
    return this.open.isOpen();
  }

  async dispose(): Promise<void> {
    if (this.pidfd.open) this.context.kernel.close(this.pidfd);
    const ended = this.lane.end();
    if (!this.#spoiled && !this.discards.pending) await ended;
  }

  /**
   * The end of the connection says that nothing of the device is open here: where the copy could not be
   * closed, it does not come before the end of this process.
   */
  async #giveBack(device: Fd, socket: Fd): Promise<void> {
    await closeOnLane(this.context.kernel, this.lane, device);
    hangUp(this.context.kernel, socket, this.discards);
  }

  /** The path can be another's by now, and the same process can have become another program. */
  async #checkAgain(socket: Fd): Promise<void> {
    const { context, address, owner, path } = this;
    const { kernel } = context;
    const pidfd = holdPeer(kernel, socket, path);
    try {
      const pid = await checkOwner(context, address, owner, pidfd, path);
      if (pid === kernel.pidOf(this.pidfd)) return;
      throw new DeniedError(
        `Cannot borrow ${address}: process ${pid} listens on ${path} by now, and process ${this.pid} did before`,
      );
    } finally {
      kernel.close(pidfd);
    }
  }

  async #ask(socket: Fd, timeUp: Promise<never>): Promise<Fd> {
    const question = { v: VERSION, type: "lend", device: this.address };
    const bytes = new TextEncoder().encode(JSON.stringify(question));
    if (!this.context.kernel.send(socket, bytes)) throw this.#refused("it does not read");
    const packet = await this.#answer(socket, timeUp);
    try {
      return await Promise.race([this.#deviceIn(packet), timeUp]);
    } catch (error) {
      for (const fd of packet.fds) this.discards.add(fd);
      throw error;
    }
  }

  async #answer(socket: Fd, timeUp: Promise<never>): Promise<LanePacket> {
    const { kernel } = this.context;
    for (;;) {
      const { promise: readable, resolve } = Promise.withResolvers<void>();
      const watch = kernel.watch(socket, resolve);
      try {
        await Promise.race([readable, timeUp]);
      } finally {
        watch.stop();
      }
      const packet = await Promise.race([this.lane.receive(socket), timeUp]);
      if (packet === "end") throw this.#refused("it has closed the connection without an answer");
      if (packet !== "empty") return packet;
    }
  }

  /** Nothing is done with a descriptor before the kernel has said what it is. */
  async #deviceIn(packet: LanePacket): Promise<Fd> {
    const { address, lane } = this;
    this.#checkAnswer(packet);
    const [device] = packet.fds;
    if (device === undefined || packet.fds.length !== 1) {
      throw this.#refused(`it sent ${packet.fds.length} descriptors where one is asked for`);
    }
    const other = await explained("ask which device it is", () => otherThan(lane, device, address));
    if (other === undefined) return device;
    throw new IdentityDriftError(
      `Cannot borrow ${address}: its owner, process ${this.pid}, sent a descriptor of ${other}`,
    );
  }

  #checkAnswer({ bytes, sender, pid, flaw }: LanePacket): void {
    if (flaw !== undefined) throw this.#refused(`its answer ${FLAWS[flaw]}`);
    // The pidfd was looked at before: a pid that the owner still has is one process's.
    if (pid === undefined || pid !== this.context.kernel.pidOf(this.pidfd)) {
      throw this.#refused(`the answer came from process ${sender.pid}, which is not the owner`);
    }
    const { type, v, message } = this.#fieldsOf(bytes);
    if (type === "refused") {
      const why = typeof message === "string" ? message.slice(0, LONGEST) : "";
      throw this.#refused(`it refuses, and says ${JSON.stringify(why)}`);
    }
    if (type !== "lent" || v !== VERSION) {
      throw this.#refused(`its answer is no "lent" of version ${VERSION}`);
    }
  }

  #fieldsOf(bytes: Uint8Array): Readonly<Record<string, unknown>> {
    try {
      return parseObject(bytes);
    } catch (error) {
      if (!(error instanceof PacketError)) throw error;
      throw this.#refused(error.message, error);
    }
  }

  async #within<T>(work: (timeUp: Promise<never>) => Promise<T>): Promise<T> {
    const { promise: timeUp, reject } = Promise.withResolvers<never>();
    // Nobody may be waiting for it when it comes.
    void Promise.allSettled([timeUp]);
    const callOff = this.context.clock.after(
      ANSWER_LIMIT_MS,
      () => reject(this.#refused(this.#whyLate())),
    );
    try {
      return await work(timeUp);
    } finally {
      callOff();
    }
  }

  #whyLate(): string {
    const within = `within ${ANSWER_LIMIT_MS / 1000} s`;
    return this.discards.pending
      ? `its answer could not be taken ${within}: the close of something else that it sent does not return`
      : `no answer came ${within}`;
  }

  #refused(why: string, cause?: unknown): RefusedError {
    const { address, pid, path } = this;
    return new RefusedError(
      `Cannot borrow ${address}: its owner, process ${pid}, was asked for it on ${path}, but ${why}`,
      ...(cause === undefined ? [] : [{ cause }]),
    );
  }
}

/**
 * The other end is told at once. The close of the socket closes whatever else came on it, and that can
 * wait as long as its sender likes.
 */
function hangUp(kernel: Kernel, socket: Fd, discards: Discards): void {
  if (!socket.open) return;
  try {
    kernel.shutdown(socket);
  } finally {
    discards.add(socket);
  }
}

/** @returns its pid */
async function checkOwner(
  context: BorrowContext,
  address: string,
  owner: OwnerIdentity,
  pidfd: Fd,
  path: string,
): Promise<number> {
  const wrong = await ready(
    `tell whether who listens on ${path} is the owner of ${address}`,
    () => ownerDifferences(context, owner, pidfd),
  );
  const pid = context.kernel.pidOf(pidfd);
  if (pid === undefined) {
    throw new RefusedError(
      `Cannot borrow ${address}: the process that listens on ${path} has ended`,
    );
  }
  if (wrong.length === 0) return pid;
  throw new DeniedError(
    `Cannot borrow ${address}: who listens on ${path} is not its owner: of process ${pid} ${
      wrong.join(", and ")
    }`,
  );
}
