/**
 * Processes of the simulation, and the pidfds that stand for them.
 *
 * @module
 */
import type { ProcessIdentity } from "../engine/kernel.ts";
import type { SimFile } from "./file_table.ts";

/** What a test says of a process. */
export type SimProcessFacts =
  & Pick<ProcessIdentity, "pid" | "uid" | "gid">
  & Partial<ProcessIdentity>;

/** A process. */
export class SimProcess {
  /** Hashes of executables cost time; a test says what they are. */
  readonly identity: ProcessIdentity;
  exited = false;
  readonly #listeners = new Set<() => void>();

  constructor(facts: SimProcessFacts) {
    const executable = { path: "/bin/true", device: 1n, inode: BigInt(facts.pid) };
    this.identity = { groups: [], executable, ...facts };
  }

  /** Calls back when it ends, at once where it has. @returns stops that */
  onExit(listener: () => void): () => void {
    this.#listeners.add(listener);
    if (this.exited) listener();
    return () => this.#listeners.delete(listener);
  }

  /** Ends it: its descriptors are closed before. */
  end(): void {
    this.exited = true;
    for (const listener of this.#listeners) listener();
  }
}

/** A pidfd. */
export class SimPidfd implements SimFile {
  readonly kind = "pidfd";
  references = 0;
  constructor(readonly process: SimProcess) {}
  release(): void {}
}
