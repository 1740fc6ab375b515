/**
 * The one table of C structs and constants that Bargate uses.
 *
 * `ffi/layouts.checked.json` holds the same facts as a C compiler sees them in the kernel's own
 * headers and glibc's; the laboratory writes it, and a quick test compares the two.
 *
 * @module
 */
import type { Field, FieldType, Layout } from "./struct.ts";

const u8 = (offset: number): Field<"u8"> => ({ offset, type: "u8" });
const u16 = (offset: number): Field<"u16"> => ({ offset, type: "u16" });
const u32 = (offset: number): Field<"u32"> => ({ offset, type: "u32" });
const i16 = (offset: number): Field<"i16"> => ({ offset, type: "i16" });
const i32 = (offset: number): Field<"i32"> => ({ offset, type: "i32" });
const u64 = (offset: number): Field<"u64"> => ({ offset, type: "u64" });
const i64 = (offset: number): Field<"i64"> => ({ offset, type: "i64" });
const pointer = (offset: number): Field<"pointer"> => ({ offset, type: "pointer" });
const bytes = (offset: number): Field<"bytes"> => ({ offset, type: "bytes" });

/** A member of a C union inside the struct. */
function member<T extends FieldType>(field: Field<T>, c: string): Field<T> {
  return { ...field, c };
}

function layout<F extends Record<string, Field>>(
  header: string,
  c: string,
  size: number,
  fields: F,
): Layout<F> {
  return { c, header, size, fields };
}

const VFIO = "linux/vfio.h";
const IOMMUFD = "linux/iommufd.h";
const FANOTIFY = "linux/fanotify.h";
const NETLINK = "linux/netlink.h";

/**
 * `struct epoll_event`: the one struct that differs between the architectures.
 *
 * @param arch `Deno.build.arch`
 */
export function epollEventLayout(
  arch: string,
): Layout<{ events: Field<"u32">; data: Field<"u64"> }> {
  const packed = arch === "x86_64";
  return layout("sys/epoll.h", "struct epoll_event", packed ? 12 : 16, {
    events: u32(0),
    data: member(u64(packed ? 4 : 8), "data.u64"),
  });
}

