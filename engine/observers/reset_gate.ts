/**
 * The gate before resets, by consent (`--gate-resets`): who opens a `reset` file of sysfs waits until
 * the grants that a reset ends have ended. The kernel lets everybody pass when Bargate is gone.
 *
 * @module
 */
import { closeAll } from "../close_all.ts";
import type { Clock } from "../clock.ts";
import type { Cause } from "../event.ts";
import type { Fd } from "../fd.ts";
import type { GateEvent } from "../kernel.ts";
import { KernelError } from "../kernel_error.ts";
import type { Observer, ObserverContext } from "./observation.ts";
import { stopAll } from "./stop_all.ts";
import { whenReadable } from "./when_readable.ts";

/** What a gate needs from around it. */
export interface GateContext extends ObserverContext {
  readonly clock: Pick<Clock, "after">;
  /** Ends what a reset of these devices ends. Resolves when that is seen. */
  readonly beforeReset: (devices: readonly string[], cause: Cause) => Promise<void>;
  /** Takes that a reset could not wait any longer. */
  readonly late: (cause: Cause) => void;
}

/** How long a reset waits at most, ms. A writer that hangs would be worse than an end that is late. */
const LIMIT_MS = 5_000;

/** One file with its gate. */
interface Gate {
  readonly fd: Fd;
  readonly devices: Set<string>;
  readonly observer: Observer;
}

/** Gates before any number of files. */
export class ResetGate implements Observer {
  readonly #gates = new Map<string, Gate>();
  /** Opens that wait, each with what lets it pass. */
  readonly #waiting = new Map<Fd, () => void>();

  /** @param context takes what is seen */
  constructor(private readonly context: GateContext) {}

  /**
   * Puts gates before the reset files of one more device.
   *
   * @param device its address
   * @param paths those that are not there are left out
   * @throws {KernelError} EPERM without CAP_SYS_ADMIN; EINVAL where the kernel has no such gates
   */
  add(device: string, paths: readonly string[]): void {
    for (const path of paths) {
      const gate = this.#gates.get(path) ?? this.#open(path);
      gate?.devices.add(device);
    }
  }

  stop(): void {
    const gates = [...this.#gates.values()].map(({ observer }) => observer);
    const waiting = [...this.#waiting];
    this.#gates.clear();
    this.#waiting.clear();
    try {
      // Whoever waits passes when the gate has gone.
      stopAll(gates);
    } finally {
      for (const [, callOff] of waiting) callOff();
      closeAll(this.context.kernel, waiting.map(([fd]) => fd));
    }
  }

  #open(path: string): Gate | undefined {
    const { kernel } = this.context;
    let fd: Fd;
    try {
      fd = kernel.openGate(path);
    } catch (error) {
      if (error instanceof KernelError && error.errnoName === "ENOENT") return undefined;
      throw error;
    }
    const devices = new Set<string>();
    const observer = whenReadable(this.context, fd, () => {
      for (const event of kernel.readGate(fd)) this.#take(event, fd, path, devices);
    });
    const gate: Gate = { fd, devices, observer };
    this.#gates.set(path, gate);
    return gate;
  }

  /** That the file was closed, or that such a message was lost, changes nothing: nobody waits. */
  #take(event: GateEvent, gate: Fd, path: string, devices: ReadonlySet<string>): void {
    if (event === "overrun" || event.kind === "closed") return;
    const { waiting, pid } = event;
    const cause: Cause = {
      source: "reset-gate",
      detail: `process ${pid} has opened ${path}, and waits`,
    };
    this.#hold(gate, waiting, [...devices], cause);
  }

  #hold(gate: Fd, waiting: Fd, devices: readonly string[], cause: Cause): void {
    const { clock, beforeReset, late, failed } = this.context;
    const callOff = clock.after(LIMIT_MS, () => {
      late({ ...cause, detail: `${cause.detail}: let through after ${LIMIT_MS / 1000} s` });
      this.#pass(gate, waiting);
    });
    this.#waiting.set(waiting, callOff);
    beforeReset(devices, cause).catch(failed).finally(() => this.#pass(gate, waiting));
  }

  #pass(gate: Fd, waiting: Fd): void {
    const callOff = this.#waiting.get(waiting);
    if (callOff === undefined) return;
    callOff();
    this.#waiting.delete(waiting);
    try {
      this.context.kernel.answerGate(gate, waiting, true);
    } catch (error) {
      this.context.failed(error);
    }
  }
}
