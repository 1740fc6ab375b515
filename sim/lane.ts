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
  GroupStatus,
  HotResetFunction,
  HotResetInfo,
  Lane,
  LanePacket,
  MapRequest,
  RegionInfo,
} from "../engine/kernel.ts";
import { LaneEndedError } from "../engine/kernel_error.ts";
import { refusal } from "./errno.ts";
import type { SimFile } from "./file_table.ts";
import { SimContainer, type SimGroup, SimGroupFile } from "./group.ts";
import { SimIommufd } from "./iommufd.ts";
import type { FileKind, SimWorld } from "./world.ts";
import { SimDeviceFile, SimDmaBuf, SimEventFd, SimVfioDevice } from "./vfio.ts";

const CONTAINER_NODE = "/dev/vfio/vfio";

/** One order of calls. */
export class SimLane implements Lane {
  #turn: Promise<unknown> = Promise.resolve();
  #ended = false;
  #dead = false;
  /** Descriptors of the thread's own table: they go with it. */
  readonly #own = new Set<Fd>();
  waiting: Lane["waiting"];

  constructor(private readonly kernel: SimWorld, readonly name: string) {}

  openShared(path: string): Promise<Fd> {
    return this.#open(path);
  }

  async openNode(path: string): Promise<Fd> {
    return this.#owned(await this.#open(path));
  }

