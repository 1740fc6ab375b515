/**
 * Snapshots of the guest, taken on a thread of their own. A bridge that is being reset lets whoever
 * reads its configuration space wait, and that reset may wait for a `remove`, which waits for a
 * guardian: on the event loop that guardians live on nobody could go on any more.
 *
 * @module
 */
import type { HostSnapshot } from "../../host/snapshot.ts";
import type { KernelFacts } from "../../host/read_snapshot.ts";

/** What the thread is asked. */
export interface SnapshotRequest {
  readonly id: number;
  readonly kernel: KernelFacts;
  readonly addresses: readonly string[];
}

/** What it answers: one of the two. */
export interface SnapshotAnswer {
  readonly id: number;
  readonly snapshot?: HostSnapshot;
  readonly failure?: string;
}

/** Takes snapshots, one after the other. */
export class Snapshots {
  readonly #worker = new Worker(new URL("./snapshot_worker.ts", import.meta.url), {
    type: "module",
  });
  readonly #asked = new Map<number, PromiseWithResolvers<HostSnapshot>>();
  #next = 1;

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<SnapshotAnswer>) => this.#take(data);
    this.#worker.onerror = (event) => this.#fail(event.message);
  }

  /**
   * Takes one.
   *
   * @param kernel release and page size
   * @param addresses of the functions that are read in full
   */
  take({ release, pageSize }: KernelFacts, addresses: readonly string[]): Promise<HostSnapshot> {
    const id = this.#next++;
    const asked = Promise.withResolvers<HostSnapshot>();
    this.#asked.set(id, asked);
    const request = { id, kernel: { release, pageSize }, addresses };
    this.#worker.postMessage(request satisfies SnapshotRequest);
    return asked.promise;
  }

  /** Ends the thread. */
  end(): void {
    this.#worker.terminate();
    this.#fail("its thread was ended");
  }

  #take({ id, snapshot, failure }: SnapshotAnswer): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (snapshot !== undefined) asked?.resolve(snapshot);
    else asked?.reject(new Error(`Cannot take a snapshot: ${failure}`));
  }

  #fail(why: string): void {
    for (const { reject } of this.#asked.values()) {
      reject(new Error(`Cannot take a snapshot: ${why}`));
    }
    this.#asked.clear();
  }
}