/** Structs by their C names. */
export const STRUCTS = {
  vfio_device_info: layout(VFIO, "struct vfio_device_info", 24, {
    argsz: u32(0),
    flags: u32(4),
    num_regions: u32(8),
    num_irqs: u32(12),
    cap_offset: u32(16),
    pad: u32(20),
  }),
  vfio_region_info: layout(VFIO, "struct vfio_region_info", 32, {
    argsz: u32(0),
    flags: u32(4),
    index: u32(8),
    cap_offset: u32(12),
    size: u64(16),
    offset: u64(24),
  }),
  vfio_info_cap_header: layout(VFIO, "struct vfio_info_cap_header", 8, {
    id: u16(0),
    version: u16(2),
    next: u32(4),
  }),
  vfio_irq_set: layout(VFIO, "struct vfio_irq_set", 20, {
    argsz: u32(0),
    flags: u32(4),
    index: u32(8),
    start: u32(12),
    count: u32(16),
    data: bytes(20),
  }),
  vfio_device_feature: layout(VFIO, "struct vfio_device_feature", 8, {
    argsz: u32(0),
    flags: u32(4),
    data: bytes(8),
  }),
  vfio_device_feature_dma_buf: layout(VFIO, "struct vfio_device_feature_dma_buf", 16, {
    region_index: u32(0),
    open_flags: u32(4),
    flags: u32(8),
    nr_ranges: u32(12),
    dma_ranges: bytes(16),
  }),
  vfio_region_dma_range: layout(VFIO, "struct vfio_region_dma_range", 16, {
    offset: u64(0),
    length: u64(8),
  }),
  vfio_device_bind_iommufd: layout(VFIO, "struct vfio_device_bind_iommufd", 24, {
    argsz: u32(0),
    flags: u32(4),
    iommufd: i32(8),
    out_devid: u32(12),
    token_uuid_ptr: u64(16),
  }),
  vfio_device_attach_iommufd_pt: layout(VFIO, "struct vfio_device_attach_iommufd_pt", 16, {
    argsz: u32(0),
    flags: u32(4),
    pt_id: u32(8),
    pasid: u32(12),
  }),
  vfio_group_status: layout(VFIO, "struct vfio_group_status", 8, { argsz: u32(0), flags: u32(4) }),
  vfio_pci_hot_reset_info: layout(VFIO, "struct vfio_pci_hot_reset_info", 12, {
    argsz: u32(0),
    flags: u32(4),
    count: u32(8),
    devices: bytes(12),
  }),
  vfio_pci_dependent_device: layout(VFIO, "struct vfio_pci_dependent_device", 8, {
    group_id: u32(0),
    devid: u32(0),
    segment: u16(4),
    bus: u8(6),
    devfn: u8(7),
  }),
  vfio_pci_hot_reset: layout(VFIO, "struct vfio_pci_hot_reset", 12, {
    argsz: u32(0),
    flags: u32(4),
    count: u32(8),
    group_fds: bytes(12),
  }),
  iommu_destroy: layout(IOMMUFD, "struct iommu_destroy", 8, { size: u32(0), id: u32(4) }),
  iommu_ioas_alloc: layout(IOMMUFD, "struct iommu_ioas_alloc", 12, {
    size: u32(0),
    flags: u32(4),
    out_ioas_id: u32(8),
  }),
  iommu_ioas_map_file: layout(IOMMUFD, "struct iommu_ioas_map_file", 40, {
    size: u32(0),
    flags: u32(4),
    ioas_id: u32(8),
    fd: i32(12),
    start: u64(16),
    length: u64(24),
    iova: u64(32),
  }),
  iommu_ioas_copy: layout(IOMMUFD, "struct iommu_ioas_copy", 40, {
    size: u32(0),
    flags: u32(4),
    dst_ioas_id: u32(8),
    src_ioas_id: u32(12),
    length: u64(16),
    dst_iova: u64(24),
    src_iova: u64(32),
  }),
  iommu_ioas_unmap: layout(IOMMUFD, "struct iommu_ioas_unmap", 24, {
    size: u32(0),
    ioas_id: u32(4),
    iova: u64(8),
    length: u64(16),
  }),
  iommu_vfio_ioas: layout(IOMMUFD, "struct iommu_vfio_ioas", 12, {
    size: u32(0),
    ioas_id: u32(4),
    op: u16(8),
  }),
  epoll_event: epollEventLayout(Deno.build.arch),
  pollfd: layout("poll.h", "struct pollfd", 8, { fd: i32(0), events: i16(4), revents: i16(6) }),
  inotify_event: layout("sys/inotify.h", "struct inotify_event", 16, {
    wd: i32(0),
    mask: u32(4),
    cookie: u32(8),
    len: u32(12),
    name: bytes(16),
  }),
  fanotify_event_metadata: layout(FANOTIFY, "struct fanotify_event_metadata", 24, {
    event_len: u32(0),
    vers: u8(4),
    metadata_len: u16(6),
    mask: u64(8),
    fd: i32(16),
    pid: i32(20),
  }),
  fanotify_response: layout(FANOTIFY, "struct fanotify_response", 8, {
    fd: i32(0),
    response: u32(4),
  }),
  sockaddr_nl: layout(NETLINK, "struct sockaddr_nl", 12, {
    nl_family: u16(0),
    nl_pid: u32(4),
    nl_groups: u32(8),
  }),
  iovec: layout("sys/uio.h", "struct iovec", 16, { iov_base: pointer(0), iov_len: u64(8) }),
  msghdr: layout("sys/socket.h", "struct msghdr", 56, {
    msg_name: pointer(0),
    msg_namelen: u32(8),
    msg_iov: pointer(16),
    msg_iovlen: u64(24),
    msg_control: pointer(32),
    msg_controllen: u64(40),
    msg_flags: i32(48),
  }),
  cmsghdr: layout("sys/socket.h", "struct cmsghdr", 16, {
    cmsg_len: u64(0),
    cmsg_level: i32(8),
    cmsg_type: i32(12),
  }),
  ucred: layout("sys/socket.h", "struct ucred", 12, { pid: i32(0), uid: u32(4), gid: u32(8) }),
  sockaddr_un: layout("sys/un.h", "struct sockaddr_un", 110, {
    sun_family: u16(0),
    sun_path: bytes(2),
  }),
  statx: layout("sys/stat.h", "struct statx", 256, {
    stx_uid: u32(20),
    stx_gid: u32(24),
    stx_mode: u16(28),
    stx_ino: u64(32),
    stx_size: u64(40),
    stx_rdev_major: u32(128),
    stx_rdev_minor: u32(132),
    stx_dev_major: u32(136),
    stx_dev_minor: u32(140),
  }),
  dirent64: layout("dirent.h", "struct dirent64", 280, {
    d_ino: u64(0),
    d_off: i64(8),
    d_reclen: u16(16),
    d_type: u8(18),
    d_name: bytes(19),
  }),
  siginfo_t: layout("signal.h", "siginfo_t", 128, {
    si_signo: i32(0),
    si_errno: i32(4),
    si_code: i32(8),
    si_pid: i32(16),
    si_uid: u32(20),
    si_status: i32(24),
  }),
  utsname: layout("sys/utsname.h", "struct utsname", 390, { release: bytes(130) }),
  passwd: layout("pwd.h", "struct passwd", 48, {
    pw_name: pointer(0),
    pw_uid: u32(16),
    pw_gid: u32(20),
    pw_dir: pointer(32),
    pw_shell: pointer(40),
  }),
  group: layout("grp.h", "struct group", 32, { gr_name: pointer(0), gr_gid: u32(16) }),
  sigset_t: layout("signal.h", "sigset_t", 128, {}),
  posix_spawn_file_actions_t: layout("spawn.h", "posix_spawn_file_actions_t", 80, {}),
  posix_spawnattr_t: layout("spawn.h", "posix_spawnattr_t", 336, {}),
} as const;