  receive(socket: Fd): Promise<LanePacket | "empty" | "end"> {
    return this.#call("recvmsg", socket.what, () => {
      const packet = this.kernel.receive(socket);
      if (typeof packet === "string") return packet;
      const { pidfd, ...rest } = packet;
      const pid = pidfd === undefined ? undefined : this.kernel.pidOf(pidfd);
      if (pidfd !== undefined) this.kernel.close(pidfd);
      for (const fd of packet.fds) this.#owned(fd);
      return { ...rest, ...(pid !== undefined && { pid }) };
    });
  }

  fileTarget(fd: Fd): Promise<string> {
    return this.#call("readlink", fd.what, () => {
      const file = this.kernel.table.get(fd.number);
      if (file instanceof SimDeviceFile) return file.device.fn.node;
      if (file instanceof SimDmaBuf) return `/dmabuf:${file.name ?? ""}`;
      return `anon_inode:[${file?.kind}]`;
    });
  }

  deviceAddress(device: Fd): Promise<string | undefined> {
    return this.#call("fdinfo", device.what, () => {
      const file = this.kernel.table.get(device.number);
      return file instanceof SimDeviceFile ? file.device.fn.address : undefined;
    });
  }

  configSpace(address: string): Promise<Uint8Array> {
    return this.#call("config", address, () => {
      const device = [...this.kernel.devices.values()].find(({ fn }) => fn.address === address);
      if (device === undefined) throw refusal("open", "ENOENT", address);
      return device.configSpace;
    });
  }

  #open(path: string): Promise<Fd> {
    return this.#call("openNode", path, () => {
      const { devices, groups, table } = this.kernel;
      if (path === CONTAINER_NODE) return new Fd(table.install(new SimContainer()), path);
      const file = devices.get(path)?.openFile() ?? groups.get(path)?.openFile();
      if (file === undefined) throw refusal("openNode", "ENOENT", path);
      return new Fd(table.install(file), path);
    });
  }

  /** The thread dies: nothing is answered any more, and what is open in its own table is closed. */
  die(): void {
    this.#ended = this.#dead = true;
    for (const fd of this.#own) if (fd.open) this.kernel.table.close(fd.number);
  }

  /** The thread is kept: what is asked from now on is not answered before. */
  delay(until: Promise<void>): void {
    this.#turn = this.#turn.then(() => until);
  }

  #owned(fd: Fd): Fd {
    this.#own.add(fd);
    return fd;
  }

  /** The descriptor is gone also when the close is refused, as on Linux. */
  close(fd: Fd): Promise<void> {
    if (this.#ended) {
      // Those of the thread's table were closed with it; others stay the caller's.
      if (this.#own.delete(fd) && fd.open) fd.release();
      return Promise.reject(this.#over());
    }
    const { what } = fd;
    const number = fd.release();
    this.#own.delete(fd);
    const closed = () => this.#closeNumber(number);
    return this.#call("close", what, closed, closed);
  }

  /** The close of a device waits for who holds its buffers. */
  #closeNumber(number: number): void | Promise<void> {
    const file = this.kernel.table.get(number);
    this.kernel.table.close(number);
    if (file instanceof SimDeviceFile) return file.closing;
  }

  #over(): LaneEndedError {
    return new LaneEndedError(this.name, "it has ended");
  }

  bindIommufd(device: Fd, iommufd: Fd, vfToken?: string): Promise<number> {
    const call = "VFIO_DEVICE_BIND_IOMMUFD";
    return this.#call(call, device.what, () => {
      const file = this.#file(call, device, SimDeviceFile);
      return whenClosed(file.device, () => this.#bind(file, device, iommufd, vfToken));
    });
  }

  #bind(file: SimDeviceFile, device: Fd, iommufd: Fd, vfToken: string | undefined): number {
    const call = "VFIO_DEVICE_BIND_IOMMUFD";
    const group = this.#groupOf(file.device);
    if (file.byGroup) throw refusal(call, "EINVAL", device.what);
    if (group?.isOpen) throw refusal(call, "EBUSY", device.what);
    if (file.bound) throw refusal(call, "EINVAL", device.what);
    file.device.checkToken(call, vfToken);
    const owner = this.kernel.file(iommufd, SimIommufd, call, "EBADFD");
    if (file.device.isOpen) throw refusal(call, "EINVAL", device.what);
    // One iommufd owns the DMA of a whole group.
    const taken = group?.devices.some((it) => it.owner !== undefined && it.owner !== owner);
    if (taken) throw refusal(call, "EPERM", device.what);
    file.device.bind(owner);
    file.bound = true;
    return file.device.idIn(owner) ?? 0;
  }

  #groupOf(device: SimVfioDevice): SimGroup | undefined {
    return [...this.kernel.groups.values()].find((group) => group.devices.includes(device));
  }

  groupStatus(group: Fd): Promise<GroupStatus> {
    return this.#group("VFIO_GROUP_GET_STATUS", group, ({ container }) => ({
      viable: true,
      hasContainer: container !== undefined,
    }));
  }

  setContainer(group: Fd, container: Fd): Promise<void> {
    return this.#group("VFIO_GROUP_SET_CONTAINER", group, (file) => {
      file.setContainer(this.kernel.table.get(container.number));
    });
  }

  setType1Iommu(container: Fd): Promise<void> {
    const call = "VFIO_SET_IOMMU";
    return this.#call(call, container.what, () => this.#file(call, container, SimContainer).set());
  }

  groupDevice(group: Fd, address: string, vfToken?: string): Promise<Fd> {
    return this.#group("VFIO_GROUP_GET_DEVICE_FD", group, (file) => {
      const found = file.group.devices.find(({ fn }) => fn.address === address);
      return whenClosed(found, () => {
        const device = file.openDevice(address, vfToken);
        return this.#owned(new Fd(this.kernel.table.install(device), address));
      });
    });
  }

  #group<T>(
    call: string,
    group: Fd,
    work: (file: SimGroupFile) => T | Promise<T>,
  ): Promise<T> {
    return this.#call(call, group.what, () => work(this.#file(call, group, SimGroupFile)));
  }

  deviceInfo(device: Fd): Promise<DeviceInfo> {
    return this.#on("VFIO_DEVICE_GET_INFO", device, ({ fn }) => ({
      flags: { reset: fn.resettable, pci: true },
      regions: 9,
      interrupts: 5,
    }));
  }

  regionInfo(device: Fd, index: number): Promise<RegionInfo> {
    const page = BigInt(this.kernel.pageSize);
    return this.#on("VFIO_DEVICE_GET_REGION_INFO", device, (vfio) => vfio.regionInfo(index, page));
  }

  readRegion(device: Fd, region: number, offset: bigint, length: number): Promise<Uint8Array> {
    const page = BigInt(this.kernel.pageSize);
    return this.#on("pread", device, (vfio) => {
      vfio.regionInfo(region, page);
      return vfio.read(region, offset, length);
    });
  }

  writeRegion(device: Fd, region: number, offset: bigint, bytes: Uint8Array): Promise<void> {
    const page = BigInt(this.kernel.pageSize);
    return this.#on("pwrite", device, (vfio) => {
      vfio.regionInfo(region, page);
      return vfio.write(region, offset, bytes);
    });
  }

  probeDmaBuf(device: Fd): Promise<FeatureAnswer> {
    const call = "VFIO_DEVICE_FEATURE";
    return this.#call(call, device.what, () => {
      const { bound } = this.#file(call, device, SimDeviceFile);
      return bound ? this.kernel.feature : { state: "broken", errnoName: "EINVAL" };
    });
  }

  exportDmaBuf(device: Fd, region: number, ranges: readonly DmaRange[]): Promise<Fd> {
    return this.#on("VFIO_DEVICE_FEATURE_DMA_BUF", device, (vfio) => {
      const made = vfio.export(region, ranges, BigInt(this.kernel.pageSize));
      const installed = (buffer: SimDmaBuf) =>
        new Fd(this.kernel.table.install(buffer), `dma-buf of ${device.what}`);
      return made instanceof SimDmaBuf ? installed(made) : made.then(installed);
    });
  }

  resetDevice(device: Fd): Promise<void> {
    return this.#on("VFIO_DEVICE_RESET", device, (vfio) => vfio.reset());
  }

  armInterrupt(device: Fd, which: EventInterrupt, eventFd: Fd | undefined): Promise<void> {
    const call = "VFIO_DEVICE_SET_IRQS";
    // A copy of the descriptor goes to the thread with the call.
    const file = eventFd && this.#now(() => this.kernel.file(eventFd, SimEventFd, call, "EINVAL"));
    return this.#on(call, device, (vfio) => {
      vfio.arm(which, file?.());
    });
  }

  /** @returns what gives what the work has given, or throws what it has thrown */
  #now<T>(work: () => T): () => T {
    try {
      const made = work();
      return () => made;
    } catch (error) {
      return () => {
        throw error;
      };
    }
  }

  attachIoas(device: Fd, ioas: number): Promise<void> {
    return this.#on("VFIO_DEVICE_ATTACH_IOMMUFD_PT", device, (vfio) => vfio.attach(ioas));
  }

  hotResetInfo(device: Fd): Promise<HotResetInfo> {
    return this.#on("VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", device, (vfio) => {
      const domain = this.#hotResetDomain("VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", vfio);
      const { owner } = vfio;
      if (owner === undefined) return { functions: domain.map(withGroup) };
      const functions = domain.map(({ address, device: it }) => {
        const deviceId = it?.idIn(owner);
        const owned = it !== undefined && this.#owns(owner, it);
        return { address, owned, ...(deviceId !== undefined && { deviceId }) };
      });
      return { functions, allOwned: functions.every(({ owned }) => owned) };
    });
  }

  /** Who owns one device of a group owns them all, open or not. */
  #owns(owner: SimFile, device: SimVfioDevice): boolean {
    if (device.owner !== undefined) return device.owner === owner;
    return this.#groupOf(device)?.devices.some((it) => it.owner === owner) ?? false;
  }

  hotReset(device: Fd, groups: readonly Fd[]): Promise<void> {
    const call = "VFIO_DEVICE_PCI_HOT_RESET";
    return this.#on(call, device, (vfio) => {
      const { owner } = vfio;
      if ((owner === undefined) === (groups.length === 0)) {
        throw refusal(call, "EINVAL", device.what);
      }
      const domain = this.#hotResetDomain(call, vfio);
      if (groups.length > domain.length) throw refusal(call, "EINVAL", device.what);
      const given = groups.map((group) =>
        this.kernel.file(group, SimGroupFile, call, "EINVAL").group
      );
      const owned = domain.every(({ device: it }) =>
        it !== undefined &&
        (owner === undefined
          ? given.some(({ devices }) => devices.includes(it))
          : this.#owns(owner, it))
      );
      if (!owned) throw refusal(call, "EINVAL", device.what);
      return SimVfioDevice.hotReset(domain.flatMap(({ device: it }) => it ?? []));
    });
  }

  /** A function that is bound to no VFIO driver has no device here. */
  #hotResetDomain(call: string, vfio: SimVfioDevice): readonly HotResetMember[] {
    const domain = vfio.fn.hotResetDomain;
    if (domain === undefined) throw refusal(call, "ENODEV", vfio.fn.address);
    const devices = [...this.kernel.devices.values()];
    return domain.map((address) => ({
      address,
      device: devices.find(({ fn }) => fn.address === address),
    }));
  }

  enterLowPower(device: Fd): Promise<void> {
    return this.#on("VFIO_DEVICE_FEATURE", device, (vfio) => vfio.enterLowPower());
  }

  exitLowPower(device: Fd): Promise<void> {
    return this.#on("VFIO_DEVICE_FEATURE", device, (vfio) => vfio.exitLowPower());
  }

  setCompatibleIoas(iommufd: Fd, ioas: number): Promise<void> {
    return this.#in("IOMMU_VFIO_IOAS", iommufd, (file) => file.setCompatible(ioas));
  }

  isIommufd(fd: Fd): Promise<boolean> {
    return this.#call(
      "statx",
      fd.what,
      () => this.kernel.table.get(fd.number) instanceof SimIommufd,
    );
  }

  ioasAlloc(iommufd: Fd): Promise<number> {
    return this.#in("IOMMU_IOAS_ALLOC", iommufd, (file) => file.allocate());
  }

  iommuDestroy(iommufd: Fd, id: number): Promise<void> {
    return this.#in("IOMMU_DESTROY", iommufd, (file) => file.destroy(id));
  }

  ioasMapFile(request: MapRequest): Promise<bigint> {
    return this.#in("IOMMU_IOAS_MAP_FILE", request.iommufd, (file) => {
      const mapped = this.kernel.table.get(request.dmaBuf.number);
      return file.map(request.ioas, mapped, request.length, request.iova, request);
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

  #on<T>(
    call: string,
    device: Fd,
    work: (device: SimVfioDevice) => T | Promise<T>,
  ): Promise<T> {
    return this.#call(call, device.what, () => {
      const file = this.#file(call, device, SimDeviceFile);
      if (!file.bound) throw refusal(call, "EINVAL", device.what);
      return work(file.device);
    });
  }

  #in<T>(call: string, iommufd: Fd, work: (file: SimIommufd) => T): Promise<T> {
    return this.#call(call, iommufd.what, () => work(this.#file(call, iommufd, SimIommufd)));
  }

  /** A file that does not know a request answers ENOTTY. */
  #file<T extends SimFile>(call: string, fd: Fd, kind: FileKind<T>): T {
    return this.kernel.file(fd, kind, call, "ENOTTY");
  }

  /** @param refused what happens to the kernel's state all the same when the call is refused */
  #call<T>(
    call: string,
    subject: string,
    work: () => T | Promise<T>,
    refused?: () => void | Promise<void>,
  ): Promise<T> {
    if (this.#ended) return Promise.reject(this.#over());
    const run = this.#turn.then(async () => {
      try {
        await this.kernel.enter(call, subject);
        if (this.#dead) throw this.#over();
      } catch (error) {
        const closed = refused?.();
        if (closed !== undefined) await closed;
        throw error;
      }
      return work();
    });
    this.#turn = Promise.allSettled([run]);
    return run;
  }
}

/** Opens wait for a close that waits. */
function whenClosed<T>(device: SimVfioDevice | undefined, work: () => T): T | Promise<T> {
  return device?.closing === undefined ? work() : device.closing.then(work);
}

/** A function that a hot reset hits. */
interface HotResetMember {
  readonly address: string;
  readonly device: SimVfioDevice | undefined;
}

function withGroup({ address, device }: HotResetMember): HotResetFunction {
  const group = device?.fn.group;
  return { address, ...(group !== undefined && { group }) };
}
