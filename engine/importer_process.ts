/**
 * The process that gets the grants, as the guardian sees it, and the ways to come by one: it is
 * started (`started_program.ts`), or it is there already and is connected to (`connected_peer.ts`).
 *
 * @module
 */
import type { ImporterChannel } from "./channel.ts";
import type { Clock } from "./clock.ts";
import type { Cause, EventType } from "./event.ts";
import type { Fd } from "./fd.ts";
import type { ChildEnd, Kernel } from "./kernel.ts";

/** Why Bargate need not stay for the importer any longer. */
export interface ImporterEnd {
  readonly cause: Cause;
  /** How it ended; only of a program that Bargate started. */
  readonly child?: ChildEnd;
}

/** A process that gets its grants, or has them. */
export interface ImporterProcess {
  readonly name: string;
  readonly channel: ImporterChannel;
  /** How it came to be the importer, for the audit. */
  readonly begun: { readonly type: EventType; readonly cause: Cause };
  /** It was started with its buffers; otherwise each comes with the packet that tells of it. */
  readonly inherits: boolean;
  /** Resolves when Bargate need not stay for it. */
  readonly ended: Promise<ImporterEnd>;
  /** It has closed its end of the channel. */
  hungUp(): void;
  /** Nothing that it was granted stands any more. */
  nothingLeft(): void;
  /**
   * It has been told of all ends: time for it to go.
   *
   * @returns whose end is waited for, if anybody's is
   */
  askToEnd(): AskedProcess | undefined;
  /** Gives back what Bargate holds of it. */
  close(): void;
}

/** A process that was asked to end, and may not do so. */
export interface AskedProcess {
  /** Name of the importer. */
  readonly name: string;
  /** For messages: `process 1234`. */
  readonly who: string;
  /** Ends it whether it wants to or not. @returns false if it had gone */
  kill(): boolean;
}

/** A buffer for a program to be started with. */
export interface GivenBuffer {
  /** Its name in `LISTEN_FDNAMES`. */
  readonly name: string;
  readonly fd: Fd;
}

/** What the guardian lends. */
export interface ImporterContext {
  readonly kernel: Kernel;
  readonly clock: Clock;
  /** Closes a descriptor that came and is not wanted, where it can delay nobody. */
  readonly discard: (fd: Fd) => void;
  /** A packet did not count. */
  readonly refused: (why: string) => void;
  /** Handling a packet failed. */
  readonly onError: (error: unknown) => void;
}

/** A way to come by the importer. */
export interface ImporterSource {
  /** Name of the importer in the policy. */
  readonly name: string;
  /**
   * Makes sure that it will be the right one; before any device is opened to be exported from.
   *
   * @throws what says why not
   */
  meet(context: ImporterContext): Promise<void>;
  /**
   * @param given buffers for a program that is started with them
   * @param context what the guardian lends
   * @returns the process, which from here on is the guardian's to close
   */
  start(given: readonly GivenBuffer[], context: ImporterContext): Promise<ImporterProcess>;
  /** Gives back what `meet` got hold of, if `start` has not handed it on. */
  close(): void;
}
