/**
 * VFIO's group route, by the rules of drivers/vfio/group.c: one open of the group at a time, a
 * container or an iommufd, then devices.
 *
 * @module
 */
import { refusal } from "./errno.ts";
import { drop, type SimFile, take } from "./file_table.ts";
import { SimIommufd } from "./iommufd.ts";
import { SimDeviceFile, type SimVfioDevice } from "./vfio.ts";

/** An IOMMU group. */
export class SimGroup {
  readonly devices: SimVfioDevice[] = [];
  isOpen = false;

  /** @param node `/dev/vfio/G` */
  constructor(readonly node: string) {}

  /** Opens the node: exclusive, and not while a device is open by its character device. */
  openFile(): SimGroupFile {
    const busy = this.isOpen || this.devices.some(({ owner }) => owner !== undefined);
    if (busy) throw refusal("open", "EBUSY", this.node);
    this.isOpen = true;
    return new SimGroupFile(this);
  }
}

/** An open group. */
export class SimGroupFile implements SimFile {
  readonly kind = "vfio-group";
  references = 0;
  container: SimContainer | SimIommufd | undefined;

  constructor(readonly group: SimGroup) {}

  /** `VFIO_GROUP_SET_CONTAINER`. */
  setContainer(file: SimFile | undefined): void {
    const call = "VFIO_GROUP_SET_CONTAINER";
    if (file === undefined) throw refusal(call, "EBADF", this.group.node);
    if (this.container !== undefined) throw refusal(call, "EINVAL", this.group.node);
    if (!(file instanceof SimContainer || file instanceof SimIommufd)) {
      throw refusal(call, "EBADFD", this.group.node);
    }
    this.container = take(file);
    if (file instanceof SimContainer) file.groups++;
    else file.ensureCompatible();
  }

  /** `VFIO_GROUP_GET_DEVICE_FD`. */
  openDevice(address: string, vfToken: string | undefined): SimDeviceFile {
    const call = "VFIO_GROUP_GET_DEVICE_FD";
    const { container } = this;
    const device = this.group.devices.find(({ fn }) => fn.address === address);
    if (device === undefined) throw refusal(call, "ENODEV", address);
    device.checkToken(call, vfToken);
    const ready = container instanceof SimIommufd || container?.hasIommu === true;
    if (!ready) throw refusal(call, "EINVAL", address);
    device.openByGroup(container instanceof SimIommufd ? container : undefined);
    // By a container each device keeps the group's file.
    const pinned = this.container instanceof SimContainer ? take(this) : undefined;
    const file = new SimDeviceFile(device, true, () => pinned && drop(pinned));
    file.bound = true;
    return file;
  }

  release(): void {
    this.group.isOpen = false;
    if (this.container instanceof SimContainer) this.container.leave();
    if (this.container !== undefined) drop(this.container);
  }
}

/** An open `/dev/vfio/vfio`. */
export class SimContainer implements SimFile {
  readonly kind = "vfio-container";
  references = 0;
  groups = 0;
  hasIommu = false;

  /** `VFIO_SET_IOMMU`. */
  set(): void {
    if (this.groups === 0 || this.hasIommu) throw refusal("VFIO_SET_IOMMU", "EINVAL", "container");
    this.hasIommu = true;
  }

  /** The last group takes the IOMMU with it. */
  leave(): void {
    if (--this.groups === 0) this.hasIommu = false;
  }

  release(): void {}
}
