/** What the cases of the port share: the port on a lane of its own, and what the kernel answers. @module */
import type { Fd } from "../../engine/fd.ts";
import type { Lane } from "../../engine/kernel.ts";
import { KernelError } from "../../engine/kernel_error.ts";
import { LinuxKernel } from "../../ffi/linux_kernel.ts";
import type { GuestContext } from "../guest/case.ts";

/** Bytes. */
export const PAGE = 4096n;
const SLICE = [{ offset: 0x1000n, length: 2n * PAGE }] as const;

/** The port, on a lane of its own; descriptors that are left are closed when the case ends. */
export class Bench {
  readonly kernel = new LinuxKernel();
  readonly lane: Lane;
  readonly #fds: Fd[] = [];

  constructor(readonly context: GuestContext, readonly address: string) {
    this.lane = this.kernel.openLane(address);
    context.defer(async () => {
      for (const fd of this.#fds.reverse()) if (fd.open) await this.lane.close(fd);
      await this.lane.end();
    });
  }

  /** Sees to the descriptor's close. */
  keep(fd: Fd): Fd {
    this.#fds.push(fd);
    return fd;
  }

  async open(path: string): Promise<Fd> {
    return this.keep(await this.lane.openNode(path));
  }

  /** The device by its character device. */
  async bound(): Promise<{ readonly device: Fd; readonly iommufd: Fd }> {
    const iommufd = this.keep(this.kernel.openIommufd());
    const device = await this.open(await this.context.vfioNode(this.address));
    await this.lane.bindIommufd(device, iommufd);
    return { device, iommufd };
  }

  async groupNode(): Promise<string> {
    const link = await Deno.readLink(`/sys/bus/pci/devices/${this.address}/iommu_group`);
    return `/dev/vfio/${link.split("/").at(-1)}`;
  }

  async export(device: Fd): Promise<Fd> {
    return this.keep(await this.lane.exportDmaBuf(device, 2, SLICE));
  }

  /**
   * Takes from a descriptor whenever it is readable, until there is what is waited for.
   *
   * @param what what is waited for, for the message
   * @param fd watched
   * @param take called when it is readable; gives the answer, or `undefined`
   */
  async when<T>(what: string, fd: Fd, take: () => T | undefined): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const timer = setTimeout(() => reject(new Error(`Waited for ${what}, in vain`)), 10_000);
    const watch = this.kernel.watch(fd, () => {
      try {
        const answer = take();
        if (answer !== undefined) resolve(answer);
      } catch (error) {
        reject(error);
      }
    });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      watch.stop();
    }
  }

  /** Whether the buffer can be imported at this moment. */
  async alive(buffer: Fd): Promise<boolean> {
    const iommufd = this.kernel.openIommufd();
    const ioas = await this.lane.ioasAlloc(iommufd);
    const request = { iommufd, ioas, dmaBuf: buffer, start: 0n, length: PAGE, writeable: true };
    const answer = await errnoOf(this.lane.ioasMapFile(request));
    this.kernel.close(iommufd);
    if (answer !== "done" && answer !== "ENODEV") throw new Error(`MAP_FILE answered ${answer}`);
    return answer === "done";
  }
}

/** @returns name of the errno, or `done` */
export async function errnoOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "done";
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return error.errnoName;
  }
}
