/**
 * A simulated host in a real process: devices, iommufd and dma-bufs are simulated, by the same rules
 * as in `SimKernel`; processes, sockets, descriptors and time are the operating system's own. Nothing
 * that is asked of it reaches a device of the machine that it runs on.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import type {
  Account,
  Child,
  ChildEnd,
  Credentials,
  DmaBufFacts,
  FeatureAnswer,
  FileEvent,
  FileEventKind,
  FileIdentity,
  GateEvent,
  IdentityOptions,
  Kernel,
  Lane,
  Packet,
  ProcessIdentity,
  RevokeTrace,
  SpawnRequest,
  Uevent,
  Watch,
} from "../engine/kernel.ts";
import type { Files } from "../host/files.ts";
import { addDevices, deviceAt, devicesOf, type SimDevices, unbind } from "./devices.ts";
import { refusal, type SimErrno } from "./errno.ts";
import { SimInotify, SimTrace, SimUevents } from "./event_queue.ts";
import type { SimFile } from "./file_table.ts";
import { SimFileWatches } from "./file_watches.ts";
import { HostedTable, OTHER_KIND } from "./hosted_table.ts";
import { SimIommufd } from "./iommufd.ts";
import { SimLane } from "./lane.ts";
import type { MemoryFiles } from "./memory_files.ts";
import { isSimulatedPath } from "./simulated_path.ts";
import { SimDmaBuf, SimEventFd, type SimFunction, type SimVfioDevice } from "./vfio.ts";
import type { FileKind, SimWorld } from "./world.ts";

/** What a hosted simulation is made of. */
export interface HostedParts {
  /** The operating system. */
  readonly real: Kernel;
  /** Of the same. */
  readonly memory: MemoryFiles;
  /** The simulated host's, on top of the real ones. */
  readonly files: Files;
  /** Functions that are bound to a VFIO driver. */
  readonly functions: readonly SimFunction[];
  /** `uname -r` of the simulated host. */
  readonly release: string;
  /** Of the simulated host, bytes. */
  readonly pageSize: number;
  /** Whether it has `/dev/iommu`. */
  readonly hasIommufd: boolean;
  /** Who plays an account of a policy; absent: nobody. */
  readonly account: (user: string) => Account | undefined;
  /** The same for a group. */
  readonly groupId: (group: string) => number | undefined;
}

const EXPORTER = "vfio_pci_core";

/** A simulated interrupt's hold on a real eventfd. */
class HostedEventFd extends SimEventFd {
  constructor(
    private readonly real: Pick<Kernel, "close">,
    private readonly memory: MemoryFiles,
    private readonly fd: Fd,
  ) {
    super();
  }

  override signal(): void {
    this.memory.signal(this.fd);
  }

  override release(): void {
    this.real.close(this.fd);
  }
}

/** A kernel whose devices are simulated. */
export class HostedKernel implements Kernel, SimWorld {
  readonly simulated = true;
  readonly pageSize: number;
  readonly release: string;
  readonly pid: number;
  readonly uid: number;
  readonly feature: FeatureAnswer = { state: "present" };
  readonly devices: SimDevices["devices"];
  readonly groups: SimDevices["groups"];
  readonly table: HostedTable;
  /** To be told what happens to files of the simulated sysfs: nobody else can. */
  readonly fileWatches = new SimFileWatches();
  readonly #real: Kernel;
  readonly #uevents = new Set<SimUevents>();
  readonly #traces = new Set<SimTrace>();

