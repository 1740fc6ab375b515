/**
 * The `Kernel` port on Linux.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import type {
  Account,
  Child,
  ChildEnd,
  Credentials,
  DmaBufFacts,
  FileEvent,
  FileEventKind,
  FileIdentity,
  GateEvent,
  IdentityOptions,
  Kernel,
  Lane,
  LaneTable,
  Packet,
  ProcessIdentity,
  RevokeTrace,
  SpawnRequest,
  Uevent,
  Watch,
} from "../engine/kernel.ts";
import { findAccount, findGroupId } from "./account.ts";
import { closeDescriptor } from "./descriptors.ts";
import { dmaBufFacts, setDmaBufName } from "./dma_buf.ts";
import { EventLoop } from "./epoll.ts";
import { createEventFd, readEventFd } from "./event_fd.ts";
import { answerGate, openGate, readGate } from "./fanotify_gate.ts";
import { identifyPath } from "./file_identity.ts";
import { addFileWatch, openInotify, readFileEvents, removeFileWatch } from "./inotify.ts";
import { openIommufd } from "./iommufd.ts";
import { LinuxLane } from "./lane.ts";
import { libc } from "./libc.ts";
import { ownDescriptors } from "./own_descriptors.ts";
import { borrowDescriptor, hasExited, pidOf } from "./pidfd.ts";
import {
  ignoreInspectorSignal,
  kernelRelease,
  makeNonDumpable,
  openPidfd,
  pageSize,
  reap,
  sendSignal,
} from "./process.ts";
import { identifyProcess } from "./process_identity.ts";
import { openRevokeTrace } from "./revoke_trace.ts";
import {
  acceptFrom,
  connectTo,
  listenOn,
  passPidfds,
  peerCredentials,
  peerPidfd,
  receivePacket,
  sendPacket,
  shutDown,
  socketPair,
} from "./seqpacket.ts";
import { spawnProgram } from "./spawn.ts";
import { openUevents, receiveUevent } from "./uevent.ts";

/**
 * The operating system that Bargate runs on.
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { LinuxKernel } from "./linux_kernel.ts";
 *
 * const kernel = new LinuxKernel();
 * if (kernel.pageSize % 4096 !== 0) throw new Error("pages are 4, 16 or 64 KiB");
 * if (!kernel.ownDescriptors().some(({ number }) => number === 0)) throw new Error("stdin is open");
 * ```
 */
export class LinuxKernel implements Kernel {
  readonly pageSize: number = pageSize();
  readonly release: string = kernelRelease();
  readonly pid: number = libc().getpid();
  readonly uid: number = libc().geteuid();
  readonly #loop = new EventLoop();
  readonly #ends = new WeakMap<Fd, ChildEnd>();

  /** Also ignores SIGUSR1, which would open the runtime's inspector to every local user. */
  makeNonDumpable(): void {
    makeNonDumpable();
    ignoreInspectorSignal();
  }

  openLane(name: string, table: LaneTable = "own"): Lane {
    return new LinuxLane(name, { table, onClose: (fd) => this.#loop.forget(fd) });
  }

  openIommufd(): Fd {
    return openIommufd();
  }

  dmaBufFacts(dmaBuf: Fd): DmaBufFacts {
    return dmaBufFacts(dmaBuf);
  }

  setDmaBufName(dmaBuf: Fd, name: string): void {
    setDmaBufName(dmaBuf, name);
  }

  eventFd(what: string): Fd {
    return createEventFd(what);
  }

  readEventFd(fd: Fd): bigint {
    return readEventFd(fd);
  }

  watch(fd: Fd, onReady: () => void): Watch {
    return this.#loop.watch(fd, onReady);
  }

  /**
   * Resolves when nothing is watched and the event loop's own descriptors are closed: for tests,
   * and for who must not leave anything behind.
   */
  idle(): Promise<void> {
    return this.#loop.idle();
  }

  socketPair(what: string): [Fd, Fd] {
    return socketPair(what);
  }

  listen(path: string): Fd {
    return listenOn(path);
  }

  accept(listener: Fd): Fd | undefined {
    return acceptFrom(listener);
  }

  connect(path: string): Fd {
    return connectTo(path);
  }

  peerCredentials(socket: Fd): Credentials {
    return peerCredentials(socket);
  }

  peerPidfd(socket: Fd): Fd | "unsupported" {
    return peerPidfd(socket);
  }

  passPidfds(socket: Fd): boolean {
    return passPidfds(socket);
  }

  send(socket: Fd, bytes: Uint8Array, fds?: readonly Fd[]): boolean {
    return sendPacket(socket, bytes, fds);
  }

  receive(socket: Fd): Packet | "empty" | "end" {
    return receivePacket(socket);
  }

  shutdown(socket: Fd): void {
    shutDown(socket);
  }

  account(user: string): Account | undefined {
    return findAccount(user);
  }

  groupId(group: string): number | undefined {
    return findGroupId(group);
  }

  spawn(request: SpawnRequest): Child {
    return spawnProgram(request);
  }

  childEnd({ pidfd }: Child): ChildEnd | undefined {
    const end = this.#ends.get(pidfd) ?? reap(pidfd);
    if (end !== undefined) this.#ends.set(pidfd, end);
    return end;
  }

  signal(pidfd: Fd, signal: number): boolean {
    return sendSignal(pidfd, signal);
  }

  openProcess(pid: number): Fd {
    return openPidfd(pid, `process ${pid}`);
  }

  pidOf(pidfd: Fd): number | undefined {
    return pidOf(pidfd);
  }

  hasExited(pidfd: Fd): boolean {
    return hasExited(pidfd);
  }

  borrow(pidfd: Fd, number: number, what: string): Fd {
    return borrowDescriptor(pidfd, number, what);
  }

  identifyProcess(
    pidfd: Fd,
    options: IdentityOptions = {},
  ): Promise<ProcessIdentity | undefined> {
    return identifyProcess(pidfd, options);
  }

  openUevents(): Fd {
    return openUevents();
  }

  receiveUevent(socket: Fd): Uevent | "empty" | "overrun" {
    return receiveUevent(socket);
  }

  openInotify(what: string): Fd {
    return openInotify(what);
  }

  addFileWatch(inotify: Fd, path: string, kinds: readonly FileEventKind[]): number {
    return addFileWatch(inotify, path, kinds);
  }

  removeFileWatch(inotify: Fd, watch: number): void {
    removeFileWatch(inotify, watch);
  }

  readFileEvents(inotify: Fd): readonly FileEvent[] {
    return readFileEvents(inotify);
  }

  openGate(path: string): Fd {
    return openGate(path);
  }

  readGate(gate: Fd): readonly GateEvent[] {
    return readGate(gate);
  }

  answerGate(gate: Fd, waiting: Fd, allow: boolean): void {
    answerGate(gate, waiting, allow);
  }

  openRevokeTrace(): RevokeTrace {
    return openRevokeTrace((fd) => this.#loop.forget(fd));
  }

  identify(path: string): FileIdentity {
    return identifyPath(path);
  }

  close(fd: Fd): void {
    this.#loop.forget(fd);
    closeDescriptor(fd);
  }

  ownDescriptors(): ReturnType<Kernel["ownDescriptors"]> {
    return ownDescriptors();
  }
}