/** Constants by header, under their C names. */
export const CONSTANTS_BY_HEADER = {
  [VFIO]: {
    VFIO_GET_API_VERSION: 0x3b64,
    VFIO_CHECK_EXTENSION: 0x3b65,
    VFIO_SET_IOMMU: 0x3b66,
    VFIO_GROUP_GET_STATUS: 0x3b67,
    VFIO_GROUP_SET_CONTAINER: 0x3b68,
    VFIO_GROUP_UNSET_CONTAINER: 0x3b69,
    VFIO_GROUP_GET_DEVICE_FD: 0x3b6a,
    VFIO_DEVICE_GET_INFO: 0x3b6b,
    VFIO_DEVICE_GET_REGION_INFO: 0x3b6c,
    VFIO_DEVICE_SET_IRQS: 0x3b6e,
    VFIO_DEVICE_RESET: 0x3b6f,
    VFIO_DEVICE_FEATURE: 0x3b75,
    VFIO_DEVICE_BIND_IOMMUFD: 0x3b76,
    VFIO_DEVICE_ATTACH_IOMMUFD_PT: 0x3b77,
    VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: 0x3b70,
    VFIO_DEVICE_PCI_HOT_RESET: 0x3b71,
    VFIO_API_VERSION: 0,
    VFIO_TYPE1v2_IOMMU: 3,
    VFIO_GROUP_FLAGS_VIABLE: 1,
    VFIO_GROUP_FLAGS_CONTAINER_SET: 2,
    VFIO_DEVICE_BIND_FLAG_TOKEN: 1,
    VFIO_PCI_HOT_RESET_FLAG_DEV_ID: 1,
    VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED: 2,
    VFIO_PCI_DEVID_OWNED: 0,
    VFIO_PCI_DEVID_NOT_OWNED: -1,
    VFIO_DEVICE_FLAGS_RESET: 1,
    VFIO_DEVICE_FLAGS_PCI: 2,
    VFIO_REGION_INFO_FLAG_READ: 1,
    VFIO_REGION_INFO_FLAG_WRITE: 2,
    VFIO_REGION_INFO_FLAG_MMAP: 4,
    VFIO_REGION_INFO_FLAG_CAPS: 8,
    VFIO_REGION_INFO_CAP_SPARSE_MMAP: 1,
    VFIO_REGION_INFO_CAP_TYPE: 2,
    VFIO_REGION_INFO_CAP_MSIX_MAPPABLE: 3,
    VFIO_PCI_CONFIG_REGION_INDEX: 7,
    VFIO_PCI_ERR_IRQ_INDEX: 3,
    VFIO_PCI_REQ_IRQ_INDEX: 4,
    VFIO_IRQ_SET_DATA_NONE: 1,
    VFIO_IRQ_SET_DATA_EVENTFD: 4,
    VFIO_IRQ_SET_ACTION_TRIGGER: 0x20,
    VFIO_DEVICE_FEATURE_GET: 0x10000,
    VFIO_DEVICE_FEATURE_SET: 0x20000,
    VFIO_DEVICE_FEATURE_PROBE: 0x40000,
    VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY: 3,
    VFIO_DEVICE_FEATURE_LOW_POWER_EXIT: 5,
    VFIO_DEVICE_FEATURE_DMA_BUF: 11,
  },
  [IOMMUFD]: {
    IOMMU_DESTROY: 0x3b80,
    IOMMU_IOAS_ALLOC: 0x3b81,
    IOMMU_IOAS_COPY: 0x3b83,
    IOMMU_IOAS_UNMAP: 0x3b86,
    IOMMU_VFIO_IOAS: 0x3b88,
    IOMMU_IOAS_MAP_FILE: 0x3b8f,
    IOMMU_VFIO_IOAS_SET: 1,
    IOMMU_IOAS_MAP_FIXED_IOVA: 1,
    IOMMU_IOAS_MAP_WRITEABLE: 2,
    IOMMU_IOAS_MAP_READABLE: 4,
  },
  "linux/dma-buf.h": { DMA_BUF_SET_NAME_B: 0x40086201 },
  "fcntl.h": {
    O_RDONLY: 0,
    O_WRONLY: 1,
    O_RDWR: 2,
    O_NOCTTY: 0x100,
    O_APPEND: 0x400,
    O_NONBLOCK: 0x800,
    O_CLOEXEC: 0x80000,
    O_PATH: 0x200000,
    F_GETFD: 1,
    FD_CLOEXEC: 1,
    F_DUPFD_CLOEXEC: 1030,
    F_SETLEASE: 1024,
    F_WRLCK: 1,
    F_UNLCK: 2,
    SEEK_DATA: 3,
    SEEK_HOLE: 4,
    AT_FDCWD: -100,
    AT_EMPTY_PATH: 0x1000,
    S_IFMT: 0xf000,
    S_IFSOCK: 0xc000,
    S_IFREG: 0x8000,
    S_IFDIR: 0x4000,
    S_IFCHR: 0x2000,
  },
  "unistd.h": { _SC_PAGESIZE: 30, F_OK: 0, X_OK: 1 },
  "sys/stat.h": { STATX_BASIC_STATS: 0x7ff },
  "sys/mman.h": { MFD_CLOEXEC: 1 },
  "sys/eventfd.h": { EFD_CLOEXEC: 0x80000, EFD_NONBLOCK: 0x800 },
  "sys/epoll.h": {
    EPOLL_CLOEXEC: 0x80000,
    EPOLL_CTL_ADD: 1,
    EPOLL_CTL_DEL: 2,
    EPOLLIN: 1,
    EPOLLERR: 8,
    EPOLLHUP: 0x10,
    EPOLLRDHUP: 0x2000,
  },
  "poll.h": { POLLIN: 1, POLLOUT: 4, POLLHUP: 0x10 },
  "sys/inotify.h": {
    IN_CLOEXEC: 0x80000,
    IN_NONBLOCK: 0x800,
    IN_MODIFY: 2,
    IN_CLOSE_WRITE: 8,
    IN_CLOSE_NOWRITE: 0x10,
    IN_OPEN: 0x20,
    IN_DELETE_SELF: 0x400,
    IN_UNMOUNT: 0x2000,
    IN_Q_OVERFLOW: 0x4000,
    IN_IGNORED: 0x8000,
  },
  [FANOTIFY]: {
    FAN_CLOEXEC: 1,
    FAN_NONBLOCK: 2,
    FAN_CLASS_CONTENT: 4,
    FAN_MARK_ADD: 1,
    FAN_CLOSE_WRITE: 8,
    FAN_Q_OVERFLOW: 0x4000,
    FAN_OPEN_PERM: 0x10000,
    FANOTIFY_METADATA_VERSION: 3,
    FAN_ALLOW: 1,
    FAN_DENY: 2,
    FAN_NOFD: -1,
  },
  [NETLINK]: { NETLINK_KOBJECT_UEVENT: 15 },
  "asm/socket.h": { SO_RCVBUFFORCE: 33, SO_PASSPIDFD: 76, SO_PEERPIDFD: 77 },
  "sys/socket.h": {
    AF_UNIX: 1,
    AF_NETLINK: 16,
    SOCK_STREAM: 1,
    SOCK_DGRAM: 2,
    SOCK_SEQPACKET: 5,
    SOCK_NONBLOCK: 0x800,
    SOCK_CLOEXEC: 0x80000,
    SOL_SOCKET: 1,
    SO_PASSCRED: 16,
    SO_PEERCRED: 17,
    SO_TYPE: 3,
    SOMAXCONN: 4096,
    SHUT_RDWR: 2,
    SCM_RIGHTS: 1,
    SCM_CREDENTIALS: 2,
    MSG_CTRUNC: 8,
    MSG_TRUNC: 0x20,
    MSG_DONTWAIT: 0x40,
    MSG_NOSIGNAL: 0x4000,
    MSG_CMSG_CLOEXEC: 0x40000000,
  },
  "sys/wait.h": { P_PIDFD: 3, WNOHANG: 1, WEXITED: 4, CLD_EXITED: 1, CLD_KILLED: 2, CLD_DUMPED: 3 },
  "signal.h": { SIGUSR1: 10 },
  "sched.h": { CLONE_FILES: 0x400 },
  "spawn.h": { POSIX_SPAWN_SETSIGDEF: 4, POSIX_SPAWN_SETSIGMASK: 8, POSIX_SPAWN_SETSID: 128 },
  "sys/prctl.h": { PR_GET_DUMPABLE: 3, PR_SET_DUMPABLE: 4 },
  "sys/syscall.h": {
    SYS_pidfd_open: 434,
    SYS_pidfd_send_signal: 424,
    SYS_pidfd_getfd: 438,
  },
} as const;

