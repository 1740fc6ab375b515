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
  FileIdentity,
  Kernel,
  Lane,
  Packet,
  SpawnRequest,
  Watch,
} from "../engine/kernel.ts";
import { findAccount, findGroupId } from "./account.ts";
import { closeDescriptor } from "./descriptors.ts";
import { deviceAddress } from "./device_address.ts";
import { dmaBufFacts, setDmaBufName } from "./dma_buf.ts";
import { EventLoop } from "./epoll.ts";
import { createEventFd, readEventFd } from "./event_fd.ts";
import { identifyPath } from "./file_identity.ts";
import { isIommufd, openIommufd } from "./iommufd.ts";
import { LinuxLane } from "./lane.ts";
import { libc } from "./libc.ts";
import { ownDescriptors } from "./own_descriptors.ts";
import {
  ignoreInspectorSignal,
  kernelRelease,
  makeNonDumpable,
  pageSize,
  reap,
  sendSignal,
} from "./process.ts";
import {
  acceptFrom,
  connectTo,
  listenOn,
  peerCredentials,
  receivePacket,
  sendPacket,
  socketPair,
} from "./seqpacket.ts";
import { spawnProgram } from "./spawn.ts";

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

  openLane(name: string): Lane {
    return new LinuxLane(name, { onClose: (fd) => this.#loop.forget(fd) });
  }

  deviceAddress(device: Fd): string | undefined {
    return deviceAddress(device);
  }

  openIommufd(): Fd {
    return openIommufd();
  }

  isIommufd(fd: Fd): boolean {
    return isIommufd(fd);
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

  send(socket: Fd, bytes: Uint8Array, fds?: readonly Fd[]): boolean {
    return sendPacket(socket, bytes, fds);
  }

  receive(socket: Fd): Packet | "empty" | "end" {
    return receivePacket(socket);
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
