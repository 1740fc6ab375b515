/**
 * A lane of the simulation: calls answer in order, on the event loop.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import type {
  DeviceInfo,
  DmaRange,
  EventInterrupt,
  FeatureAnswer,
  Lane,
  MapRequest,
  RegionInfo,
} from "../engine/kernel.ts";
import { refusal } from "./errno.ts";
import { SimIommufd } from "./iommufd.ts";
import type { SimWorld } from "./world.ts";
import { SimDeviceFile, SimDmaBuf, SimEventFd, type SimVfioDevice } from "./vfio.ts";

const CONFIG_REGION = 7;

/** One order of calls. */
export class SimLane implements Lane {
  #turn: Promise<unknown> = Promise.resolve();
  #ended = false;
  waiting: Lane["waiting"];

  constructor(private readonly kernel: SimWorld, readonly name: string) {}

  openNode(path: string): Promise<Fd> {
    return this.#call("openNode", path, () => {
      const device = this.kernel.devices.get(path);
      if (device === undefined) throw refusal("openNode", "ENOENT", path);
      return new Fd(this.kernel.table.install(device.openFile()), path);
    });
  }

  close(fd: Fd): Promise<void> {
    const { what } = fd;
    const number = fd.release();
    return this.#call("close", what, () => void this.kernel.table.close(number));
  }

  bindIommufd(device: Fd, iommufd: Fd): Promise<number> {
    return this.#call("VFIO_DEVICE_BIND_IOMMUFD", device.what, () => {
      this.kernel.file(iommufd, SimIommufd);
      const file = this.kernel.file(device, SimDeviceFile);
      file.device.bind();
      file.bound = true;
      return 1;
    });
  }

  deviceInfo(device: Fd): Promise<DeviceInfo> {
    return this.#on("VFIO_DEVICE_GET_INFO", device, ({ fn }) => ({
      flags: { reset: fn.resettable, pci: true },
      regions: 9,
      interrupts: 5,
    }));
  }

  regionInfo(device: Fd, index: number): Promise<RegionInfo> {
    return this.#on("VFIO_DEVICE_GET_REGION_INFO", device, ({ fn }) => ({
      index,
      flags: { read: true, write: true, mmap: index < 6 },
      size: index === CONFIG_REGION ? BigInt(fn.config.length) : fn.bars.get(index) ?? 0n,
      offset: BigInt(index) << 40n,
      capabilities: [],
    }));
  }

  readRegion(device: Fd, region: number, offset: bigint, length: number): Promise<Uint8Array> {
    return this.#on("pread", device, (vfio) => vfio.read(region, offset, length));
  }

  writeRegion(device: Fd, region: number, offset: bigint, bytes: Uint8Array): Promise<void> {
    return this.#on("pwrite", device, (vfio) => vfio.write(region, offset, bytes));
  }

  probeDmaBuf(device: Fd): Promise<FeatureAnswer> {
    return this.#on("VFIO_DEVICE_FEATURE", device, () => this.kernel.feature);
  }

  exportDmaBuf(device: Fd, region: number, ranges: readonly DmaRange[]): Promise<Fd> {
    return this.#on("VFIO_DEVICE_FEATURE_DMA_BUF", device, (vfio) => {
      const buffer = vfio.export(region, ranges, BigInt(this.kernel.pageSize));
      return new Fd(this.kernel.table.install(buffer), `dma-buf of ${device.what}`);
    });
  }

  resetDevice(device: Fd): Promise<void> {
    return this.#on("VFIO_DEVICE_RESET", device, (vfio) => vfio.reset());
  }

  armInterrupt(device: Fd, which: EventInterrupt, eventFd: Fd | undefined): Promise<void> {
    return this.#on("VFIO_DEVICE_SET_IRQS", device, (vfio) => {
      if (eventFd === undefined) vfio.interrupts.delete(which);
      else vfio.interrupts.set(which, this.kernel.file(eventFd, SimEventFd));
    });
  }

  attachIoas(device: Fd, _ioas: number): Promise<void> {
    return this.#on("VFIO_DEVICE_ATTACH_IOMMUFD_PT", device, () => {});
  }

  ioasAlloc(iommufd: Fd): Promise<number> {
    return this.#in("IOMMU_IOAS_ALLOC", iommufd, (file) => file.allocate());
  }

  iommuDestroy(iommufd: Fd, id: number): Promise<void> {
    return this.#in("IOMMU_DESTROY", iommufd, (file) => file.destroy(id));
  }

  ioasMapFile(request: MapRequest): Promise<bigint> {
    return this.#in("IOMMU_IOAS_MAP_FILE", request.iommufd, (file) => {
      const buffer = this.kernel.file(request.dmaBuf, SimDmaBuf);
      return file.map(request.ioas, buffer, request.length, request.iova);
    });
  }

  ioasCopy(
    iommufd: Fd,
    destination: number,
    source: number,
    iova: bigint,
    length: bigint,
  ): Promise<bigint> {
    return this.#in(
      "IOMMU_IOAS_COPY",
      iommufd,
      (file) => file.copy(destination, source, iova, length),
    );
  }

  ioasUnmap(iommufd: Fd, ioas: number, iova: bigint, length: bigint): Promise<bigint> {
    return this.#in("IOMMU_IOAS_UNMAP", iommufd, (file) => file.unmap(ioas, iova, length));
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#turn;
  }

  #on<T>(call: string, device: Fd, work: (device: SimVfioDevice) => T): Promise<T> {
    return this.#call(call, device.what, () => {
      const file = this.kernel.file(device, SimDeviceFile);
      if (!file.bound) throw refusal(call, "EINVAL", device.what);
      return work(file.device);
    });
  }

  #in<T>(call: string, iommufd: Fd, work: (file: SimIommufd) => T): Promise<T> {
    return this.#call(call, iommufd.what, () => work(this.kernel.file(iommufd, SimIommufd)));
  }

  #call<T>(call: string, subject: string, work: () => T): Promise<T> {
    if (this.#ended) throw new RangeError(`Cannot call ${call}: lane ${this.name} has ended`);
    const run = this.#turn.then(async () => {
      await this.kernel.enter(call, subject);
      return work();
    });
    this.#turn = Promise.allSettled([run]);
    return run;
  }
}
