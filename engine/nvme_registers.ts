/**
 * The registers of an open NVMe controller that say where its memory is, and that enable its memory
 * buffer. They are in BAR 0, and are read and written through the device's own descriptor.
 *
 * @module
 */
import {
  baseIsInvalid,
  CMB_REGISTERS,
  controllerMemoryOf,
  enablingControl,
  showingControl,
} from "../host/nvme_cmb.ts";
import { hasPersistentMemory, persistentMemoryOf, PMR_REGISTERS } from "../host/nvme_pmr.ts";
import type { ControllerMemory, PersistentMemory } from "../host/snapshot.ts";
import { HostNotReadyError, RefusedError } from "./errors.ts";
import type { Fd } from "./fd.ts";
import type { Lane } from "./kernel.ts";
import { explained, undo } from "./refusal.ts";

/** BAR of the controller's registers. */
export const REGISTERS_BAR = 0;

/** A register of 32 bits, or half of one of 64. */
interface Register {
  readonly offset: bigint;
  /** Bytes. */
  readonly length: number;
}

/** Registers of one controller. */
export class NvmeRegisters {
  /**
   * @param lane of the device
   * @param device open
   * @param address of it, for messages
   */
  constructor(
    private readonly lane: Lane,
    private readonly device: Fd,
    private readonly address: string,
  ) {}

  /**
   * Reads where the memory buffer is. Writes nothing.
   *
   * @throws {RefusedError} if the kernel refuses the read
   * @throws {HostNotReadyError} if the registers make no sense
   */
  async memory(): Promise<ControllerMemory> {
    const answer = controllerMemoryOf(
      await this.#capabilities(),
      await this.#both(CMB_REGISTERS.location, CMB_REGISTERS.size),
    );
    if (answer.is === "read") return answer.memory;
    throw new HostNotReadyError(
      `Cannot tell where the memory of ${this.address} is: ${answer.why}`,
    );
  }

  /**
   * Reads whether there is a persistent memory region. Writes nothing.
   *
   * @returns undefined if its registers make no sense
   * @throws {RefusedError} if the kernel refuses the read
   */
  async persistent(): Promise<PersistentMemory | undefined> {
    if (!hasPersistentMemory(await this.#capabilities())) return { state: "none" };
    return persistentMemoryOf(
      await this.#both(PMR_REGISTERS.capabilities, PMR_REGISTERS.control),
    );
  }

  /**
   * Has a buffer told that is not enabled: writes CRE, reads, and writes back what was there. Nothing
   * is enabled by that.
   *
   * @returns where it will be once it is enabled
   * @throws {RefusedError} if the kernel refuses
   * @throws {HostNotReadyError} if the registers make no sense
   */
  async shown(): Promise<ControllerMemory> {
    const before = await this.#read(CMB_REGISTERS.control);
    const putBack = () => this.#write(CMB_REGISTERS.control, before);
    await this.#write(CMB_REGISTERS.control, showingControl());
    let memory: ControllerMemory;
    try {
      memory = await this.memory();
    } catch (error) {
      return await undo(error, putBack);
    }
    await putBack();
    return memory.state === "enabled" ? { ...memory, state: "disabled" } : memory;
  }

  /**
   * Enables the buffer: what it is mapped at for the controller, the upper half first, then CRE and
   * CMSE.
   *
   * @param base address on the bus of the buffer's first byte
   * @returns where it says that it is
   * @throws {RefusedError} if the kernel refuses, or the controller does not accept the address
   * @throws {HostNotReadyError} if the registers make no sense
   */
  async enable(base: bigint): Promise<ControllerMemory> {
    const { upper, lower } = enablingControl(base);
    await this.#write(CMB_REGISTERS.controlUpper, upper);
    await this.#write(CMB_REGISTERS.control, lower);
    if (baseIsInvalid(await this.#read(CMB_REGISTERS.status))) {
      throw new RefusedError(
        `Cannot enable the memory buffer of ${this.address}: it does not accept the address 0x${
          base.toString(16)
        } (CMBSTS.CBAI)`,
      );
    }
    return await this.memory();
  }

  #capabilities(): Promise<Uint8Array> {
    return this.#both(CMB_REGISTERS.capabilities, CMB_REGISTERS.capabilitiesUpper);
  }

  /** One after the other: what an access that spans two registers does is undefined. */
  async #both(lower: Register, upper: Register): Promise<Uint8Array> {
    const bytes = new Uint8Array(lower.length + upper.length);
    bytes.set(await this.#read(lower));
    bytes.set(await this.#read(upper), lower.length);
    return bytes;
  }

  async #read({ offset, length }: Register): Promise<Uint8Array> {
    return await explained(
      `read the registers of ${this.address}`,
      () => this.lane.readRegion(this.device, REGISTERS_BAR, offset, length),
    );
  }

  async #write({ offset }: Register, bytes: Uint8Array): Promise<void> {
    await explained(
      `write the register CMBMSC of ${this.address}`,
      () => this.lane.writeRegion(this.device, REGISTERS_BAR, offset, bytes),
    );
  }
}