  /** @param parts see there */
  constructor(private readonly parts: HostedParts) {
    this.#real = parts.real;
    this.pageSize = parts.pageSize;
    this.release = parts.release;
    this.pid = parts.real.pid;
    this.uid = parts.real.uid;
    ({ devices: this.devices, groups: this.groups } = devicesOf(parts.functions, this.#moved));
    this.table = new HostedTable(parts.real, parts.memory);
  }

  // ── the simulated host ──────────────────────────────────────────────────────────────────────────

  readonly #moved = (device: string, revoked: boolean): void => {
    const record = { device, revoked, pid: this.pid, task: "simulated" };
    for (const trace of this.#traces) trace.push(record);
  };

  /** The driver gives a function up. @returns resolves when nobody has it open any more */
  unbind(address: string): Promise<void> {
    return unbind(this, address);
  }

  /** The driver takes a function again. */
  bind(address: string): void {
    addDevices(this, this.parts.functions.filter((fn) => fn.address === address), this.#moved);
  }

  /** @returns the driver's side of a function */
  functionAt(address: string): SimVfioDevice {
    return deviceAt(this.devices, address);
  }

  /** A call sees what other processes have done before it. */
  enter(): Promise<void> {
    this.table.look();
    return Promise.resolve();
  }

  /** @returns the file behind a descriptor, which must be of this class */
  file<T extends SimFile>(
    fd: Fd,
    kind: FileKind<T>,
    call: string = "fcntl",
    otherwise: SimErrno = "EBADF",
  ): T {
    const file = this.#eventFdFor(fd, kind) ?? this.table.get(fd.number);
    if (file instanceof kind) return file;
    throw refusal(call, file === undefined ? "EBADF" : otherwise, fd.what);
  }

  /** Eventfds are the operating system's own: what signals a simulated one must signal that. */
  #eventFdFor(fd: Fd, kind: unknown): SimFile | undefined {
    const { memory } = this.parts;
    if (kind !== SimEventFd || this.table.get(fd.number)?.kind !== OTHER_KIND) return undefined;
    if (!memory.isEventFd(fd)) return undefined;
    return new HostedEventFd(this.#real, memory, memory.duplicate(fd));
  }

  openLane(name: string): Lane {
    return new SimLane(this, name);
  }

  openIommufd(): Fd {
    const path = "/dev/iommu";
    if (!this.parts.hasIommufd) throw refusal("open", "ENOENT", path);
    return new Fd(this.table.install(new SimIommufd()), path);
  }

  /** Others' references are one at least, if there are any: the kernel tells no number. */
  dmaBufFacts(dmaBuf: Fd): DmaBufFacts {
    const hosted = this.table.buffer(dmaBuf);
    if (hosted === undefined) throw refusal("fdinfo", "EINVAL", dmaBuf.what);
    const { size, name, references } = hosted.buffer;
    return {
      size,
      inode: hosted.inode,
      // The table has one, which stands for all descriptors; the others are mappings.
      references: references - 1 + hosted.numbers.size + (hosted.heldByOthers ? 1 : 0),
      exporter: EXPORTER,
      ...(name === undefined ? {} : { name }),
      closeOnExec: this.parts.memory.closesOnExec(dmaBuf),
    };
  }

  setDmaBufName(dmaBuf: Fd, name: string): void {
    this.file(dmaBuf, SimDmaBuf, "DMA_BUF_SET_NAME", "ENOTTY").setName(name);
  }

  openUevents(): Fd {
    const socket = new SimUevents("uevents", () => this.#uevents.delete(socket));
    this.#uevents.add(socket);
    return new Fd(this.table.install(socket), "simulated kobject uevents");
  }

  receiveUevent(socket: Fd): Uevent | "empty" | "overrun" {
    const { queue } = this.file(socket, SimUevents);
    const event = queue.shift();
    if (queue.length === 0) this.table.drained(socket);
    return event ?? "empty";
  }

  openInotify(what: string): Fd {
    return new Fd(this.table.install(this.fileWatches.open()), what);
  }

  addFileWatch(inotify: Fd, path: string, kinds: readonly FileEventKind[]): number {
    if (!isSimulatedPath(path) || !this.parts.files.exists(path)) {
      throw refusal("inotify_add_watch", "ENOENT", path);
    }
    return this.fileWatches.add(this.file(inotify, SimInotify), path, kinds);
  }

  removeFileWatch(inotify: Fd, watch: number): void {
    if (this.fileWatches.remove(this.file(inotify, SimInotify), watch)) return;
    throw refusal("inotify_rm_watch", "EINVAL", inotify.what);
  }

  readFileEvents(inotify: Fd): readonly FileEvent[] {
    const events = this.file(inotify, SimInotify).queue.splice(0);
    this.table.drained(inotify);
    return events;
  }

  /** No other process can open a simulated file. */
  openGate(path: string): Fd {
    throw refusal("fanotify_init", "EOPNOTSUPP", path);
  }

  readGate(gate: Fd): readonly GateEvent[] {
    throw refusal("read", "EBADF", gate.what);
  }

  answerGate(gate: Fd): void {
    throw refusal("write", "EBADF", gate.what);
  }

  openRevokeTrace(): RevokeTrace {
    const trace = new SimTrace("revoke trace", () => this.#traces.delete(trace));
    this.#traces.add(trace);
    const fd = new Fd(this.table.install(trace), "simulated revoke trace");
    const read = () => {
      this.table.drained(fd);
      return trace.queue.splice(0);
    };
    return { fd, read, close: () => this.close(fd) };
  }

  /** From this process only: a descriptor of another one may be of a real device. */
  borrow(pidfd: Fd, number: number, what: string): Fd {
    if (this.#real.pidOf(pidfd) !== this.pid) throw refusal("pidfd_getfd", "EOPNOTSUPP", what);
    const fd = this.#real.borrow(pidfd, number, what);
    this.table.buffer(fd)?.numbers.add(fd.number);
    return fd;
  }

  account(user: string): Account | undefined {
    return this.parts.account(user);
  }

  groupId(group: string): number | undefined {
    return this.parts.groupId(group);
  }

  // ── where both meet ─────────────────────────────────────────────────────────────────────────────

  spawn(request: SpawnRequest): Child {
    return this.#withCopies(request.fds.map(({ fd }) => fd), (copies) => {
      const fds = request.fds.map(({ name, fd }, index) => ({ name, fd: copies[index] ?? fd }));
      return this.#real.spawn({ ...request, fds });
    });
  }

  send(socket: Fd, bytes: Uint8Array, fds: readonly Fd[] = []): boolean {
    return this.#withCopies(fds, (copies) => this.#real.send(socket, bytes, copies));
  }

  /** Others get open files of their own of a buffer, so that theirs can be told from Bargate's. */
  #withCopies<T>(fds: readonly Fd[], work: (copies: readonly Fd[]) => T): T {
    const made: Fd[] = [];
    try {
      return work(fds.map((fd) => {
        const copy = this.table.buffer(fd)?.forOthers();
        if (copy !== undefined) made.push(copy);
        return copy ?? fd;
      }));
    } finally {
      for (const copy of made) this.#real.close(copy);
    }
  }

  identify(path: string): FileIdentity {
    if (isSimulatedPath(path)) throw refusal("stat", "ENOENT", path);
    return this.#real.identify(path);
  }

  close(fd: Fd): void {
    this.table.closeFd(fd);
  }

  // ── the operating system ────────────────────────────────────────────────────────────────────────

  makeNonDumpable(): void {
    this.#real.makeNonDumpable();
  }

  eventFd(what: string): Fd {
    return this.#real.eventFd(what);
  }

  readEventFd(fd: Fd): bigint {
    return this.#real.readEventFd(fd);
  }

  watch(fd: Fd, onReady: () => void): Watch {
    return this.#real.watch(fd, onReady);
  }

  socketPair(what: string): [Fd, Fd] {
    return this.#real.socketPair(what);
  }

  listen(path: string): Fd {
    return this.#real.listen(path);
  }

  accept(listener: Fd): Fd | undefined {
    return this.#real.accept(listener);
  }

  connect(path: string): Fd {
    return this.#real.connect(path);
  }

  peerCredentials(socket: Fd): Credentials {
    return this.#real.peerCredentials(socket);
  }

  peerPidfd(socket: Fd): Fd | "unsupported" {
    return this.#real.peerPidfd(socket);
  }

  passPidfds(socket: Fd): boolean {
    return this.#real.passPidfds(socket);
  }

  receive(socket: Fd): Packet | "empty" | "end" {
    return this.#real.receive(socket);
  }

  shutdown(socket: Fd): void {
    this.#real.shutdown(socket);
  }

  childEnd(child: Child): ChildEnd | undefined {
    return this.#real.childEnd(child);
  }

  signal(pidfd: Fd, signal: number): boolean {
    return this.#real.signal(pidfd, signal);
  }

  openProcess(pid: number): Fd {
    return this.#real.openProcess(pid);
  }

  pidOf(pidfd: Fd): number | undefined {
    return this.#real.pidOf(pidfd);
  }

  hasExited(pidfd: Fd): boolean {
    return this.#real.hasExited(pidfd);
  }

  identifyProcess(pidfd: Fd, options?: IdentityOptions): Promise<ProcessIdentity | undefined> {
    return this.#real.identifyProcess(pidfd, options);
  }

  ownDescriptors(): ReturnType<Kernel["ownDescriptors"]> {
    return this.#real.ownDescriptors();
  }
}
