/**
 * The `Kernel` port: all that the engine ever asks of an operating system. `LinuxKernel` (`ffi/`)
 * is one side of it.
 *
 * Calls fall into two kinds. Those of {@linkcode Kernel} cannot wait and are synchronous. Those of
 * {@linkcode Lane} can wait, some without bound (the kernel's revoke waits for importers, and so
 * may export, probe, reset and close): they are made on a thread of the lane's own, in order, so
 * that one stuck device delays nobody else.
 *
 * Every method throws, or rejects with, {@linkcode KernelError} unless it says otherwise.
 *
 * @module
 */
import type { Fd } from "./fd.ts";

/** `vfio_device_info` (include/uapi/linux/vfio.h). */
export interface DeviceInfo {
  readonly flags: { readonly reset: boolean; readonly pci: boolean };
  readonly regions: number;
  readonly interrupts: number;
}

/** `vfio_region_info` and its capabilities (include/uapi/linux/vfio.h). */
export interface RegionInfo {
  readonly index: number;
  readonly flags: { readonly read: boolean; readonly write: boolean; readonly mmap: boolean };
  /** Bytes; 0 for a BAR that is not implemented, and for the upper half of a 64-bit one. */
  readonly size: bigint;
  /** Where the region starts in the device's file, bytes. */
  readonly offset: bigint;
  /** Capability ids: 1 sparse mmap, 2 type, 3 MSI-X mappable. */
  readonly capabilities: readonly number[];
}

/** One range of `vfio_region_dma_range`, bytes. */
export interface DmaRange {
  readonly offset: bigint;
  readonly length: bigint;
}

/**
 * What a probe of `VFIO_DEVICE_FEATURE_DMA_BUF` says. `present` proves that the driver can export,
 * not that a given BAR can be exported.
 */
export type FeatureAnswer =
  | { readonly state: "present" }
  | { readonly state: "absent"; readonly cause: "kernel" | "driver" }
  | { readonly state: "broken"; readonly errnoName: string };

/** What fstat and fdinfo say of a dma-buf. */
export interface DmaBufFacts {
  /** Bytes. */
  readonly size: bigint;
  /** Identity: never reused before a reboot. */
  readonly inode: bigint;
  /** References to the file: descriptors anywhere, importers, messages in flight. */
  readonly references: number;
  /** Name of the exporting module, `vfio_pci_core`. */
  readonly exporter: string;
  /** Any holder can set it; never identity. */
  readonly name?: string;
  readonly closeOnExec: boolean;
}

/** A mapping into an I/O address space (`IOMMU_IOAS_MAP_FILE`). */
export interface MapRequest {
  readonly iommufd: Fd;
  readonly ioas: number;
  readonly dmaBuf: Fd;
  /** First byte of the buffer to map. */
  readonly start: bigint;
  /** Bytes. */
  readonly length: bigint;
  /** Where; absent: the kernel chooses. */
  readonly iova?: bigint;
  readonly writeable: boolean;
}

/** Index of an interrupt that tells of an event, not of I/O (`VFIO_PCI_ERR_IRQ_INDEX`, `…_REQ_…`). */
export type EventInterrupt = "error" | "request";

/** What `VFIO_GROUP_GET_STATUS` says. */
export interface GroupStatus {
  /** Every device of the group is bound to a VFIO driver, or to none. */
  readonly viable: boolean;
  /** A container or an iommufd is set. */
  readonly hasContainer: boolean;
}

/** A function that a hot reset hits. */
export interface HotResetFunction {
  readonly address: string;
  /** By the group route: its IOMMU group. */
  readonly group?: number;
  /** By the character-device route: whether this device's iommufd owns it. */
  readonly owned?: boolean;
  /** Its device id within the iommufd, where it is bound there itself. */
  readonly deviceId?: number;
}

/** What `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO` says: the reset domain of slot or bus. */
export interface HotResetInfo {
  /** The device itself is among them. */
  readonly functions: readonly HotResetFunction[];
  /** By the character-device route: whether all are owned, so that a hot reset may be made. */
  readonly allOwned?: boolean;
}

/**
 * Where a lane's descriptors are. `own`: in a table of its thread's, which is closed with it. `shared`:
 * in the process's, for closing there what strangers sent: any close of theirs can wait (flush), that
 * of a copy too, and no other thread may be made to.
 */
export type LaneTable = "own" | "shared";

