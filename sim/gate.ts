/**
 * fanotify's permission gate in the simulation.
 *
 * @module
 */
import { SimEventQueue } from "./event_queue.ts";
import type { SimFile } from "./file_table.ts";

/** Somebody's open that waits; it passes when nobody is left to answer. */
export class SimHeldOpen implements SimFile {
  readonly kind = "fanotify event";
  references = 0;
  /** Resolves to whether the open may go on. */
  readonly passed: Promise<boolean>;
  readonly #resolve: (allow: boolean) => void;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.passed = promise;
    this.#resolve = resolve;
  }

  /** The first answer counts. */
  answer(allow: boolean): void {
    this.#resolve(allow);
  }

  /** An event's descriptor can be closed without an answer: the kernel then waits for the gate. */
  release(): void {}
}

/** An event on its way to the gate's owner. */
export type SimGateEvent =
  | { readonly kind: "open"; readonly pid: number; readonly waiting: SimHeldOpen }
  | { readonly kind: "closed"; readonly pid: number }
  | "overrun";

/** A gate before a path. */
export class SimGate extends SimEventQueue<SimGateEvent> {
  readonly #held = new Set<SimHeldOpen>();

  /** Another process opens the file. @returns whether it may */
  open(pid: number): Promise<boolean> {
    const waiting = new SimHeldOpen();
    this.#held.add(waiting);
    this.push({ kind: "open", pid, waiting });
    return waiting.passed;
  }

  override release(): void {
    super.release();
    for (const held of this.#held) held.answer(true);
  }
}
