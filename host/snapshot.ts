/**
 * Snapshot v1: what is on one host, as data. Raw config space is kept, so that capabilities are
 * derived and not trusted.
 *
 * @module
 */

/** One BAR of a function, from its line in sysfs `resource`. */
export interface SnapshotBar {
  /** 0 to 5. The upper half of a 64-bit BAR has no entry. */
  readonly index: number;
  readonly kind: "memory32" | "memory64" | "io";
  /** First bus address, bytes. */
  readonly start: bigint;
  /** Bytes; an unimplemented BAR has no entry. */
  readonly size: bigint;
  readonly prefetchable: boolean;
}

/** Instead of a right: no right would do, for what is there makes no sense. */
export const NO_RIGHT = "none";

/** A field that could not be read, and the right that would have allowed it. */
export interface Unreadable {
  readonly field: string;
  readonly right: string;
}

/** Whose a node is, and who may do what with it. */
export interface NodeAccess {
  readonly uid: number;
  readonly gid: number;
  /** Permission bits, four octal digits. */
  readonly mode: string;
}

/** What a physical function says of its virtual ones. */
export interface VirtualFunctionCounts {
  /** How many it could have. */
  readonly total: number;
  /** How many it has now. */
  readonly enabled: number;
}

/** A process that has a function open. */
export interface Opener {
  readonly pid: number;
  /** As the process calls itself: no identity. */
  readonly command?: string;
}

/** How a kernel option is set. */
export type KernelSwitch = "y" | "m" | "n";

/** A device that the kernel has a name for, and the PCI function behind it. */
export interface NamedDevice {
  /** `mlx5_0`, `card0`, `renderD128`, `nvme0`. */
  readonly name: string;
  /** The PCI function that it is of; absent: of none (`rxe0`, a controller over a network, a USB display). */
  readonly function?: string;
}

/** Where a controller's memory buffer is. */
export interface MemoryPlace {
  readonly bar: number;
  /** Bytes from the BAR's start. */
  readonly offset: bigint;
  /** Bytes. */
  readonly size: bigint;
}

/**
 * What an NVMe controller's registers say of its memory buffer (CMBLOC, CMBSZ). A controller that has
 * one need not tell where before it is enabled (CMBMSC); where it will be then is known only if
 * somebody was allowed to have it told.
 */
export type ControllerMemory =
  | { readonly state: "none" }
  | { readonly state: "disabled" }
  | ({ readonly state: "disabled" | "enabled" } & MemoryPlace);

/** What an NVMe controller's registers say of its persistent memory region (PMRCAP, PMRCTL). */
export type PersistentMemory =
  | { readonly state: "none" }
  /** It takes a whole BAR. */
  | { readonly state: "disabled" | "enabled"; readonly bar: number };

/** One PCI function. */
export interface SnapshotFunction {
  /** `dddd:bb:dd.f`, lower case. */
  readonly address: string;
  /** Four hexadecimal digits, lower case. */
  readonly vendor: string;
  readonly device: string;
  /** `vvvv:dddd` */
  readonly subsystem?: string;
  /** Six hexadecimal digits. */
  readonly class: string;
  readonly driver?: string;
  /** Name of the only driver that may take it; absent: any that fits. */
  readonly driverOverride?: string;
  readonly iommuGroup?: number;
  /** NUMA node that it is near to; absent where the host does not say. */
  readonly numaNode?: number;
  /** Address of the physical function if this is a virtual one. */
  readonly physfn?: string;
  /** Of a physical function that can have virtual ones. */
  readonly sriov?: VirtualFunctionCounts;
  /** Address of the bridge above, or the name of the root bus (`pci0000:00`). */
  readonly parent: string;
  /** Name of the hot-plug slot that it sits in (`/sys/bus/pci/slots`). */
  readonly slot?: string;
  /** Path of the VFIO character device, `/dev/vfio/devices/vfioN`. */
  readonly cdev?: string;
  readonly cdevAccess?: NodeAccess;
  /** Path of the VFIO group node. */
  readonly groupNode?: string;
  /** Absent: there is no such node, for nothing of the group is bound to a VFIO driver. */
  readonly groupAccess?: NodeAccess;
  /** Who has one of its VFIO nodes open; absent: nobody looked. */
  readonly openBy?: readonly Opener[];
  readonly resetMethods: readonly string[];
  readonly powerState?: string;
  /**
   * Runtime power management (`power/runtime_status`) of a function that is bound to a VFIO driver;
   * absent: of another, or the kernel has none.
   */
  readonly runtimeStatus?: string;
  /** As many bytes of config space as could be read: 64 for an ordinary user, 256 or 4096 for root. */
  readonly config: Uint8Array;
  readonly bars: readonly SnapshotBar[];
  /** Absent: nobody asked the device, or it is no NVMe controller. */
  readonly controllerMemory?: ControllerMemory;
  /** The same. */
  readonly persistentMemory?: PersistentMemory;
  readonly unreadable: readonly Unreadable[];
}

/** A function of the host of which a snapshot has nothing, or not that it is in a certain group. */
export interface LeftOutFunction {
  readonly address: string;
  /** The group that it is in; absent: it is not known, unless it is in none. */
  readonly iommuGroup?: number;
  /** It is known to be in none. */
  readonly iommuGroupIs?: "none";
}

/** The first processor, as an x86 kernel names it; nothing of it where the kernel is not for x86. */
export interface SnapshotCpu {
  /** `vendor_id` of `/proc/cpuinfo`. */
  readonly vendor?: string;
  readonly family?: number;
}

/** One host. */
export interface HostSnapshot {
  /** What people should know of it; a recorded one has none. */
  readonly description?: string;
  readonly kernel: {
    readonly release: string;
    /** Options that decisions need, by name (`CONFIG_IOMMUFD`); absent: not readable. */
    readonly config?: Readonly<Record<string, KernelSwitch>>;
  };
  /** Absent where it was not looked for. */
  readonly cpu?: SnapshotCpu;
  /** Bytes. */
  readonly pageSize: number;
  /** Kinds of IOMMU at work, as `/sys/class/iommu` names them; empty: none. */
  readonly iommu: readonly string[];
  /** Sorted by address. */
  readonly functions: readonly SnapshotFunction[];
  /** RDMA devices; absent: nobody looked. Like the next two, sorted by name. */
  readonly rdma?: readonly NamedDevice[];
  /** DRM cards and render nodes. */
  readonly drm?: readonly NamedDevice[];
  /** NVMe controllers in the hands of the kernel's own driver. */
  readonly nvme?: readonly NamedDevice[];
  /**
   * Functions that are there and could not be read, sorted by address: what a decision rests on may be
   * among them. Not those that nobody asked for. Absent: none.
   */
  readonly leftOut?: readonly LeftOutFunction[];
  /** What could not be read of the host as a whole. */
  readonly unreadable?: readonly Unreadable[];
}