/** Calls that can wait, made in order on a thread of their own. */
export interface Lane {
  readonly name: string;
  /** How long the oldest unanswered call has been waiting, and which it is; absent: none waits. */
  readonly waiting: { readonly call: string; readonly sinceMs: number } | undefined;

  /**
   * Opens a VFIO character device (or any node) for reading and writing, close-on-exec. The
   * descriptor is the lane's: if the process dies, it is closed whatever other lanes do.
   */
  openNode(path: string): Promise<Fd>;
  /** The same, of a node that several lanes use: an IOMMU group's, or a container. */
  openShared(path: string): Promise<Fd>;
  /**
   * Takes one packet of a SOCK_SEQPACKET socket, with its descriptors, into the lane's own table:
   * the close of a stranger's file can wait as long as the stranger likes, and here it delays nobody.
   */
  receive(socket: Fd): Promise<LanePacket | "empty" | "end">;
  /**
   * Where the descriptor's link in `/proc` leads: `pipe:[7]`, `/dmabuf:`, a path. The file itself is
   * not asked, so this does not wait; the text can be of the choice of whoever made the file.
   */
  fileTarget(fd: Fd): Promise<string>;
  /** PCI address that the fdinfo of a device fd tells (`vfio-device-syspath`); absent: it tells none. */
  deviceAddress(device: Fd): Promise<string | undefined>;
  /**
   * What sysfs gives of the configuration space of a function. Reading it waits while anybody resets
   * the function, and what that reset waits for may be a device that is open here.
   */
  configSpace(address: string): Promise<Uint8Array>;
  /** Closes; resolves when the kernel's release is done. The `Fd` is given up even when it rejects. */
  close(fd: Fd): Promise<void>;

  /** `VFIO_DEVICE_BIND_IOMMUFD`. @returns the device id within the iommufd */
  bindIommufd(device: Fd, iommufd: Fd, vfToken?: string): Promise<number>;

  /** `VFIO_GROUP_GET_STATUS` of an open `/dev/vfio/G`. */
  groupStatus(group: Fd): Promise<GroupStatus>;
  /** `VFIO_GROUP_SET_CONTAINER`: a container (`/dev/vfio/vfio`) or an iommufd. */
  setContainer(group: Fd, container: Fd): Promise<void>;
  /** `VFIO_SET_IOMMU` (type 1, version 2) of a container that has a group. Not for an iommufd. */
  setType1Iommu(container: Fd): Promise<void>;
  /** `VFIO_GROUP_GET_DEVICE_FD`: opens a device of the group, close-on-exec. */
  groupDevice(group: Fd, address: string, vfToken?: string): Promise<Fd>;

  deviceInfo(device: Fd): Promise<DeviceInfo>;
  /** `VFIO_DEVICE_GET_REGION_INFO`. */
  regionInfo(device: Fd, index: number): Promise<RegionInfo>;
  /** Reads from a region (config space is region 7), `offset` bytes into it. */
  readRegion(device: Fd, region: number, offset: bigint, length: number): Promise<Uint8Array>;
  /** Writes to a region, as one access where `bytes` is 1, 2, 4 or 8 long. */
  writeRegion(device: Fd, region: number, offset: bigint, bytes: Uint8Array): Promise<void>;
  probeDmaBuf(device: Fd): Promise<FeatureAnswer>;
  /** `VFIO_DEVICE_FEATURE_DMA_BUF`. The descriptor is close-on-exec. A live buffer is not promised: probe. */
  exportDmaBuf(device: Fd, region: number, ranges: readonly DmaRange[]): Promise<Fd>;
  /** `VFIO_DEVICE_RESET`. */
  resetDevice(device: Fd): Promise<void>;
  /** Arms, or with `undefined` disarms, an eventfd on the interrupt (`VFIO_DEVICE_SET_IRQS`). */
  armInterrupt(device: Fd, which: EventInterrupt, eventFd: Fd | undefined): Promise<void>;
  /** `VFIO_DEVICE_ATTACH_IOMMUFD_PT`. */
  attachIoas(device: Fd, ioas: number): Promise<void>;
  /** `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`. */
  hotResetInfo(device: Fd): Promise<HotResetInfo>;
  /** `VFIO_DEVICE_PCI_HOT_RESET`; `groups` of all functions that are hit, none by the character-device route. */
  hotReset(device: Fd, groups: readonly Fd[]): Promise<void>;
  /** `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`: holds all buffers of the device revoked. */
  enterLowPower(device: Fd): Promise<void>;
  /** `VFIO_DEVICE_FEATURE_LOW_POWER_EXIT`: they are valid again, where memory decode is on. */
  exitLowPower(device: Fd): Promise<void>;

