/**
 * The one event loop of the process: a single `epoll_wait` on a thread of the runtime's pool, which
 * has 32, shared with file I/O.
 *
 * It runs while something is watched, and keeps the process alive only then. Stopping the last
 * watch wakes it through an eventfd; it then closes what it had opened.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import type { Watch } from "../engine/kernel.ts";
import { closeDescriptor } from "./descriptors.ts";
import { createEventFd, readEventFd, signalEventFd } from "./event_fd.ts";
import { checked, reissued } from "./errno.ts";
import { C, STRUCTS } from "./layouts.ts";
import { libc } from "./libc.ts";
import { encode, getBig } from "./struct.ts";

const EVENT = STRUCTS.epoll_event;

/** Events taken at a time; what remains is reported by the next call. */
const BATCH = 64;

const FOREVER = -1;

/** The wake eventfd's token; watches count from 1. */
const WAKE = 0n;

interface Registration {
  readonly fd: Fd;
  readonly onReady: () => void;
}

/** Descriptors of the loop while it runs. */
interface Running {
  readonly epoll: Fd;
  readonly wake: Fd;
}

/**
 * Calls back when descriptors become readable.
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { EventLoop } from "./epoll.ts";
 * import { createEventFd, signalEventFd } from "./event_fd.ts";
 * import { closeDescriptor } from "./descriptors.ts";
 *
 * const loop = new EventLoop();
 * const fd = createEventFd("example");
 * signalEventFd(fd);
 * await new Promise<void>((resolve) => {
 *   const watch = loop.watch(fd, () => {
 *     watch.stop();
 *     resolve();
 *   });
 * });
 * await loop.idle();
 * closeDescriptor(fd);
 * ```
 */
export class EventLoop {
  readonly #watches = new Map<bigint, Registration>();
  #nextToken = WAKE + 1n;
  #running: Running | undefined;
  #ended: Promise<void> = Promise.resolve();

  /**
   * Calls back whenever the descriptor is readable or hung up, until stopped. Level-triggered: who
   * does not read is called again at once.
   *
   * @param fd at most once at a time
   * @param onReady what it throws is reported as an uncaught error, and stops no other watch
   * @throws {KernelError} EPERM where the descriptor cannot be watched, EEXIST where it is already
   */
  watch(fd: Fd, onReady: () => void): Watch {
    const running = this.#start();
    const token = this.#nextToken++;
    try {
      register(running.epoll, fd, token);
    } catch (error) {
      this.#wakeIfIdle();
      throw error;
    }
    this.#watches.set(token, { fd, onReady });
    return { stop: () => this.#stop(token) };
  }

  /**
   * Stops every watch of a descriptor: to be called before it is closed, for epoll holds the open
   * file and would go on reporting it if another process had a copy.
   *
   * @param fd watched or not
   */
  forget(fd: Fd): void {
    for (const [token, watch] of this.#watches) if (watch.fd === fd) this.#stop(token);
  }

  /**
   * Resolves when nothing is watched, the call on the other thread has come back, and the loop's own
   * descriptors are closed. A test that watches ends with it: the call back takes some microseconds.
   */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#ended;
  }

  #start(): Running {
    if (this.#running !== undefined) return this.#running;
    const running = openLoop();
    this.#running = running;
    this.#ended = this.#run(running);
    return running;
  }

  #stop(token: bigint): void {
    const watch = this.#watches.get(token);
    if (watch === undefined || this.#running === undefined) return;
    this.#watches.delete(token);
    if (watch.fd.open) unregister(this.#running.epoll, watch.fd);
    this.#wakeIfIdle();
  }

  #wakeIfIdle(): void {
    if (this.#watches.size === 0 && this.#running !== undefined) signalEventFd(this.#running.wake);
  }

  async #run(running: Running): Promise<void> {
    const events = new DataView(new ArrayBuffer(EVENT.size * BATCH));
    // The first wait belongs to the turn of `watch`: a caller that throws right after must find a
    // loop that can be woken. A watch may be added while the loop goes to sleep for the last time.
    do {
      const count = await wait(running.epoll, events);
      for (const token of tokens(events, count)) this.#dispatch(token, running);
    } while (this.#watches.size > 0);
    this.#running = undefined;
    closeDescriptor(running.epoll);
    closeDescriptor(running.wake);
  }

  #dispatch(token: bigint, running: Running): void {
    if (token === WAKE) {
      readEventFd(running.wake);
      return;
    }
    try {
      this.#watches.get(token)?.onReady();
    } catch (error) {
      reportError(error);
    }
  }
}

function openLoop(): Running {
  const number = reissued(() => libc().epoll_create1(C.EPOLL_CLOEXEC));
  const epoll = new Fd(checked("epoll_create1", "event loop", number), "event loop");
  const wake = createEventFd("event loop");
  register(epoll, wake, WAKE);
  return { epoll, wake };
}

function register(epoll: Fd, fd: Fd, token: bigint): void {
  const event = encode(EVENT, { events: C.EPOLLIN | C.EPOLLRDHUP, data: token });
  const result = reissued(() => libc().epoll_ctl(epoll.number, C.EPOLL_CTL_ADD, fd.number, event));
  checked("epoll_ctl(EPOLL_CTL_ADD)", fd.what, result);
}

function unregister(epoll: Fd, fd: Fd): void {
  const result = reissued(() => libc().epoll_ctl(epoll.number, C.EPOLL_CTL_DEL, fd.number, null));
  checked("epoll_ctl(EPOLL_CTL_DEL)", fd.what, result);
}

/** The error number of a call on another thread cannot be read here: such a call is made again here. */
async function wait(epoll: Fd, events: DataView<ArrayBuffer>): Promise<number> {
  const { epoll_wait, epoll_wait_elsewhere } = libc();
  const count = await epoll_wait_elsewhere(epoll.number, events, BATCH, FOREVER);
  if (count >= 0) return count;
  const now = reissued(() => epoll_wait(epoll.number, events, BATCH, 0));
  return checked("epoll_wait", epoll.what, now);
}

function tokens(events: DataView<ArrayBuffer>, count: number): bigint[] {
  return Array.from(
    { length: count },
    (_, index) => getBig(events, EVENT.fields.data, index * EVENT.size),
  );
}
