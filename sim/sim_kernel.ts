/**
 * `SimKernel`: the `Kernel` port's other side, in process and without a device, by the kernel's rules.
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
import { addDevices, deviceAt, devicesOf, unbind } from "./devices.ts";
import { refusal, type SimErrno } from "./errno.ts";
import { FileTable, type SimFile, take } from "./file_table.ts";
import { SimEventQueue, SimInotify, SimTrace, SimUevents } from "./event_queue.ts";
import { SimFileWatches } from "./file_watches.ts";
import { SimGate, SimHeldOpen } from "./gate.ts";
import type { SimGroup } from "./group.ts";
import { SimImporter, type SimImporterDriver } from "./importer.ts";
import { SimIommufd } from "./iommufd.ts";
import { SimLane } from "./lane.ts";
import { SimPidfd, SimProcess, type SimProcessFacts } from "./process.ts";
import { SimListener, SimSocket } from "./sockets.ts";
import {
  SimDeviceFile,
  SimDmaBuf,
  SimEventFd,
  type SimFunction,
  type SimVfioDevice,
} from "./vfio.ts";
import type { FileKind } from "./world.ts";

/** A started program: a test plays it. */
export interface SimChild {
  readonly request: SpawnRequest;
  readonly pid: number;
  readonly uid: number;
  /** Its own descriptors, by name. */
  readonly fds: ReadonlyMap<string, number>;
  end: ChildEnd | undefined;
}

/** A file of the simulated host, for identities. */
export type SimPath = Partial<FileIdentity>;

/** What the simulated host has. */
export interface SimHost {
  readonly functions: readonly SimFunction[];
  readonly accounts?: readonly Account[];
  readonly paths?: Readonly<Record<string, SimPath>>;
  readonly feature?: FeatureAnswer;
  readonly uid?: number;
  /** Bytes; absent: 4 KiB. */
  readonly pageSize?: number;
  /** Traces of the revoke routine tell what devices do; otherwise only what a test pushes to them. */
  readonly recordsMoves?: boolean;
}

const REGULAR_EXECUTABLE = 0o100755;
const BARGATE_PID = 1000;
/** Bytes of the largest packet that is taken whole. */
const PACKET_LIMIT = 64 * 1024;
/** Identity of an executable that the host's paths do not have. */
const NOWHERE = { device: 0n, inode: 0n };

/** A kernel in process. */
export class SimKernel implements Kernel {
  readonly pageSize: number;
  readonly release = "7.3.0-sim";
  readonly pid = BARGATE_PID;
  readonly uid: number;
  readonly table = new FileTable();
  readonly devices: Map<string, SimVfioDevice>;
  /** IOMMU groups by node. */
  readonly groups: Map<string, SimGroup>;
  readonly children: SimChild[] = [];
  /** All lanes that were ever opened. */
  readonly lanes: SimLane[] = [];
  /** All processes by pid. */
  readonly processes = new Map<number, SimProcess>();
  /** Sockets of uevents, inotify instances, gates and traces that are open: a test pushes to them. */
  readonly uevents = new Set<SimUevents>();
  readonly fileWatches = new SimFileWatches();
  readonly gates = new Map<string, SimGate>();
  readonly revokeTraces = new Set<SimTrace>();
  readonly feature: FeatureAnswer;
  dumpable = true;
  #nextPid = BARGATE_PID + 1;
  readonly #faults = new Map<string, SimErrno[]>();
  readonly #stalls = new Map<string, { about: string; until: Promise<void> }>();
  readonly #listeners = new Map<string, SimListener>();

  constructor(readonly host: SimHost) {
    this.uid = host.uid ?? 0;
    this.pageSize = host.pageSize ?? 4096;
    this.feature = host.feature ?? { state: "present" };
    const moved = (device: string, revoked: boolean) => this.#moved(device, revoked);
    ({ devices: this.devices, groups: this.groups } = devicesOf(host.functions, moved));
    this.addProcess({ pid: this.pid, uid: this.uid, gid: 0 });
  }

