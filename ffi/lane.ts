/**
 * A lane: a thread that makes blocking calls in order, so that one stuck device delays nobody else.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import type {
  DeviceInfo,
  DmaRange,
  EventInterrupt,
  FeatureAnswer,
  GroupStatus,
  HotResetInfo,
  Lane,
  LanePacket,
  LaneTable,
  MapRequest,
  RegionInfo,
} from "../engine/kernel.ts";
import { KernelError, LaneEndedError } from "../engine/kernel_error.ts";
import type { Answer, Arguments, BlockingCall } from "./blocking_calls.ts";
import { closeDescriptor } from "./descriptors.ts";
import {
  type AnswerMessage,
  type CallMessage,
  fromMessage,
  type StartMessage,
  toMessage,
} from "./lane_message.ts";
import { receivePacket, sendPacket, socketPair } from "./seqpacket.ts";

/** Tells the tables of lanes of one name apart. */
let lanes = 0;

/** A call that was sent and not answered. */
interface Pending {
  readonly call: BlockingCall | "start";
  readonly sentAt: number;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** How a lane differs from the usual. */
export interface LaneOptions {
  /** Is told of each descriptor before it is closed. */
  readonly onClose?: (fd: Fd) => void;
  /** Whose table its descriptors are in; `own` unless given. */
  readonly table?: LaneTable;
  /** The thread's module. */
  readonly worker?: URL;
}

/**
 * A lane on a Web Worker whose thread has a table of descriptors of its own: what the lane opens is
 * closed when the thread dies, and no other thread's closes come before. (The run-time's own
 * descriptors of the thread, four or so, stay in the process's table after it has ended: lanes are for
 * devices, not for calls.) What is asked after its end, or was unanswered when its thread died, is
 * rejected with {@linkcode LaneEndedError}.
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { LinuxLane } from "./lane.ts";
 *
 * const lane = new LinuxLane("example");
 * await lane.close(await lane.openNode("/dev/null"));
 * await lane.end();
 * ```
 */
export class LinuxLane implements Lane {
  readonly #worker: Worker;
  readonly #pending: Pending[] = [];
  readonly #onClose: (fd: Fd) => void;
  /** Absent: the process's. */
  readonly #table: string | undefined;
  /** Beside the messages, for descriptors. */
  readonly #socket: Fd | undefined;
  #over: LaneEndedError | undefined;
  #drained: (() => void) | undefined;

