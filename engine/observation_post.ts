/**
 * All observers of a guardian, opened and stopped together.
 *
 * @module
 */
import type { Files } from "../host/files.ts";
import type { DeviceGuard } from "./device_guard.ts";
import type { EventLog } from "./event.ts";
import { messageOf } from "./guard_context.ts";
import { KernelError } from "./kernel_error.ts";
import type { DeviceTarget } from "./device_target.ts";
import { type DeviceFile, filesOf, resetFilesOf } from "./observers/device_files.ts";
import { observeInterrupts } from "./observers/interrupts.ts";
import type { Observer } from "./observers/observation.ts";
import { type GateContext, ResetGate } from "./observers/reset_gate.ts";
import { whyNotTheHosts } from "./observers/own_sysfs.ts";
import { observeRevokes } from "./observers/revoke_trace.ts";
import { SysfsFiles } from "./observers/sysfs_files.ts";
import { observeUevents } from "./observers/uevents.ts";
import { ready } from "./refusal.ts";

/** What is watched only by consent. */
export interface ObserverChoice {
  /** Let writers of `reset` wait until the grants have ended. Taints the kernel. */
  readonly gateResets?: boolean;
  /** Put a kprobe on the kernel's revoke routine. */
  readonly traceRevokes?: boolean;
}

/** Watches devices. */
export class ObservationPost implements Observer {
  readonly #observers: Observer[] = [];
  #watches: SysfsFiles | undefined;
  #gate: ResetGate | undefined;

  /**
   * @param context takes what is seen
   * @param log is told what cannot be watched
   * @param files procfs, which tells where this process is
   * @param choice what is watched by consent
   */
  constructor(
    private readonly context: GateContext,
    private readonly log: EventLog,
    private readonly files: Files,
    private readonly choice: ObserverChoice = {},
  ) {}

  /**
   * Begins to watch the host.
   *
   * @throws {HostNotReadyError} if something cannot be watched that was asked for
   */
  async open(): Promise<void> {
    const { context } = this;
    this.#attempt("uevents", () => this.#observers.push(observeUevents(context)));
    this.#attempt("sysfs", () => this.#observers.push(this.#watches = new SysfsFiles(context)));
    const elsewhere = whyNotTheHosts(this.files);
    if (elsewhere !== undefined) this.#missing("sysfs", elsewhere);
    if (this.choice.gateResets) this.#observers.push(this.#gate = new ResetGate(context));
    if (!this.choice.traceRevokes) return;
    const trace = await ready("trace revokes", () => observeRevokes(context));
    this.#observers.push(trace);
  }

  /**
   * Watches one more device.
   *
   * @param guard the device, open
   * @throws {HostNotReadyError} if something cannot be watched that was asked for
   * @throws {RefusedError} if its interrupts cannot be armed
   */
  async add(guard: DeviceGuard): Promise<void> {
    const { target } = guard.session;
    const { address } = target;
    const interrupts = await ready(
      `watch the interrupts of ${address}`,
      () => observeInterrupts(this.context, guard),
    );
    this.#observers.push(interrupts);
    if (target.owner !== undefined && !this.choice.traceRevokes) {
      const detail = "resets by the owner are not seen without --trace-revokes";
      this.#missing("revoke-trace", detail, address);
    }
    const refusals = this.#watches?.add(address, [...filesOf(target), ...ownersFiles(target)]) ??
      [];
    if (refusals.length > 0) this.#missing("sysfs", refusals.map(messageOf).join("; "), address);
    await ready(
      `put a gate before the resets of ${address}`,
      () => this.#gate?.add(address, resetFilesOf(target)),
    );
  }

  stop(): void {
    for (const observer of this.#observers.splice(0)) {
      try {
        observer.stop();
      } catch (error) {
        // The others, and what comes after them, must not be left as they are.
        this.context.failed(error);
      }
    }
  }

  /** One observer less is no reason not to export: others see most of it, and this says so. */
  #attempt(source: string, open: () => unknown): void {
    try {
      open();
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#missing(source, messageOf(error));
    }
  }

  #missing(source: string, detail: string, device?: string): void {
    this.log.record({
      type: "unobserved",
      ...(device === undefined ? {} : { device }),
      cause: { source, detail },
    });
  }
}

/**
 * Of a borrowed device the owner's close is news. The event comes with the last copy's close and
 * before the kernel's release of it; what follows from it is a look.
 */
function ownersFiles({ owner, route, node }: DeviceTarget): readonly DeviceFile[] {
  if (owner === undefined || route !== "cdev") return [];
  return [{ path: node, event: "close-write", kind: "look" }];
}
