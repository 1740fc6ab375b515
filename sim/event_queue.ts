/**
 * Files of the simulation from which events are read: a test pushes them.
 *
 * @module
 */
import type { FileEvent, RevokeRecord, Uevent } from "../engine/kernel.ts";
import type { SimFile } from "./file_table.ts";

/** Events that wait to be read. */
export abstract class SimEventQueue<T> implements SimFile {
  references = 0;
  readonly queue: T[] = [];
  onReadable: () => void = () => {};

  /**
   * @param kind what a descriptor of it shows as
   * @param onRelease called when its last reference has gone
   */
  constructor(readonly kind: string, private readonly onRelease: () => void = () => {}) {}

  push(event: T): void {
    this.queue.push(event);
    this.onReadable();
  }

  get readable(): boolean {
    return this.queue.length > 0;
  }

  release(): void {
    this.onRelease();
  }
}

/** A netlink socket. */
export class SimUevents extends SimEventQueue<Uevent | "overrun"> {}

/** An inotify instance. */
export class SimInotify extends SimEventQueue<FileEvent> {}

/** What a kprobe recorded. */
export class SimTrace extends SimEventQueue<RevokeRecord> {}