  /** The driver takes a function again. */
  bind(address: string): void {
    const functions = this.host.functions.filter((fn) => fn.address === address);
    addDevices(this, functions, (device, revoked) => this.#moved(device, revoked));
  }

  #moved(device: string, revoked: boolean): void {
    if (this.host.recordsMoves !== true) return;
    const record = { device, revoked, pid: this.pid, task: "sim" };
    for (const trace of this.revokeTraces) trace.push(record);
  }

  /** The driver gives a function up. @returns resolves when nobody has it open any more */
  unbind(address: string): Promise<void> {
    return unbind(this, address);
  }

  /** @returns the driver's side of a function */
  functionAt(address: string): SimVfioDevice {
    return deviceAt(this.devices, address);
  }

  // ── faults ──────────────────────────────────────────────────────────────────────────────────────

  /** The next call of this name is refused. */
  failNext(call: string, errno: SimErrno): void {
    this.#faults.set(call, [...this.#faults.get(call) ?? [], errno]);
  }

  /**
   * Calls of this name wait until the returned function is called.
   *
   * @param about only those whose subject has this in it
   */
  stall(call: string, about = ""): () => void {
    const { promise: until, resolve } = Promise.withResolvers<void>();
    this.#stalls.set(call, { about, until });
    return () => {
      this.#stalls.delete(call);
      resolve();
    };
  }

  /** To be passed by every call of a lane. */
  async enter(call: string, subject: string): Promise<void> {
    const stall = this.#stalls.get(call);
    if (stall !== undefined && subject.includes(stall.about)) await stall.until;
    this.check(call, subject);
  }

  /** To be passed by every call that can be refused. */
  check(call: string, subject: string): void {
    const errno = this.#faults.get(call)?.shift();
    if (errno !== undefined) throw refusal(call, errno, subject);
  }

  // ── processes ───────────────────────────────────────────────────────────────────────────────────

  makeNonDumpable(): void {
    this.dumpable = false;
  }

  account(user: string): Account | undefined {
    return this.host.accounts?.find(({ name, uid }) => name === user || String(uid) === user);
  }

  groupId(group: string): number | undefined {
    return /^[0-9]+$/.test(group) ? Number(group) : undefined;
  }

  spawn(request: SpawnRequest): Child {
    this.check("posix_spawn", request.path);
    const pid = this.#nextPid++;
    const fds = new Map(
      request.fds.map(({ name, fd }) => [name, this.table.duplicate(fd.number)] as const),
    );
    const uid = request.account?.uid ?? this.uid;
    const gid = request.account?.gid ?? 0;
    this.children.push({ request, pid, uid, fds, end: undefined });
    const known = this.host.paths?.[request.path] !== undefined;
    const { device, inode } = known ? this.identify(request.path) : NOWHERE;
    const executable = { path: request.path, device, inode };
    const process = this.addProcess({ pid, uid, gid, executable });
    return { pid, pidfd: this.#pidfdOf(process) };
  }

  /** A process that Bargate did not start. */
  addProcess(facts: SimProcessFacts): SimProcess {
    const process = new SimProcess(facts);
    this.processes.set(facts.pid, process);
    return process;
  }

  #pidfdOf(process: SimProcess): Fd {
    return new Fd(this.table.install(new SimPidfd(process)), `process ${process.identity.pid}`);
  }

  openProcess(pid: number): Fd {
    const process = this.processes.get(pid);
    if (process === undefined) throw refusal("pidfd_open", "ESRCH", `process ${pid}`);
    return this.#pidfdOf(process);
  }

  pidOf(pidfd: Fd): number | undefined {
    const { exited, identity } = this.file(pidfd, SimPidfd).process;
    return exited ? undefined : identity.pid;
  }

  hasExited(pidfd: Fd): boolean {
    return this.file(pidfd, SimPidfd).process.exited;
  }

  borrow(pidfd: Fd, number: number, what: string): Fd {
    this.check("pidfd_getfd", what);
    const gone = this.file(pidfd, SimPidfd).process.exited;
    const file = this.table.get(number);
    if (gone) throw refusal("pidfd_getfd", "ESRCH", what);
    if (file === undefined) throw refusal("pidfd_getfd", "EBADF", what);
    return new Fd(this.table.install(file), what);
  }

