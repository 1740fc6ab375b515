/**
 * What the cases share: descriptors that are seen to, and questions that take several calls.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Fd } from "../engine/fd.ts";
import type { Child, DmaBufFacts, DmaRange, Kernel, Lane } from "../engine/kernel.ts";
import { KernelError } from "../engine/kernel_error.ts";
import type { Device, Outside, Role, World } from "./world.ts";

/** Bytes. */
export const PAGE = 4096n;
/** Region index of config space. */
export const CONFIG = 7;
/** Offset of the command register in config space, and its bits. */
export const COMMAND = 4n;
export const MEMORY = 2;
export const BUS_MASTER = 4;
/** Most that an `unsigned long` holds. */
export const MOST = (1n << 64n) - 1n;
const KILL = 9;
const WAIT_MS = 20_000;

/** A device opened by its character device. */
export interface Bound {
  readonly device: Fd;
  readonly iommufd: Fd;
  readonly facts: Device;
}

/** What is mapped, and where. */
export interface Mapped {
  readonly iommufd: Fd;
  readonly ioas: number;
  readonly iova: bigint;
}

/** @returns the range */
export function range(offset: bigint, length: bigint): DmaRange {
  return { offset, length };
}

/** One range of two pages, from the second page on. */
export const SLICE: readonly DmaRange[] = [range(PAGE, 2n * PAGE)];

/** @returns name of the errno, or `done` */
export async function errnoOf(call: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    await (typeof call === "function" ? Promise.try(call) : call);
    return "done";
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return error.errnoName;
  }
}

/** One side, for the time of one case. */
export class Bench {
  readonly kernel: Kernel;
  readonly lane: Lane;
  readonly outside: Outside;
  readonly #fds: Fd[] = [];
  readonly #children: Child[] = [];
  readonly #after: (() => Promise<void>)[] = [];

  constructor(readonly world: World) {
    this.kernel = world.kernel;
    this.lane = world.lane;
    this.outside = world.outside;
  }