  /** Whether a descriptor that somebody sent is an iommufd. Looking at a stranger's file can wait. */
  isIommufd(fd: Fd): Promise<boolean>;
  ioasAlloc(iommufd: Fd): Promise<number>;
  /** `IOMMU_VFIO_IOAS` (SET): what devices of a group with this iommufd are attached to. */
  setCompatibleIoas(iommufd: Fd, ioas: number): Promise<void>;
  iommuDestroy(iommufd: Fd, id: number): Promise<void>;
  /** @returns the IOVA */
  ioasMapFile(request: MapRequest): Promise<bigint>;
  /** `IOMMU_IOAS_COPY`. @returns the IOVA in the destination */
  ioasCopy(
    iommufd: Fd,
    destination: number,
    source: number,
    iova: bigint,
    length: bigint,
  ): Promise<bigint>;
  /** `IOMMU_IOAS_UNMAP`. @returns bytes unmapped */
  ioasUnmap(iommufd: Fd, ioas: number, iova: bigint, length: bigint): Promise<bigint>;

  /** Ends the thread when its calls are answered. Descriptors stay open. */
  end(): Promise<void>;
}

/** Credentials of a socket's peer or of one packet's sender. */
export interface Credentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/**
 * What came of a packet. `too-long`: its text was cut off (MSG_TRUNC). `descriptors-lost`: not all of
 * its descriptors could be taken, for there were too many or the table is full (MSG_CTRUNC).
 * `no-sender`: the kernel did not say who sent it.
 */
export type PacketFlaw = "too-long" | "descriptors-lost" | "no-sender";

/** One packet of a SOCK_SEQPACKET socket. */
export interface Packet {
  readonly bytes: Uint8Array;
  /** Descriptors that came with it, close-on-exec; the receiver owns them. */
  readonly fds: readonly Fd[];
  /** Who sent it, by the kernel's word (SCM_CREDENTIALS). */
  readonly sender: Credentials;
  /**
   * The sender's process (SCM_PIDFD), close-on-exec; the receiver owns it. Only on sockets for which
   * `passPidfds` was called, and even there absent where the kernel could not make one.
   */
  readonly pidfd?: Fd;
  /** What there is of it cannot be trusted; absent: it came whole. */
  readonly flaw?: PacketFlaw;
}

/** A packet that a lane took: its descriptors are in the lane's table, and serve there only. */
export interface LanePacket extends Omit<Packet, "pidfd"> {
  /** The sender's pid by its pidfd, when the packet was taken; absent: none came, or it had ended. */
  readonly pid?: number;
}

/** A program to start with descriptors. */
export interface SpawnRequest {
  /** Absolute path. */
  readonly path: string;
  /**
   * Arguments. The first is for messages: the program's own `argv[0]` is always the path, by which
   * programs of many names tell which of them they are.
   */
  readonly argv: readonly string[];
  /** The whole environment. `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES` are added. */
  readonly env: Readonly<Record<string, string>>;
  /** Become descriptors 3, 4, … of the child, in this order; names go into `LISTEN_FDNAMES`. */
  readonly fds: readonly { readonly name: string; readonly fd: Fd }[];
  /** Account to run as; absent: Bargate's own. */
  readonly account?: Account;
  /** Send the child's standard output to standard error. */
  readonly stdoutToStderr: boolean;
  /** Where its standard output goes instead; absent: see above. */
  readonly stdout?: Fd;
}

/** A Unix account, resolved. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  readonly name: string;
  /** Absent, as the next one: the account has none. */
  readonly home?: string;
  readonly shell?: string;
}

/** A started program. */
export interface Child {
  readonly pid: number;
  /** Readable when the program has ended. */
  readonly pidfd: Fd;
}

/** How a program ended. */
export type ChildEnd =
  | { readonly how: "exited"; readonly status: number }
  | { readonly how: "signalled"; readonly signal: number };