/** Every constant under its C name. */
export const C = {
  ...CONSTANTS_BY_HEADER[VFIO],
  ...CONSTANTS_BY_HEADER[IOMMUFD],
  ...CONSTANTS_BY_HEADER["linux/dma-buf.h"],
  ...CONSTANTS_BY_HEADER["fcntl.h"],
  ...CONSTANTS_BY_HEADER["unistd.h"],
  ...CONSTANTS_BY_HEADER["sys/stat.h"],
  ...CONSTANTS_BY_HEADER["sys/mman.h"],
  ...CONSTANTS_BY_HEADER["sys/eventfd.h"],
  ...CONSTANTS_BY_HEADER["sys/epoll.h"],
  ...CONSTANTS_BY_HEADER["poll.h"],
  ...CONSTANTS_BY_HEADER["sys/inotify.h"],
  ...CONSTANTS_BY_HEADER[FANOTIFY],
  ...CONSTANTS_BY_HEADER[NETLINK],
  ...CONSTANTS_BY_HEADER["asm/socket.h"],
  ...CONSTANTS_BY_HEADER["sys/socket.h"],
  ...CONSTANTS_BY_HEADER["sys/wait.h"],
  ...CONSTANTS_BY_HEADER["signal.h"],
  ...CONSTANTS_BY_HEADER["sched.h"],
  ...CONSTANTS_BY_HEADER["spawn.h"],
  ...CONSTANTS_BY_HEADER["sys/prctl.h"],
  ...CONSTANTS_BY_HEADER["sys/syscall.h"],
} as const;
