/**
 * The one table of C functions that Bargate calls, each with its C prototype.
 *
 * Three conventions. Structs and strings go as `buffer`: a pointer object costs three times the
 * call. An ioctl's request is `u32`: the kernel takes an unsigned int, and a 64-bit parameter given
 * as a number costs as much as the call. A result of type `long` or `ssize_t` that always fits is
 * read as `i32`, its lower half, so that it is a number and -1 stays -1. Sizes and offsets go as
 * 64 bits, for a callee may use the whole register.
 *
 * Variadic functions are called like others: on Linux both x86_64 and aarch64 pass the integers of
 * `...` where they pass named ones.
 *
 * @module
 */

/** glibc's file name, the same on x86_64 and aarch64. */
export const LIBC = "libc.so.6";

/** What reading files, and telling what was read, takes. To load these alone is far quicker. */
export const READING_SYMBOLS = {
  /** `int *__errno_location(void)` */
  __errno_location: { parameters: [], result: "pointer" },
  /** `int open(const char *path, int flags, mode_t mode)` */
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  /** `int openat(int folder, const char *path, int flags, mode_t mode)` */
  openat: { parameters: ["i32", "buffer", "i32", "u32"], result: "i32" },
  /** `int close(int fd)` */
  close: { parameters: ["i32"], result: "i32" },
  /** `ssize_t read(int fd, void *buf, size_t count)` */
  read: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  /** `ssize_t write(int fd, const void *buf, size_t count)` */
  write: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  /** `int access(const char *path, int mode)` */
  access: { parameters: ["buffer", "i32"], result: "i32" },
  /** `int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *out)` */
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" },
  /** `ssize_t readlink(const char *path, char *buf, size_t size)` */
  readlink: { parameters: ["buffer", "buffer", "usize"], result: "i32" },
  /** `ssize_t readlinkat(int folder, const char *path, char *buf, size_t size)` */
  readlinkat: { parameters: ["i32", "buffer", "buffer", "usize"], result: "i32" },
  /** `ssize_t getdents64(int fd, void *buf, size_t length)` */
  getdents64: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  /** `int poll(struct pollfd *fds, nfds_t count, int timeout)` */
  poll: { parameters: ["buffer", "usize", "i32"], result: "i32" },
  /** `long sysconf(int name)` */
  sysconf: { parameters: ["i32"], result: "i32" },
  /** `int uname(struct utsname *out)` */
  uname: { parameters: ["buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Functions of libc by the name under which `ffi/` calls them. */
export const SYMBOLS = {
  ...READING_SYMBOLS,

  // Files

  /** `ssize_t pread(int fd, void *buf, size_t count, off_t offset)` */
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "i32" },
  /** `ssize_t pwrite(int fd, const void *buf, size_t count, off_t offset)` */
  pwrite: { parameters: ["i32", "buffer", "usize", "i64"], result: "i32" },
  /** `int ioctl(int fd, unsigned long request, void *argument)` */
  ioctl: { parameters: ["i32", "u32", "buffer"], result: "i32" },
  /** `int ioctl(int fd, unsigned long request, unsigned long value)` */
  ioctl_value: { name: "ioctl", parameters: ["i32", "u32", "u64"], result: "i32" },
  /** `int fcntl(int fd, int command, int argument)` */
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  /** `int unlink(const char *path)` */
  unlink: { parameters: ["buffer"], result: "i32" },
  /** `int mkdir(const char *path, mode_t mode)` */
  mkdir: { parameters: ["buffer", "u32"], result: "i32" },
  /** `int rmdir(const char *path)` */
  rmdir: { parameters: ["buffer"], result: "i32" },
  /** `int fchmod(int fd, mode_t mode)` */
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  /** `int memfd_create(const char *name, unsigned flags)` */
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  /** `int ftruncate(int fd, off_t length)` */
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  /** `off_t lseek(int fd, off_t offset, int whence)`; a failure stays -1, for a result is of 64 bits. */
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },

  // Events

  /** `int eventfd(unsigned initial, int flags)` */
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  /** `int epoll_create1(int flags)` */
  epoll_create1: { parameters: ["i32"], result: "i32" },
  /** `int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)` */
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  /** `int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)` */
  epoll_wait: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  /** `epoll_wait` on a thread of the runtime's pool; its errno cannot be read. */
  epoll_wait_elsewhere: {
    name: "epoll_wait",
    parameters: ["i32", "buffer", "i32", "i32"],
    result: "i32",
    nonblocking: true,
  },

  /** `int inotify_init1(int flags)` */
  inotify_init1: { parameters: ["i32"], result: "i32" },
  /** `int inotify_add_watch(int fd, const char *path, uint32_t mask)` */
  inotify_add_watch: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  /** `int inotify_rm_watch(int fd, int wd)` */
  inotify_rm_watch: { parameters: ["i32", "i32"], result: "i32" },
  /** `int fanotify_init(unsigned flags, unsigned event_f_flags)` */
  fanotify_init: { parameters: ["u32", "u32"], result: "i32" },
  /** `int fanotify_mark(int fd, unsigned flags, uint64_t mask, int dirfd, const char *path)` */
  fanotify_mark: { parameters: ["i32", "u32", "u64", "i32", "buffer"], result: "i32" },

  // Sockets

  /** `int socket(int domain, int type, int protocol)` */
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  /** `int socketpair(int domain, int type, int protocol, int sv[2])` */
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  /** `int bind(int fd, const struct sockaddr *address, socklen_t length)` */
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  /** `int listen(int fd, int backlog)` */
  listen: { parameters: ["i32", "i32"], result: "i32" },
  /** `int shutdown(int fd, int how)` */
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  /** `int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)` */
  accept4: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  /** `int connect(int fd, const struct sockaddr *address, socklen_t length)` */
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  /** `int unshare(int flags)` */
  unshare: { parameters: ["i32"], result: "i32" },
  /** `int getsockopt(int fd, int level, int name, void *value, socklen_t *length)` */
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  /** `int setsockopt(int fd, int level, int name, const void *value, socklen_t length)` */
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  /** `ssize_t sendmsg(int fd, const struct msghdr *message, int flags)` */
  sendmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  /** `ssize_t recvmsg(int fd, struct msghdr *message, int flags)` */
  recvmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  /** `ssize_t recvfrom(int fd, void *buf, size_t size, int flags, struct sockaddr *from, socklen_t *length)` */
  recvfrom: {
    parameters: ["i32", "buffer", "usize", "i32", "buffer", "buffer"],
    result: "i32",
  },

  // Processes

  /** `pid_t getpid(void)` */
  getpid: { parameters: [], result: "i32" },
  /** `uid_t geteuid(void)` */
  geteuid: { parameters: [], result: "u32" },
  /** `gid_t getegid(void)` */
  getegid: { parameters: [], result: "u32" },
  /** `int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)` */
  prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
  /** `sighandler_t signal(int signum, sighandler_t handler)` */
  signal: { parameters: ["i32", "usize"], result: "i64" },
  /** `int waitid(idtype_t type, id_t id, siginfo_t *out, int options)` */
  waitid: { parameters: ["u32", "u32", "buffer", "i32"], result: "i32" },
  /** `long syscall(SYS_pidfd_open, pid_t pid, unsigned flags)`; glibc wraps it since 2.36 only. */
  pidfd_open: { name: "syscall", parameters: ["i64", "i32", "u32"], result: "i32" },
  /** `long syscall(SYS_pidfd_send_signal, int pidfd, int signal, siginfo_t *info, unsigned flags)` */
  pidfd_send_signal: {
    name: "syscall",
    parameters: ["i64", "i32", "i32", "buffer", "u32"],
    result: "i32",
  },

  /** `long syscall(SYS_pidfd_getfd, int pidfd, int targetfd, unsigned flags)` */
  pidfd_getfd: { name: "syscall", parameters: ["i64", "i32", "i32", "u32"], result: "i32" },

  // posix_spawn(3) and getpwnam_r(3): all answer an error number, and leave errno alone.

  /**
   * `int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
   * const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])`
   */
  posix_spawn: {
    parameters: ["buffer", "buffer", "buffer", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  /** `int posix_spawn_file_actions_init(posix_spawn_file_actions_t *actions)` */
  posix_spawn_file_actions_init: { parameters: ["buffer"], result: "i32" },
  /** `int posix_spawn_file_actions_destroy(posix_spawn_file_actions_t *actions)` */
  posix_spawn_file_actions_destroy: { parameters: ["buffer"], result: "i32" },
  /** `int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int fd, int newfd)` */
  posix_spawn_file_actions_adddup2: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  /** `int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from)` */
  posix_spawn_file_actions_addclosefrom_np: { parameters: ["buffer", "i32"], result: "i32" },
  /** `int posix_spawnattr_init(posix_spawnattr_t *attributes)` */
  posix_spawnattr_init: { parameters: ["buffer"], result: "i32" },
  /** `int posix_spawnattr_destroy(posix_spawnattr_t *attributes)` */
  posix_spawnattr_destroy: { parameters: ["buffer"], result: "i32" },
  /** `int posix_spawnattr_setflags(posix_spawnattr_t *attributes, short flags)` */
  posix_spawnattr_setflags: { parameters: ["buffer", "i16"], result: "i32" },
  /** `int posix_spawnattr_setsigmask(posix_spawnattr_t *attributes, const sigset_t *set)` */
  posix_spawnattr_setsigmask: { parameters: ["buffer", "buffer"], result: "i32" },
  /** `int posix_spawnattr_setsigdefault(posix_spawnattr_t *attributes, const sigset_t *set)` */
  posix_spawnattr_setsigdefault: { parameters: ["buffer", "buffer"], result: "i32" },
  /** `int sigemptyset(sigset_t *set)` */
  sigemptyset: { parameters: ["buffer"], result: "i32" },
  /** `int sigfillset(sigset_t *set)` */
  sigfillset: { parameters: ["buffer"], result: "i32" },
  /** `int getpwnam_r(const char *name, struct passwd *out, char *buf, size_t size, struct passwd **result)` */
  getpwnam_r: { parameters: ["buffer", "buffer", "buffer", "usize", "buffer"], result: "i32" },
  /** `int getpwuid_r(uid_t uid, struct passwd *out, char *buf, size_t size, struct passwd **result)` */
  getpwuid_r: { parameters: ["u32", "buffer", "buffer", "usize", "buffer"], result: "i32" },
  /** `int getgrnam_r(const char *name, struct group *out, char *buf, size_t size, struct group **result)` */
  getgrnam_r: { parameters: ["buffer", "buffer", "buffer", "usize", "buffer"], result: "i32" },
  /** `int getgrgid_r(gid_t gid, struct group *out, char *buf, size_t size, struct group **result)` */
  getgrgid_r: { parameters: ["u32", "buffer", "buffer", "usize", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;
