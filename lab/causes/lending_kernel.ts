/** The kernel port with threads that serve one guardian after another. @module */
import type { HostSnapshot } from "../../host/snapshot.ts";
import type { Lane } from "../../engine/kernel.ts";
import { LaneEndedError } from "../../engine/kernel_error.ts";
import { LinuxKernel } from "../../ffi/linux_kernel.ts";
import { openInAllTables } from "../guest/descriptor_tables.ts";
import { Snapshots } from "./snapshots.ts";

/**
 * A thread's start takes the laboratory's machine longer than all else in a round, so lanes that have
 * ended are lent again. What an ended lane left open is then not closed with its thread, and so is
 * seen by who looks: nothing must be.
 */
export class LendingKernel extends LinuxKernel {
  readonly #free: Lane[] = [];
  readonly #all: Lane[] = [];
  readonly #snapshots = new Snapshots();

  /** Takes a snapshot of the guest. @param addresses of the functions that are read in full */
  snapshot(addresses: readonly string[]): Promise<HostSnapshot> {
    return this.#snapshots.take(this, addresses);
  }

  override openLane(name: string): Lane {
    const lane = this.#free.pop() ?? this.#start(name);
    return lent(lane, name, () => this.#free.push(lane));
  }

  #start(name: string): Lane {
    const lane = super.openLane(name);
    this.#all.push(lane);
    return lane;
  }

  /**
   * Starts threads before they are needed.
   *
   * @param count how many
   */
  async warm(count: number): Promise<void> {
    const lanes = Array.from({ length: count }, (_, index) => this.openLane(`spare ${index}`));
    await Promise.all(lanes.map(async (lane) => {
      await lane.close(await lane.openNode("/dev/null"));
      await lane.end();
    }));
  }

  /** Ends the threads. */
  async end(): Promise<void> {
    this.#snapshots.end();
    await Promise.all(this.#all.splice(0).map((lane) => lane.end()));
    await this.idle();
  }
}

/** The lane until it ends; after that whoever asks is told that it has. */
function lent(lane: Lane, name: string, giveBack: () => void): Lane {
  let over = false;
  const end = () => {
    if (!over) giveBack();
    over = true;
    return Promise.resolve();
  };
  return new Proxy(lane, {
    get(_target, key) {
      if (key === "end") return end;
      const value: unknown = Reflect.get(lane, key, lane);
      if (typeof value !== "function") return value;
      return (...args: readonly unknown[]): unknown =>
        over
          ? Promise.reject(new LaneEndedError(name, "it has ended"))
          : Reflect.apply(value, lane, args);
    },
  });
}

const OWN = /^\/dmabuf:|^\/dev\/vfio\/|^\/dev\/iommu$|inotify|pidfd|^socket:/;

/**
 * Descriptors of the kinds that Bargate uses, in the tables of all threads.
 *
 * @returns their names without numbers, sorted
 */
export function ownDescriptors(): readonly string[] {
  return openInAllTables().filter((target) => OWN.test(target));
}