/** Who a process is. All text in it is of the process's own choice, or its user's. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Effective. */
  readonly uid: number;
  /** Effective. */
  readonly gid: number;
  /** Supplementary ones. */
  readonly groups: readonly number[];
  readonly executable: {
    /** As the kernel tells it; never identity, for it may have been renamed or replaced since. */
    readonly path: string;
    readonly device: bigint;
    readonly inode: bigint;
    /** 64 hexadecimal digits; only where it was asked for. */
    readonly sha256?: string;
  };
  /** Path of its control group, by which systemd keeps units; absent: none is visible. */
  readonly cgroup?: string;
  /** The system's unit: `spdk_tgt.service`; absent: it belongs to none. */
  readonly unit?: string;
}

/** What is to be read beyond the usual. */
export interface IdentityOptions {
  /** Hash the executable. */
  readonly sha256?: boolean;
}

/** A kobject uevent. All text in it comes from devices and drivers. */
export interface Uevent {
  /** `add`, `remove`, `bind`, `unbind`, `change`, … */
  readonly action: string;
  /** Below `/sys`: `/devices/pci0000:00/0000:00:07.0/0000:01:00.0/vfio-dev/vfio0`. */
  readonly path: string;
  /** `SUBSYSTEM`, `DRIVER`, `PCI_SLOT_NAME`, `DEVNAME`, … */
  readonly values: ReadonlyMap<string, string>;
}

/** What inotify can tell of a file. */
export type FileEventKind = "open" | "modify" | "close-write" | "close-nowrite" | "delete";

/** An event of a watched file (`ignored`: its watch has ended), or `overrun`: some were lost. */
export type FileEvent =
  | { readonly watch: number; readonly kind: FileEventKind | "ignored" }
  | "overrun";

/**
 * An event at a gate. `open`: process `pid` waits in open(2) until `answerGate`; `waiting` belongs to
 * who took the event. `closed`: a descriptor that could write was closed. `overrun`: some were lost.
 */
export type GateEvent =
  | { readonly kind: "open"; readonly pid: number; readonly waiting: Fd }
  | { readonly kind: "closed"; readonly pid: number }
  | "overrun";

/** A revoke or un-revoke of all buffers of a device, or `overrun`: some were lost. */
export type RevokeRecord =
  | {
    /** PCI address; absent: this kernel's structures are others. */
    readonly device?: string;
    readonly revoked: boolean;
    /** The thread that caused it (`/proc/TID`). */
    readonly pid: number;
    /** Its name: text of its own choice. */
    readonly task: string;
  }
  | "overrun";

/** A probe on the kernel's revoke routine. */
export interface RevokeTrace {
  /** Readable when something was recorded; stays the trace's own. */
  readonly fd: Fd;
  /** Takes what was recorded; none: nothing waits. */
  read(): readonly RevokeRecord[];
  /** Removes the probe. */
  close(): void;
}

/** Stat facts of a file that decide about identity. */
export interface FileIdentity {
  readonly device: bigint;
  readonly inode: bigint;
  /** `st_rdev` of a device node. */
  readonly rdev: bigint;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** A registration with the one event loop of the process. */
export interface Watch {
  /** Stops the calls. The descriptor stays open. */
  stop(): void;
}

/** The operating system. */
export interface Kernel {
  /** Bytes (`sysconf(_SC_PAGESIZE)`). */
  readonly pageSize: number;
  /** `uname -r`. */
  readonly release: string;
  readonly pid: number;
  readonly uid: number;
  /** No device is touched: whatever is told of what happens here must say so. */
  readonly simulated?: true;

  /** Nobody without CAP_SYS_PTRACE can take this process's descriptors after this (`PR_SET_DUMPABLE` 0). */
  makeNonDumpable(): void;
  /** Starts a lane. @param name for messages: the device's address @param table `own` unless given */
  openLane(name: string, table?: LaneTable): Lane;

  /** `/dev/iommu`. */
  openIommufd(): Fd;
  dmaBufFacts(dmaBuf: Fd): DmaBufFacts;
  /** At most 31 characters (`DMA_BUF_SET_NAME`). */
  setDmaBufName(dmaBuf: Fd, name: string): void;

  /** A fresh eventfd: non-blocking, close-on-exec. */
  eventFd(what: string): Fd;
  /** Takes the counter; 0 when nothing was signalled. */
  readEventFd(fd: Fd): bigint;
  /** Calls back whenever the descriptor is readable or hung up, until stopped. */
  watch(fd: Fd, onReady: () => void): Watch;

