/**
 * The memory buffer of a guarded controller, over its generations and resets: a reset takes back what
 * enabled it, and whoever has resets a controller past VFIO takes it back too.
 *
 * @module
 */
import { HostNotReadyError, MemoryLostError, RefusedError } from "../errors.ts";
import type { Cause } from "../event.ts";
import type { GuardedDevice } from "../guard_context.ts";
import type { DeviceGrants } from "./device_grants.ts";
import type { Enforcement } from "./enforcement.ts";

/** How long a controller may say nothing, and how often it is asked again, ms. */
const SILENT_MS = 2_000;
const SILENT_EVERY_MS = 100;

/** Looks after one device's buffer, if a rule exports it. */
export class MemoryUpkeep {
  /**
   * @param device whose buffer
   * @param grants of it
   * @param enforcement of the ends of those that have nothing any more
   */
  constructor(
    private readonly device: GuardedDevice,
    private readonly grants: DeviceGrants,
    private readonly enforcement: Enforcement,
  ) {}

  /**
   * In each generation, before anything is exported.
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
   * Within a turn, after something that can have reset the device: the buffer is enabled again where
   * the policy lets Bargate; else what was granted of it ends. Under a hold nothing can be read, and
   * nobody can use anything: a new generation follows that, or the end.
   *
   * @param cause what it was
   */
  async afterReset(cause: Cause): Promise<void> {
    const { session } = this.device;
    const lookedAfter = session.target.controllerMemory !== undefined;
    if (!lookedAfter || !session.isOpen || session.held !== undefined) return;
    const failure = await this.#settleSoon(cause);
    if (failure === undefined) return;
    const lost = this.grants.active.filter(({ grant: { plan } }) =>
      plan.rule.region?.value === "nvme.cmb"
    );
    this.grants.begin(lost, "device-reset", { source: "registers", detail: failure });
    await this.enforcement.enforce();
  }

  /**
   * A reset that others make is seen when it begins: until it is over the controller says nothing that
   * counts.
   *
   * @returns why the buffer is not as it was; undefined if it is
   */
  async #settleSoon({ source }: Cause): Promise<string | undefined> {
    const { clock } = this.device.context;
    const until = clock.now() + SILENT_MS;
    while (true) {
      try {
        await this.settle(source);
        return undefined;
      } catch (error) {
        if (!(error instanceof HostNotReadyError || error instanceof RefusedError)) throw error;
        const counts = error instanceof MemoryLostError || error instanceof RefusedError;
        if (counts || clock.now() >= until) return error.message;
        await new Promise<void>((resolve) => clock.after(SILENT_EVERY_MS, resolve));
      }
    }
  }
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