  /** Closes what is left, last first. */
  async close(): Promise<void> {
    for (const child of this.#children) await this.end(child);
    for (const fd of this.#fds.reverse()) if (fd.open) await this.lane.close(fd);
    for (const work of this.#after.reverse()) await work();
  }

  /** Sees to the descriptor's close. */
  keep(fd: Fd): Fd {
    this.#fds.push(fd);
    return fd;
  }

  /** To be done when all is closed. */
  after(work: () => Promise<void>): void {
    this.#after.push(work);
  }

  async device(role: Role): Promise<Device> {
    const device = await this.world.device(role);
    assert.ok(device !== undefined, `no device ${role}`);
    return device;
  }

  async open(path: string): Promise<Fd> {
    return this.keep(await this.lane.openNode(path));
  }

  /** Opens where other processes can be given a copy. */
  async openShared(path: string): Promise<Fd> {
    return this.keep(await this.lane.openShared(path));
  }

  iommufd(): Fd {
    return this.keep(this.kernel.openIommufd());
  }

  /** A descriptor of nothing. */
  nothing(): Fd {
    return new Fd(999_999, "nothing");
  }

  /** Opens and binds. @param shared so that other processes can be given a copy */
  async bound(role: Role = "memory", iommufd = this.iommufd(), shared = false): Promise<Bound> {
    const facts = await this.device(role);
    const device = await (shared ? this.openShared(facts.node) : this.open(facts.node));
    await this.lane.bindIommufd(device, iommufd);
    return { device, iommufd, facts };
  }

  /** Opens the group with an iommufd or a container in it. */
  async group(role: Role, by: "iommufd" | "container"): Promise<{ group: Fd; by: Fd }> {
    const { group: node } = await this.device(role);
    const group = await this.open(node);
    const given = by === "iommufd" ? this.iommufd() : await this.open("/dev/vfio/vfio");
    await this.lane.setContainer(group, given);
    if (by === "container") await this.lane.setType1Iommu(given);
    return { group, by: given };
  }

  async groupDevice(group: Fd, role: Role, vfToken?: string): Promise<Fd> {
    const { address } = await this.device(role);
    return this.keep(await this.lane.groupDevice(group, address, vfToken));
  }

  async export(
    device: Fd,
    ranges: readonly DmaRange[] = SLICE,
    bar = 2,
  ): Promise<Fd> {
    return this.keep(await this.lane.exportDmaBuf(device, bar, ranges));
  }

  exporting(device: Fd, bar: number, ...ranges: readonly DmaRange[]): Promise<string> {
    return errnoOf(this.export(device, ranges, bar));
  }

  /** Whether the buffer can be imported at this moment. */
  async alive(buffer: Fd): Promise<boolean> {
    const iommufd = this.kernel.openIommufd();
    try {
      const ioas = await this.lane.ioasAlloc(iommufd);
      const request = { iommufd, ioas, dmaBuf: buffer, start: 0n, length: PAGE, writeable: true };
      const answer = await errnoOf(this.lane.ioasMapFile(request));
      assert.ok(answer === "done" || answer === "ENODEV", `MAP_FILE answered ${answer}`);
      return answer === "done";
    } finally {
      this.kernel.close(iommufd);
    }
  }

  /** What the driver does to the buffers of a device meanwhile: `revoke restore`, or nothing. */
  async moves(address: string, work: () => Promise<unknown>): Promise<string> {
    this.world.moves(address);
    await work();
    return this.world.moves(address).map((revoked) => revoked ? "revoke" : "restore").join(" ");
  }

  references(buffer: Fd): number {
    return this.facts(buffer).references;
  }

  facts(buffer: Fd): DmaBufFacts {
    return this.kernel.dmaBufFacts(buffer);
  }

  /** Descriptors of dma-bufs that this process has. */
  buffersOpen(): readonly string[] {
    return this.kernel.ownDescriptors().map(({ target }) => target)
      .filter((target) => /dma-?buf/.test(target));
  }

  /** Maps a buffer in an iommufd of its own. */
  async mapped(
    buffer: Fd,
    iova?: bigint,
    more: { readonly start?: bigint; readonly length?: bigint; readonly writeable?: boolean } = {},
  ): Promise<Mapped> {
    const iommufd = this.iommufd();
    const ioas = await this.lane.ioasAlloc(iommufd);
    return { iommufd, ioas, iova: await this.map({ iommufd, ioas }, buffer, iova, more) };
  }

  map(
    { iommufd, ioas }: Pick<Mapped, "iommufd" | "ioas">,
    dmaBuf: Fd,
    iova?: bigint,
    more: { readonly start?: bigint; readonly length?: bigint; readonly writeable?: boolean } = {},
  ): Promise<bigint> {
    const { start = 0n, length = 2n * PAGE, writeable = true } = more;
    const at = iova === undefined ? {} : { iova };
    return this.lane.ioasMapFile({ iommufd, ioas, dmaBuf, start, length, writeable, ...at });
  }

  unmap({ iommufd, ioas }: Mapped, iova: bigint, length = 2n * PAGE): Promise<bigint> {
    return this.lane.ioasUnmap(iommufd, ioas, iova, length);
  }

  copy({ iommufd, ioas }: Mapped, iova: bigint, length = 2n * PAGE): Promise<bigint> {
    return this.lane.ioasCopy(iommufd, ioas, ioas, iova, length);
  }

  /** The device `engine`, attached to an address space and allowed to do DMA. */
  async engine({ iommufd, ioas }: Pick<Mapped, "iommufd" | "ioas">): Promise<Fd> {
    const { device } = await this.bound("engine", iommufd);
    await this.lane.attachIoas(device, ioas);
    await this.writeCommand(device, MEMORY | BUS_MASTER);
    return device;
  }

  async command(device: Fd): Promise<number> {
    const bytes = await this.lane.readRegion(device, CONFIG, COMMAND, 2);
    return (bytes[0] ?? 0) | (bytes[1] ?? 0) << 8;
  }

  async memoryOn(device: Fd): Promise<boolean> {
    return (await this.command(device) & MEMORY) !== 0;
  }

  writeCommand(device: Fd, command: number): Promise<void> {
    return this.writeConfig(device, COMMAND, [command & 0xff, command >> 8]);
  }

  writeConfig(device: Fd, offset: bigint, bytes: readonly number[]): Promise<void> {
    return this.lane.writeRegion(device, CONFIG, offset, new Uint8Array(bytes));
  }

  /** Where a capability starts in config space. */
  async capability(device: Fd, id: number): Promise<bigint> {
    const config = await this.lane.readRegion(device, CONFIG, 0n, 256);
    for (let at = config[0x34] ?? 0; at !== 0; at = config[at + 1] ?? 0) {
      if (config[at] === id) return BigInt(at);
    }
    throw new RangeError(`Cannot find capability ${id} of ${device.what}`);
  }

  /** Sets the power state by the power management capability. */
  async setPowerState(device: Fd, state: number): Promise<void> {
    const pmcsr = await this.capability(device, 1) + 4n;
    await this.writeConfig(device, pmcsr, [state, 0]);
  }

  /** Another descriptor of the same open file, in this process. */
  duplicate(fd: Fd): Fd {
    const self = this.keep(this.kernel.openProcess(this.kernel.pid));
    return this.keep(this.kernel.borrow(self, fd.number, `copy of ${fd.what}`));
  }

  /** A process that does nothing but hold descriptors. */
  holder(...fds: readonly Fd[]): Child {
    const child = this.kernel.spawn({
      path: "/bin/sleep",
      argv: ["sleep", "1000"],
      env: {},
      fds: fds.map((fd, index) => ({ name: `fd${index}`, fd })),
      stdoutToStderr: true,
    });
    this.#children.push(child);
    return child;
  }

  /** Ends a process and waits until it has ended. */
  async end(child: Child): Promise<void> {
    const index = this.#children.indexOf(child);
    if (index < 0) return;
    this.#children.splice(index, 1);
    this.kernel.signal(child.pidfd, KILL);
    await this.ready(child.pidfd, () => this.kernel.childEnd(child));
    this.kernel.close(child.pidfd);
  }

  /** Waits until a node is not there any more. */
  async gone(node: string): Promise<void> {
    const end = performance.now() + WAIT_MS;
    while (performance.now() < end) {
      try {
        await this.lane.close(await this.lane.openNode(node));
      } catch (error) {
        if (error instanceof KernelError && error.errnoName === "ENOENT") return;
        throw error;
      }
    }
    throw new Error(`Waited ${WAIT_MS} ms for ${node} to go, in vain`);
  }

  /** Takes from a descriptor whenever it is readable, until there is what is waited for. */
  async ready<T>(fd: Fd, take: () => T | undefined): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const timer = setTimeout(() => reject(new Error(`Waited for ${fd.what}, in vain`)), WAIT_MS);
    const watch = this.kernel.watch(fd, () => {
      try {
        const answer = take();
        if (answer !== undefined) resolve(answer);
      } catch (error) {
        reject(error);
      }
    });
    try {
      return take() ?? await promise;
    } finally {
      clearTimeout(timer);
      watch.stop();
    }
  }
}