  /**
   * @param name for messages: the device's address
   * @param options see there
   */
  constructor(readonly name: string, options: LaneOptions = {}) {
    this.#onClose = options.onClose ?? (() => undefined);
    const shared = options.table === "shared";
    this.#table = shared ? undefined : `lane ${++lanes} (${name})`;
    this.#worker = new Worker(options.worker ?? new URL("./lane_worker.ts", import.meta.url), {
      type: "module",
      name: `lane ${name}`,
    });
    this.#worker.onmessage = ({ data }: MessageEvent<AnswerMessage>) => this.#answered(data);
    this.#worker.onerror = (event) => this.#died(event);
    this.#worker.onmessageerror = () => this.#fail("an answer could not be read");
    this.#socket = this.#start();
  }

  /**
   * A thread that takes a table of its own gets a socket; from then on the process's copy of its end is
   * not needed. One that shares the process's needs none.
   */
  #start(): Fd | undefined {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const table = this.#table;
    const [ours, theirs] = table === undefined ? [] : socketPair(table);
    const message: StartMessage = {
      kind: "start",
      ...(table === undefined || theirs === undefined ? {} : { socket: theirs.number, table }),
    };
    this.#worker.postMessage(message);
    this.#pending.push({ call: "start", sentAt: performance.now(), resolve, reject });
    promise
      .catch((error: unknown) => this.#fail(error instanceof Error ? error.message : String(error)))
      .finally(() => theirs === undefined ? undefined : closeDescriptor(theirs));
    return ours;
  }

  get waiting(): Lane["waiting"] {
    const oldest = this.#pending.find(({ call }) => call !== "start");
    if (oldest === undefined) return undefined;
    return { call: oldest.call, sinceMs: performance.now() - oldest.sentAt };
  }

  openNode(path: string): Promise<Fd> {
    return this.#make("openNode", path);
  }

  openShared(path: string): Promise<Fd> {
    return this.#make("openShared", path);
  }

  receive(socket: Fd): Promise<LanePacket | "empty" | "end"> {
    return this.#make("receive", socket);
  }

  fileTarget(fd: Fd): Promise<string> {
    return this.#make("fileTarget", fd);
  }

  deviceAddress(device: Fd): Promise<string | undefined> {
    return this.#make("deviceAddress", device);
  }

  configSpace(address: string): Promise<Uint8Array> {
    return this.#make("configSpace", address);
  }

  /**
   * The lane takes the descriptor over at once, so that nobody uses it while it is being closed. A
   * lane that has ended takes nothing: the process's own descriptors stay the caller's, and those of
   * the lane's table were closed with it.
   */
  async close(fd: Fd): Promise<void> {
    if (this.#over !== undefined) {
      if (this.#table !== undefined && fd.table === this.#table && fd.open) fd.release();
      throw this.#over;
    }
    this.#onClose(fd);
    const closed = this.#call("close", [fd]);
    if (fd.table === this.#table) fd.release();
    else closeDescriptor(fd); // the copy on its way is the last one now
    await closed;
  }

  bindIommufd(device: Fd, iommufd: Fd, vfToken?: string): Promise<number> {
    return this.#make("bindIommufd", device, iommufd, vfToken);
  }

  groupStatus(group: Fd): Promise<GroupStatus> {
    return this.#make("groupStatus", group);
  }

  setContainer(group: Fd, container: Fd): Promise<void> {
    return this.#make("setContainer", group, container);
  }

  setType1Iommu(container: Fd): Promise<void> {
    return this.#make("setType1Iommu", container);
  }

  groupDevice(group: Fd, address: string, vfToken?: string): Promise<Fd> {
    return this.#make("groupDevice", group, address, vfToken);
  }

  deviceInfo(device: Fd): Promise<DeviceInfo> {
    return this.#make("deviceInfo", device);
  }

  regionInfo(device: Fd, index: number): Promise<RegionInfo> {
    return this.#make("regionInfo", device, index);
  }

  readRegion(device: Fd, region: number, offset: bigint, length: number): Promise<Uint8Array> {
    return this.#make("readRegion", device, region, offset, length);
  }

  writeRegion(device: Fd, region: number, offset: bigint, bytes: Uint8Array): Promise<void> {
    return this.#make("writeRegion", device, region, offset, bytes);
  }

  probeDmaBuf(device: Fd): Promise<FeatureAnswer> {
    return this.#make("probeDmaBuf", device);
  }

  exportDmaBuf(device: Fd, region: number, ranges: readonly DmaRange[]): Promise<Fd> {
    return this.#make("exportDmaBuf", device, region, ranges);
  }

  resetDevice(device: Fd): Promise<void> {
    return this.#make("resetDevice", device);
  }

  armInterrupt(device: Fd, which: EventInterrupt, eventFd: Fd | undefined): Promise<void> {
    return this.#make("armInterrupt", device, which, eventFd);
  }

  attachIoas(device: Fd, ioas: number): Promise<void> {
    return this.#make("attachIoas", device, ioas);
  }

  hotResetInfo(device: Fd): Promise<HotResetInfo> {
    return this.#make("hotResetInfo", device);
  }

  hotReset(device: Fd, groups: readonly Fd[]): Promise<void> {
    return this.#make("hotReset", device, groups);
  }

  enterLowPower(device: Fd): Promise<void> {
    return this.#make("enterLowPower", device);
  }

  exitLowPower(device: Fd): Promise<void> {
    return this.#make("exitLowPower", device);
  }

  setCompatibleIoas(iommufd: Fd, ioas: number): Promise<void> {
    return this.#make("setCompatibleIoas", iommufd, ioas);
  }

  isIommufd(fd: Fd): Promise<boolean> {
    return this.#make("isIommufd", fd);
  }

  ioasAlloc(iommufd: Fd): Promise<number> {
    return this.#make("ioasAlloc", iommufd);
  }

  iommuDestroy(iommufd: Fd, id: number): Promise<void> {
    return this.#make("iommuDestroy", iommufd, id);
  }

  ioasMapFile(request: MapRequest): Promise<bigint> {
    return this.#make("ioasMapFile", request);
  }

  ioasCopy(
    iommufd: Fd,
    destination: number,
    source: number,
    iova: bigint,
    length: bigint,
  ): Promise<bigint> {
    return this.#make("ioasCopy", iommufd, destination, source, iova, length);
  }

  ioasUnmap(iommufd: Fd, ioas: number, iova: bigint, length: bigint): Promise<bigint> {
    return this.#make("ioasUnmap", iommufd, ioas, iova, length);
  }

  async end(): Promise<void> {
    this.#over ??= new LaneEndedError(this.name, "it was ended");
    while (this.#pending.length > 0) {
      await new Promise<void>((resolve) => this.#drained = resolve);
    }
    this.#stop();
  }

  #make<K extends BlockingCall>(call: K, ...args: Arguments<K>): Promise<Answer<K>> {
    if (this.#over !== undefined) return Promise.reject(this.#over);
    try {
      return this.#call(call, args) as Promise<Answer<K>>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** @throws {Error} if the call could not be sent */
  #call(call: BlockingCall, args: readonly unknown[]): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#send(call, args);
    this.#pending.push({ call, sentAt: performance.now(), resolve, reject });
    return promise;
  }

  #send(call: BlockingCall, args: readonly unknown[]): void {
    const sent: Fd[] = [];
    const message: CallMessage = {
      kind: "call",
      call,
      args: args.map((arg) => toMessage(arg, this.#table, sent)),
      sent: 0,
    };
    const carries = this.#socket !== undefined && sent.length > 0;
    if (carries && !sendPacket(this.#socket, new Uint8Array(1), sent)) {
      throw new LaneEndedError(this.name, "too many calls wait for one that does not return");
    }
    this.#worker.postMessage({ ...message, sent: sent.length });
  }

  #answered(answer: AnswerMessage): void {
    const pending = this.#pending.shift();
    if (pending === undefined) return this.#fail("it answered what nobody had asked");
    if (answer.kind === "result") this.#resolve(pending, answer);
    else pending.reject(errorOf(answer));
    if (this.#pending.length === 0) this.#drained?.();
  }

  #resolve(pending: Pending, { result, sent }: Extract<AnswerMessage, { kind: "result" }>): void {
    const socket = this.#socket;
    const packet = sent === 0 || socket === undefined ? undefined : receivePacket(socket);
    if (typeof packet === "string") {
      pending.reject(new LaneEndedError(this.name, "a descriptor that it sent has not come"));
      return this.#fail("a descriptor that it sent has not come");
    }
    const kept = (number: number, what: string) => new Fd(number, what, this.#table);
    pending.resolve(fromMessage(result, kept, packet?.fds ?? []));
  }

  #died(event: ErrorEvent): void {
    event.preventDefault();
    this.#fail(event.message);
  }

  #fail(why: string): void {
    const error = new LaneEndedError(this.name, why);
    this.#over ??= error;
    this.#pending.splice(0).forEach(({ reject }) => reject(error));
    this.#drained?.();
    this.#stop();
  }

  /** With the thread goes its table, and all that is open there. */
  #stop(): void {
    this.#worker.terminate();
    if (this.#socket?.open) closeDescriptor(this.#socket);
  }
}

function errorOf(answer: Exclude<AnswerMessage, { kind: "result" }>): Error {
  if (answer.kind === "failed") return new Error(answer.message);
  return new KernelError(answer.call, answer.errno, answer.errnoName, answer.subject);
}
