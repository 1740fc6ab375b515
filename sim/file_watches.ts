/**
 * inotify in the simulation: a test says what happens to a path.
 *
 * @module
 */
import type { FileEventKind } from "../engine/kernel.ts";
import { SimInotify } from "./event_queue.ts";

interface SimWatch {
  readonly id: number;
  readonly path: string;
  readonly kinds: readonly FileEventKind[];
}

/** All inotify instances. */
export class SimFileWatches {
  readonly #instances = new Map<SimInotify, SimWatch[]>();
  #nextId = 1;

  open(): SimInotify {
    const queue: SimInotify = new SimInotify(
      "inotify",
      () => this.#instances.delete(queue),
    );
    this.#instances.set(queue, []);
    return queue;
  }

  /** The later call for a path says what its watch tells. */
  add(queue: SimInotify, path: string, kinds: readonly FileEventKind[]): number {
    const watches = this.#instances.get(queue) ?? [];
    const id = watches.find((watch) => watch.path === path)?.id ?? this.#nextId++;
    const others = watches.filter((watch) => watch.id !== id);
    this.#instances.set(queue, [...others, { id, path, kinds }]);
    return id;
  }

  /** @returns whether there was such a watch */
  remove(queue: SimInotify, id: number): boolean {
    const watches = this.#instances.get(queue) ?? [];
    const others = watches.filter((watch) => watch.id !== id);
    if (others.length === watches.length) return false;
    this.#instances.set(queue, others);
    queue.push({ watch: id, kind: "ignored" });
    return true;
  }

  /** Something happens to a file. */
  tell(path: string, kind: FileEventKind): void {
    for (const [queue, watches] of this.#instances) {
      for (const watch of watches) {
        if (watch.path === path && watch.kinds.includes(kind)) {
          queue.push({ watch: watch.id, kind });
        }
      }
    }
  }

  /** The kernel loses events of every instance. */
  overrun(): void {
    for (const queue of this.#instances.keys()) queue.push("overrun");
  }
}