  identifyProcess(
    pidfd: Fd,
    options: IdentityOptions = {},
  ): Promise<ProcessIdentity | undefined> {
    const { exited, identity } = this.file(pidfd, SimPidfd).process;
    if (exited) return Promise.resolve(undefined);
    const { sha256, ...executable } = identity.executable;
    const hash = options.sha256 === true && sha256 !== undefined ? { sha256 } : {};
    return Promise.resolve({ ...identity, executable: { ...executable, ...hash } });
  }

  /** Ends a child: its descriptors are closed before anybody is told. */
  exit(child: SimChild, end: ChildEnd = { how: "exited", status: 0 }): void {
    const closing = [...child.fds.values()].flatMap((fd) => {
      const file = this.table.get(fd);
      this.table.close(fd);
      return file instanceof SimDeviceFile ? file.closing ?? [] : [];
    });
    const ended = () => {
      child.end = end;
      this.processes.get(child.pid)?.end();
    };
    if (closing.length === 0) ended();
    else void Promise.all(closing).then(ended);
  }

  childEnd(child: Child): ChildEnd | undefined {
    return this.children.find(({ pid }) => pid === child.pid)?.end;
  }

  signal(pidfd: Fd, signal: number): boolean {
    const { process } = this.file(pidfd, SimPidfd);
    if (process.exited) return false;
    const child = this.children.find(({ pid }) => pid === process.identity.pid);
    if (child === undefined) process.end();
    else this.exit(child, { how: "signalled", signal });
    return true;
  }

  identify(path: string): FileIdentity {
    const known = this.host.paths?.[path];
    if (known === undefined) throw refusal("stat", "ENOENT", path);
    const inode = BigInt([...Object.keys(this.host.paths ?? {})].indexOf(path) + 1);
    return { device: 1n, inode, rdev: 0n, mode: REGULAR_EXECUTABLE, uid: 0, gid: 0, ...known };
  }

  // ── devices and buffers ─────────────────────────────────────────────────────────────────────────

  openLane(name: string): Lane {
    const lane = new SimLane(this, name);
    this.lanes.push(lane);
    return lane;
  }

  openIommufd(): Fd {
    this.check("open", "/dev/iommu");
    return new Fd(this.table.install(new SimIommufd()), "/dev/iommu");
  }

  dmaBufFacts(dmaBuf: Fd): DmaBufFacts {
    const buffer = this.file(dmaBuf, SimDmaBuf, "fdinfo", "EINVAL");
    return {
      size: buffer.size,
      inode: buffer.inode,
      references: buffer.references,
      exporter: "vfio_pci_core",
      ...(buffer.name === undefined ? {} : { name: buffer.name }),
      closeOnExec: true,
    };
  }

  /**
   * Somebody's driver imports a buffer.
   *
   * @param driver whose device does the DMA
   * @param descriptor of the buffer, whoever has it
   * @param reachable whether the PCI topology lets that device reach the exporter's
   */
  importBuffer(driver: SimImporterDriver, descriptor: number, reachable?: boolean): SimImporter {
    const file = this.table.get(descriptor);
    if (file instanceof SimDmaBuf) return new SimImporter(driver, file, reachable);
    throw refusal("dma_buf_get", file === undefined ? "EBADF" : "EINVAL", driver);
  }

  setDmaBufName(dmaBuf: Fd, name: string): void {
    this.file(dmaBuf, SimDmaBuf, "DMA_BUF_SET_NAME", "ENOTTY").setName(name);
  }

  /** @returns the file behind a descriptor, which must be of this class */
  file<T extends SimFile>(
    fd: Fd,
    kind: FileKind<T>,
    call: string = "fcntl",
    otherwise: SimErrno = "EBADF",
  ): T {
    const file = this.table.get(fd.number);
    if (file instanceof kind) return file;
    throw refusal(call, file === undefined ? "EBADF" : otherwise, fd.what);
  }

