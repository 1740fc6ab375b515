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
  MapRequest,
  RegionInfo,
} from "../engine/kernel.ts";
import { KernelError, LaneEndedError } from "../engine/kernel_error.ts";
import type { Answer, Arguments, BlockingCall } from "./blocking_calls.ts";
import { type AnswerMessage, type CallMessage, fromMessage, toMessage } from "./lane_message.ts";

/** A call that was sent and not answered. */
interface Pending {
  readonly call: BlockingCall;
  readonly sentAt: number;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** How a lane differs from the usual. */
export interface LaneOptions {
  /** Is told of each descriptor before it is closed. */
  readonly onClose?: (fd: Fd) => void;
  /** The thread's module. */
  readonly worker?: URL;
}

/**
 * A lane on a Web Worker. What is asked after its end, or was unanswered when its thread died, is
 * rejected with {@linkcode LaneEndedError}.
 *
 * @example
 * ```ts
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
  #over: LaneEndedError | undefined;
  #drained: (() => void) | undefined;

  /**
   * @param name for messages: the device's address
   * @param options see there
   */
  constructor(readonly name: string, options: LaneOptions = {}) {
    this.#onClose = options.onClose ?? (() => undefined);
    this.#worker = new Worker(options.worker ?? new URL("./lane_worker.ts", import.meta.url), {
      type: "module",
      name: `lane ${name}`,
    });
    this.#worker.onmessage = ({ data }: MessageEvent<AnswerMessage>) => this.#answered(data);
    this.#worker.onerror = (event) => this.#died(event);
    this.#worker.onmessageerror = () => this.#fail("an answer could not be read");
  }

  get waiting(): Lane["waiting"] {
    const oldest = this.#pending[0];
    if (oldest === undefined) return undefined;
    return { call: oldest.call, sinceMs: performance.now() - oldest.sentAt };
  }

  openNode(path: string): Promise<Fd> {
    return this.#make("openNode", path);
  }

  /**
   * The lane takes the descriptor over at once, so that nobody uses it while it is being closed. A
   * lane that has ended takes nothing: the descriptor stays the caller's.
   */
  async close(fd: Fd): Promise<void> {
    if (this.#over !== undefined) throw this.#over;
    this.#onClose(fd);
    await this.#make("close", new Fd(fd.release(), fd.what));
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
    if (this.#pending.length > 0) {
      await new Promise<void>((resolve) => this.#drained = resolve);
    }
    this.#worker.terminate();
  }

  #make<K extends BlockingCall>(call: K, ...args: Arguments<K>): Promise<Answer<K>> {
    if (this.#over !== undefined) return Promise.reject(this.#over);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    try {
      const message: CallMessage = { call, args: args.map(toMessage) };
      this.#worker.postMessage(message);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#pending.push({ call, sentAt: performance.now(), resolve, reject });
    return promise as Promise<Answer<K>>;
  }

  #answered(answer: AnswerMessage): void {
    const pending = this.#pending.shift();
    if (pending === undefined) return this.#fail("it answered what nobody had asked");
    if (answer.kind === "result") pending.resolve(fromMessage(answer.result));
    else pending.reject(errorOf(answer));
    if (this.#pending.length === 0) this.#drained?.();
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
    this.#worker.terminate();
  }
}

function errorOf(answer: Exclude<AnswerMessage, { kind: "result" }>): Error {
  if (answer.kind === "failed") return new Error(answer.message);
  return new KernelError(answer.call, answer.errno, answer.errnoName, answer.subject);
}
