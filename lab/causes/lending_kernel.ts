/** The kernel port with threads that serve one guardian after another. @module */
import type { HostSnapshot } from "../../host/snapshot.ts";
import type { Lane } from "../../engine/kernel.ts";
import { LaneEndedError } from "../../engine/kernel_error.ts";
import { LinuxKernel } from "../../ffi/linux_kernel.ts";
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
 * Descriptors of the kinds that Bargate uses. Lanes have tables of their own; all other threads share
 * one, which counts once.
 *
 * @returns their names without numbers, sorted
 */
export function ownDescriptors(): readonly string[] {
  const threads = [...Deno.readDirSync("/proc/self/task")].map(({ name }) => name);
  const tables = new Set(threads.map((thread) => tableOf(`/proc/self/task/${thread}/fd`)));
  return [...tables].flatMap((table) => table.split("\n"))
    .map((line) => line.replace(/^\d+ /, "")).filter((target) => OWN.test(target))
    .map((target) => target.replaceAll(/\d+/g, "N")).toSorted();
}

/** One line a descriptor. */
function tableOf(folder: string): string {
  return listed(folder).map(({ name }) => `${name} ${linkOf(`${folder}/${name}`)}`)
    .filter((line) => !line.includes("/proc/")).toSorted().join("\n");
}

/** Threads come and go. */
function listed(folder: string): readonly Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(folder)];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function linkOf(path: string): string | undefined {
  try {
    return Deno.readLinkSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
