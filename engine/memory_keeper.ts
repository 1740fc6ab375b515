/**
 * Makes sure that an open controller's memory buffer is where the plan has it: when it is opened, and
 * again after each reset, for a reset takes back what enabled it. While that is not sure nothing of the
 * buffer is exported.
 *
 * The bits that enable it are not taken back when the device is given up: the close resets the function,
 * where it can be reset, and until then buffers can be in use.
 *
 * @module
 */
import { barAddress, BASE_ADDRESSES_BYTES, PCI_BASE_ADDRESSES } from "../host/bar_address.ts";
import type { ControllerMemory, MemoryPlace } from "../host/snapshot.ts";
import { HostNotReadyError, MemoryLostError, RefusedError } from "./errors.ts";
import type { Fd } from "./fd.ts";
import type { DmaRange, Lane } from "./kernel.ts";
import { NvmeRegisters } from "./nvme_registers.ts";
import type { PlannedMemory } from "./planned_memory.ts";
import { explained } from "./refusal.ts";

/** `VFIO_PCI_CONFIG_REGION_INDEX` */
const CONFIG_REGION = 7;

/** What was found, or done. */
export type Settled = "as-planned" | "enabled";

/** Looks after one device's buffer. */
export class MemoryKeeper {
  /** Why nothing of the buffer can be exported. */
  #fault: HostNotReadyError | RefusedError | undefined;
  /** It was as planned once: from then on a reset may have taken the enabling back. */
  #wasSettled = false;

  /**
   * @param lane of the device
   * @param address of it
   * @param planned what the controller must say
   */
  constructor(
    private readonly lane: Lane,
    private readonly address: string,
    private readonly planned: PlannedMemory,
  ) {
    this.#fault = this.#unread("its registers have not been read");
  }

  /**
   * Reads the registers, and enables the buffer if that is planned or was lost, and the policy lets
   * Bargate.
   *
   * @param device open
   * @throws {MemoryLostError} if it is not as planned, and cannot be made so
   * @throws {HostNotReadyError} if the registers make no sense, or say that there is none: as they can
   *   while the device is being reset
   * @throws {RefusedError} if the kernel refuses an access
   */
  async settle(device: Fd): Promise<Settled> {
    this.#fault = this.#unread("its registers could not be read");
    try {
      const settled = await this.#settle(device);
      this.#fault = undefined;
      this.#wasSettled = true;
      return settled;
    } catch (error) {
      if (error instanceof HostNotReadyError || error instanceof RefusedError) {
        this.#fault = error;
      }
      throw error;
    }
  }

  /**
   * @param bar of an export
   * @param ranges of it
   * @throws {RefusedError} if they touch the buffer, and it is not sure where it is; its cause is why
   */
  check(bar: number, ranges: readonly DmaRange[]): void {
    const { planned } = this;
    const touched = bar === planned.bar &&
      ranges.some(({ offset, length }) =>
        offset < planned.offset + planned.size && planned.offset < offset + length
      );
    const cause = this.#fault;
    if (touched && cause !== undefined) throw new RefusedError(cause.message, { cause });
  }

  #unread(why: string): RefusedError {
    return new RefusedError(`${this.#cannot}: ${why}`);
  }

  async #settle(device: Fd): Promise<Settled> {
    const { planned } = this;
    const registers = new NvmeRegisters(this.lane, device, this.address);
    const memory = await registers.memory();
    // What was there is not taken away: a controller says so while it is being reset.
    if (memory.state === "none") throw new HostNotReadyError(this.#told(memory));
    const asPlanned = this.#wasSettled || memory.state === planned.state;
    if (memory.state === "enabled" && asPlanned) {
      this.#checkPlace(memory);
      return "as-planned";
    }
    if (memory.state !== "disabled" || !asPlanned || !planned.mayEnable) throw this.#drift(memory);
    const { base } = planned;
    if (base === undefined) {
      const why = `where BAR ${planned.bar} is on the bus is not known`;
      throw new MemoryLostError(`${this.#cannot}: ${why}`);
    }
    await this.#checkBase(device, base);
    this.#checkPlace(await registers.enable(base));
    return "enabled";
  }

  /** A BAR that was moved since it was planned would have the controller take others' addresses. */
  async #checkBase(device: Fd, base: bigint): Promise<void> {
    const { bar, offset } = this.planned;
    const bytes = await explained(
      `read where BAR ${bar} of ${this.address} is`,
      () =>
        this.lane.readRegion(
          device,
          CONFIG_REGION,
          BigInt(PCI_BASE_ADDRESSES),
          BASE_ADDRESSES_BYTES,
        ),
    );
    const start = barAddress(bytes, bar);
    if (start !== undefined && start + offset === base) return;
    const found = start === undefined ? "nowhere" : hex(start);
    throw new MemoryLostError(
      `${this.#cannot}: BAR ${bar} is at ${found} on the bus, and was planned at ${
        hex(base - offset)
      }`,
    );
  }

  #checkPlace(memory: ControllerMemory): void {
    const { planned } = this;
    const same = "bar" in memory && memory.bar === planned.bar &&
      memory.offset === planned.offset && memory.size === planned.size;
    if (!same) throw this.#drift(memory);
  }

  #drift(memory: ControllerMemory): MemoryLostError {
    const enable = memory.state === "disabled" && !this.planned.mayEnable
      ? "; the policy does not let Bargate enable it (enableCmb: true)"
      : "";
    return new MemoryLostError(`${this.#told(memory)}${enable}`);
  }

  #told(memory: ControllerMemory): string {
    const planned = textOf(this.planned);
    return `${this.#cannot}: by its registers it is ${
      textOf(memory)
    }, and was planned as ${planned}`;
  }

  get #cannot(): string {
    return `Cannot export the memory buffer of ${this.address}`;
  }
}

function textOf(memory: ControllerMemory | PlannedMemory): string {
  const state = memory.state === "none"
    ? "not there"
    : memory.state === "disabled"
    ? "not enabled"
    : "enabled";
  return "bar" in memory ? `${state}, ${placeText(memory)}` : state;
}

function placeText({ bar, offset, size }: MemoryPlace): string {
  return `BAR ${bar} [${hex(offset)}, +${hex(size)})`;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
