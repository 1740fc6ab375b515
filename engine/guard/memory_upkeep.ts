/**
 * The memory buffer of a guarded controller, over its generations and resets: a reset takes back what
 * enabled it, and whoever has resets a controller past VFIO takes it back too.
 *
 * @module
 */
import { HostNotReadyError, MemoryLostError, RefusedError } from "../errors.ts";
import type { Cause } from "../event.ts";
import { type GuardedDevice, messageOf } from "../guard_context.ts";
import type { HeldGrant } from "../held_grant.ts";
import type { DeviceGrants } from "./device_grants.ts";
import type { Enforcement } from "./enforcement.ts";
import type { Renewals } from "./renewals.ts";
import type { Turns } from "./turns.ts";

/** How long a controller may say nothing, and how often it is asked again, ms. */
const SILENT_MS = 2_000;
const SILENT_EVERY_MS = 100;

/** Looks after one device's buffer, if a rule exports it. */
export class MemoryUpkeep {
  /** Since when the controller says nothing that counts, ms since the epoch. */
  #silentSince: number | undefined;
  /** Calls off the next question to a silent controller. */
  #callOff: (() => void) | undefined;

  /**
   * @param device whose buffer
   * @param turns at it
   * @param grants of it
   * @param renewals of what has ended, and is made again
   * @param enforcement of the ends of those that have nothing any more
   */
  constructor(
    private readonly device: GuardedDevice,
    private readonly turns: Turns,
    private readonly grants: DeviceGrants,
    private readonly renewals: Renewals,
    private readonly enforcement: Enforcement,
  ) {}

  /**
   * Before anything is exported.
   *
   * @throws {HostNotReadyError} if the buffer is not where the plan has it
   * @throws {RefusedError} if the kernel refuses an access to its registers
   */
  async settle(source = "open"): Promise<void> {
    const { session, record } = this.device;
    const { address, controllerMemory } = session.target;
    if (controllerMemory === undefined) return;
    const what = `ask ${address} for its memory buffer`;
    if (await record.limited(what, session.settleMemory()) !== "enabled") return;
    const { bar, offset, base = 0n } = controllerMemory;
    const detail = `enableCmb: CMBMSC was written (CRE, CMSE, base ${
      hex(base)
    }) for BAR ${bar} at ${hex(offset)}`;
    record.device("memory-enabled", { cause: { source, detail } });
  }

  /**
   * In each later generation, before anything is exported again. A buffer that is not as it was keeps
   * nothing else from being exported: the session refuses what is of the buffer, and says why.
   *
   * @throws what is no refusal
   */
  async reopened(): Promise<void> {
    if (this.#granted.length > 0) await this.#fault("open");
  }

  /**
   * Within a turn, after something that can have reset the device: the buffer is enabled again where
   * the policy lets Bargate; else what was granted of it ends. Under a hold nothing can be read, and
   * nobody can use anything: a new generation follows that, or the end. Nothing is asked or written for
   * a buffer of which nothing is granted any more.
   *
   * @param cause what it was
   */
  async afterReset(cause: Cause): Promise<void> {
    const { session } = this.device;
    const canAsk = session.isOpen && session.held === undefined;
    const fault = canAsk && this.#granted.length > 0 ? await this.#fault(cause.source) : undefined;
    if (fault === undefined) return this.stop();
    if (!this.#counts(fault)) return this.#askAgain(cause);
    this.stop();
    const lost = this.grants.active.filter(isOfBuffer);
    if (lost.length === 0) return;
    const detail = fault.message;
    this.grants.begin(lost, "device-reset", { source: "registers", detail });
    await this.enforcement.enforce();
  }

  /** Asks no more. */
  stop(): void {
    this.#callOff?.();
    this.#callOff = this.#silentSince = undefined;
  }

  /** What needs the buffer: grants of it, those that are being made again included. */
  get #granted(): readonly HeldGrant[] {
    if (this.device.session.target.controllerMemory === undefined) return [];
    return [...this.grants.active, ...this.renewals.renewing].filter(isOfBuffer);
  }

  /** @returns why the buffer is not as it was; undefined if it is */
  async #fault(source: string): Promise<HostNotReadyError | RefusedError | undefined> {
    try {
      await this.settle(source);
      return undefined;
    } catch (error) {
      if (error instanceof HostNotReadyError || error instanceof RefusedError) return error;
      throw error;
    }
  }

  /**
   * A reset that others make is seen when it begins: until it is over the controller says nothing that
   * counts. One that goes on to say nothing has lost its buffer.
   */
  #counts(fault: HostNotReadyError | RefusedError): boolean {
    if (fault instanceof MemoryLostError || fault instanceof RefusedError) return true;
    const now = this.device.context.clock.now();
    this.#silentSince ??= now;
    return now - this.#silentSince >= SILENT_MS;
  }

  /** In a turn of its own, so that no end waits for a silent controller. */
  #askAgain(cause: Cause): void {
    const { context: { clock }, record } = this.device;
    this.#callOff?.();
    this.#callOff = clock.after(SILENT_EVERY_MS, () => {
      this.#callOff = undefined;
      this.turns.take(() => this.afterReset(cause)).catch((error: unknown) =>
        record.trouble({ source: "engine", detail: messageOf(error) })
      );
    });
  }
}

function isOfBuffer({ grant: { plan } }: HeldGrant): boolean {
  return plan.rule.region?.value === "nvme.cmb";
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