  /** A connected pair of SOCK_SEQPACKET sockets that carry credentials; both close-on-exec, non-blocking. */
  socketPair(what: string): [Fd, Fd];
  /** Listens on a SOCK_SEQPACKET path with mode 0600; an old socket that nobody listens on is replaced. */
  listen(path: string): Fd;
  /** Takes a waiting connection; absent: none. */
  accept(listener: Fd): Fd | undefined;
  connect(path: string): Fd;
  /** SO_PEERCRED. */
  peerCredentials(socket: Fd): Credentials;
  /** SO_PEERPIDFD: the peer's process, also one that has ended; the caller owns it. `unsupported`: the kernel cannot tell. */
  peerPidfd(socket: Fd): Fd | "unsupported";
  /** SO_PASSPIDFD: packets received from now on bring their sender's pidfd. @returns false: the kernel cannot */
  passPidfds(socket: Fd): boolean;
  /** Sends one packet. @returns false when the peer has gone or does not read */
  send(socket: Fd, bytes: Uint8Array, fds?: readonly Fd[]): boolean;
  /** Takes one packet; `empty`: none waits; `end`: the peer has gone. */
  receive(socket: Fd): Packet | "empty" | "end";
  /**
   * SHUT_RDWR: the peer reads what it was sent, then the end, and can send nothing more; what it had
   * sent can be taken still. A socket that is connected to somebody else is closed on a lane after it:
   * the close closes what was sent and not taken, and that can wait as long as its sender likes.
   */
  shutdown(socket: Fd): void;

  /** Resolves an account by name or decimal uid; absent: no such account. */
  account(user: string): Account | undefined;
  /** Resolves a group by name or decimal gid; absent: no such group. */
  groupId(group: string): number | undefined;
  spawn(request: SpawnRequest): Child;
  /** How the child ended; absent: it runs still. Reaps it the first time. */
  childEnd(child: Child): ChildEnd | undefined;
  /** Sends a signal by pidfd; false when the process has gone. */
  signal(pidfd: Fd, signal: number): boolean;

  /** pidfd_open: stands for a process as none of its pids can; the caller owns it. */
  openProcess(pid: number): Fd;
  /** The process's pid; absent: it has gone. */
  pidOf(pidfd: Fd): number | undefined;
  /** Whether the process has ended. */
  hasExited(pidfd: Fd): boolean;
  /**
   * pidfd_getfd: a descriptor of the same open file, close-on-exec. While it is open the process's
   * own close closes nothing, and so it is to be closed at once.
   */
  borrow(pidfd: Fd, number: number, what: string): Fd;
  /** Who a process is; absent: it has gone. */
  identifyProcess(pidfd: Fd, options?: IdentityOptions): Promise<ProcessIdentity | undefined>;

  /** Kobject uevents from now on; watch and `receiveUevent`. */
  openUevents(): Fd;
  /** Takes one uevent of the kernel's; `empty`: none waits; `overrun`: some were lost. */
  receiveUevent(socket: Fd): Uevent | "empty" | "overrun";
  /** An inotify instance; watch and `readFileEvents`. */
  openInotify(what: string): Fd;
  /** Watches a file without opening it. @returns its number in events; one file has one, by whatever path */
  addFileWatch(inotify: Fd, path: string, kinds: readonly FileEventKind[]): number;
  removeFileWatch(inotify: Fd, watch: number): void;
  /** Takes what waits, in order. */
  readFileEvents(inotify: Fd): readonly FileEvent[];
  /**
   * A fanotify permission gate before a file that can be written to: who opens it waits. Close lets
   * everybody pass, and so does the end of this process, which must never open the file itself.
   */
  openGate(path: string): Fd;
  readGate(gate: Fd): readonly GateEvent[];
  /** Lets who waits pass, or not (EPERM); closes `waiting`. Also where they were killed meanwhile. */
  answerGate(gate: Fd, waiting: Fd, allow: boolean): void;
  /** A kprobe on the kernel's revoke routine; needs root, tracefs, and that the routine is there. */
  openRevokeTrace(): RevokeTrace;

  /** stat by path, following links. */
  identify(path: string): FileIdentity;
  /** Closes what cannot wait (a device fd or a last dma-buf reference can: `Lane.close`). */
  close(fd: Fd): void;
  /** All open descriptors of this process with their close-on-exec flag. */
  ownDescriptors(): readonly {
    readonly number: number;
    readonly closeOnExec: boolean;
    readonly target: string;
  }[];
}