  // ── events and sockets ──────────────────────────────────────────────────────────────────────────

  eventFd(what: string): Fd {
    return new Fd(this.table.install(new SimEventFd()), what);
  }

  readEventFd(fd: Fd): bigint {
    const event = this.file(fd, SimEventFd);
    const { count } = event;
    event.count = 0n;
    return count;
  }

  watch(fd: Fd, onReady: () => void): Watch {
    const file = this.table.get(fd.number);
    let on = true;
    const later = () => queueMicrotask(() => on ? onReady() : undefined);
    if (file instanceof SimPidfd) file.process.onExit(later);
    else if (file instanceof SimEventFd) file.onSignal = later;
    else if (file instanceof SimListener) file.onReadable = later;
    else if (file instanceof SimSocket || file instanceof SimEventQueue) {
      file.onReadable = later;
      if (file.readable) later();
    }
    return { stop: () => on = false };
  }

  socketPair(what: string): [Fd, Fd] {
    const [a, b] = SimSocket.pair();
    return [new Fd(this.table.install(a), what), new Fd(this.table.install(b), `peer of ${what}`)];
  }

  listen(path: string): Fd {
    return new Fd(this.#listen(path), path);
  }

  /** Listens as another process. @returns the listener's descriptor, which is that process's */
  listenAs(owner: Credentials, path: string): number {
    return this.#listen(path, owner);
  }

  #listen(path: string, owner?: Credentials): number {
    const listener = new SimListener(() => this.#listeners.delete(path), owner);
    this.#listeners.set(path, listener);
    return this.table.install(listener);
  }

  accept(listener: Fd): Fd | undefined {
    const socket = this.acceptAs(listener.number);
    return socket === undefined ? undefined : new Fd(socket, `connection to ${listener.what}`);
  }

  /** Accepts as the process whose listener it is. @returns the descriptor of its end; absent: none waits */
  acceptAs(listener: number): number | undefined {
    const file = this.table.get(listener);
    if (!(file instanceof SimListener)) {
      throw refusal("accept4", "EBADF", `descriptor ${listener}`);
    }
    const socket = file.waiting.shift();
    return socket === undefined ? undefined : this.table.install(socket);
  }

  connect(path: string): Fd {
    const listener = this.#listeners.get(path);
    if (listener === undefined) throw refusal("connect", "ECONNREFUSED", path);
    const [ours, theirs] = SimSocket.pair();
    ours.peerCredentials = listener.owner;
    listener.waiting.push(theirs);
    listener.onReadable();
    return new Fd(this.table.install(ours), path);
  }

  /** Connects as another process. @returns the descriptor of its end */
  connectAs(peer: Credentials, path: string): number {
    const listener = this.#listeners.get(path);
    if (listener === undefined) throw refusal("connect", "ECONNREFUSED", path);
    const [ours, theirs] = SimSocket.pair();
    theirs.peerCredentials = peer;
    listener.waiting.push(theirs);
    listener.onReadable();
    return this.table.install(ours);
  }

  peerCredentials(socket: Fd): Credentials {
    const { peerCredentials } = this.file(socket, SimSocket);
    return peerCredentials ?? { pid: this.pid, uid: this.uid, gid: 0 };
  }

  peerPidfd(socket: Fd): Fd | "unsupported" {
    const process = this.processes.get(this.peerCredentials(socket).pid);
    return process === undefined ? "unsupported" : this.#pidfdOf(process);
  }

  passPidfds(socket: Fd): boolean {
    this.file(socket, SimSocket).passesPidfds = true;
    return true;
  }

  send(socket: Fd, bytes: Uint8Array, fds: readonly Fd[] = []): boolean {
    const me = { pid: this.pid, uid: this.uid, gid: 0 };
    return this.sendAs(me, socket.number, bytes, fds.map(({ number }) => number));
  }

  /** Sends as another process: a test's importer. */
  sendAs(
    sender: Credentials,
    socket: number,
    bytes: Uint8Array,
    fds: readonly number[] = [],
  ): boolean {
    const file = this.table.get(socket);
    if (!(file instanceof SimSocket)) throw refusal("sendmsg", "EBADF", `descriptor ${socket}`);
    const files = fds.flatMap((fd) => this.table.get(fd) ?? []);
    return file.send({ bytes, files: files.map(take), sender });
  }

  receive(socket: Fd): Packet | "empty" | "end" {
    const file = this.file(socket, SimSocket);
    if (file.wasReset) {
      file.wasReset = false;
      return "end";
    }
    const packet = file.queue.shift();
    if (packet === undefined) return file.over ? "end" : "empty";
    const process = file.passesPidfds ? this.processes.get(packet.sender.pid) : undefined;
    const truncated = packet.bytes.length > PACKET_LIMIT;
    return {
      bytes: packet.bytes.slice(0, PACKET_LIMIT),
      fds: packet.files.map((carried) => {
        const fd = new Fd(this.table.install(carried), `received on ${socket.what}`);
        carried.references--;
        return fd;
      }),
      sender: packet.sender,
      ...(process !== undefined && { pidfd: this.#pidfdOf(process) }),
      ...(truncated && { flaw: "too-long" as const }),
    };
  }

  shutdown(socket: Fd): void {
    this.file(socket, SimSocket).shutDown();
  }

  // ── observers ───────────────────────────────────────────────────────────────────────────────────

  openUevents(): Fd {
    this.check("socket(AF_NETLINK)", "kobject uevents");
    const socket = new SimUevents("uevents", () => this.uevents.delete(socket));
    this.uevents.add(socket);
    return new Fd(this.table.install(socket), "kobject uevents");
  }

  receiveUevent(socket: Fd): Uevent | "empty" | "overrun" {
    return this.file(socket, SimUevents).queue.shift() ?? "empty";
  }

  openInotify(what: string): Fd {
    return new Fd(this.table.install(this.fileWatches.open()), what);
  }

  addFileWatch(inotify: Fd, path: string, kinds: readonly FileEventKind[]): number {
    this.check("inotify_add_watch", path);
    return this.fileWatches.add(this.file(inotify, SimInotify), path, kinds);
  }

  removeFileWatch(inotify: Fd, watch: number): void {
    if (this.fileWatches.remove(this.file(inotify, SimInotify), watch)) return;
    throw refusal("inotify_rm_watch", "EINVAL", inotify.what);
  }

  readFileEvents(inotify: Fd): readonly FileEvent[] {
    return this.file(inotify, SimInotify).queue.splice(0);
  }

  openGate(path: string): Fd {
    this.check("fanotify_init", path);
    const gate = new SimGate("fanotify gate", () => this.gates.delete(path));
    this.gates.set(path, gate);
    return new Fd(this.table.install(gate), `gate before ${path}`);
  }

  readGate(gate: Fd): readonly GateEvent[] {
    return this.file(gate, SimGate).queue.splice(0).map((event) => {
      if (event === "overrun" || event.kind === "closed") return event;
      const waiting = new Fd(this.table.install(event.waiting), `open held by ${gate.what}`);
      return { kind: "open", pid: event.pid, waiting };
    });
  }

  answerGate(_gate: Fd, waiting: Fd, allow: boolean): void {
    this.file(waiting, SimHeldOpen).answer(allow);
    this.close(waiting);
  }

  openRevokeTrace(): RevokeTrace {
    this.check("open", "kprobe_events");
    const trace = new SimTrace("revoke trace", () => this.revokeTraces.delete(trace));
    this.revokeTraces.add(trace);
    const fd = new Fd(this.table.install(trace), "revoke trace");
    return { fd, read: () => trace.queue.splice(0), close: () => this.close(fd) };
  }

  close(fd: Fd): void {
    this.table.close(fd.release());
  }

  ownDescriptors(): readonly { number: number; closeOnExec: boolean; target: string }[] {
    return this.table.open().map(({ number, kind }) => ({
      number,
      closeOnExec: true,
      target: kind,
    }));
  }
}
