/**
 * Registers of a simulated NVMe controller, as far as they are about its memory: by the rules of QEMU's
 * `nvme` (7.2), of which no reset takes CMBMSC back.
 *
 * @module
 */
import type { ControllerMemory, PersistentMemory } from "../host/snapshot.ts";

/** What a snapshot tells of a controller's memory. */
export interface SimMemories {
  readonly controllerMemory: ControllerMemory;
  readonly persistentMemory?: PersistentMemory;
}

const BYTES = 0x1000;
const CAP = 0x00;
const CMBLOC = 0x38;
const CMBSZ = 0x3c;
const CMBMSC = 0x50;
const CMBSTS = 0x58;
const PMRCAP = 0xe00;
const PMRCTL = 0xe04;
const CAP_PMRS = 1n << 56n;
const CAP_CMBS = 1n << 57n;
const CRE = 1;
const CMSE = 2;
const ENABLED = 3;
/** Of CMBSTS. */
const CBAI = 1;
const UNITS = 7;
/** What an access can be of: a register of 32 bits, or half of one of 64. */
const REGISTER_BYTES = 4;
const PAGE = 4096n;
/** Values of the fields of offset and size. */
const FIELD_END = 1n << 20n;
const BIR_SHIFT = 5;

/** The first page of BAR 0. */
export class SimNvmeRegisters {
  readonly #bytes = new Uint8Array(BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  #silent = false;
  #refusesBase = false;
  readonly #place: { readonly location: number; readonly size: number };

  /** @param memories of the controller, before anybody writes to it */
  constructor({ controllerMemory: memory, persistentMemory }: SimMemories) {
    this.#place = "bar" in memory ? encoded(memory) : { location: 0, size: 0 };
    const persistent = persistentMemory ?? { state: "none" };
    const capabilities = (memory.state === "none" ? 0n : CAP_CMBS) |
      (persistent.state === "none" ? 0n : CAP_PMRS);
    this.#view.setBigUint64(CAP, capabilities, true);
    if (persistent.state !== "none") {
      this.#view.setUint32(PMRCAP, persistent.bar << BIR_SHIFT, true);
      this.#view.setUint32(PMRCTL, persistent.state === "enabled" ? 1 : 0, true);
    }
    this.control = memory.state === "enabled" ? ENABLED : 0;
  }

  /** While a controller is being reset its registers read as 0. */
  silence(silent: boolean): void {
    this.#silent = silent;
  }

  /** Takes no base address from here on: CMBSTS.CBAI. */
  refuseBase(): void {
    this.#refusesBase = true;
  }

  /** The lower half of CMBMSC. */
  get control(): number {
    return this.#view.getUint32(CMBMSC, true);
  }

  set control(value: number) {
    const shown = (value & CRE) !== 0 && this.#view.getBigUint64(CAP, true) >= CAP_CMBS;
    const refused = this.#refusesBase && (value & CMSE) !== 0;
    this.#view.setUint32(CMBMSC, value, true);
    this.#view.setUint32(CMBSTS, refused ? CBAI : 0, true);
    this.#view.setUint32(CMBLOC, shown ? this.#place.location : 0, true);
    this.#view.setUint32(CMBSZ, shown ? this.#place.size : 0, true);
  }

  /**
   * @returns as many bytes; those behind the registers are 0
   * @throws {RangeError} if they span two registers
   */
  read(offset: bigint, length: number): Uint8Array {
    refuseSpan(offset, length);
    const read = new Uint8Array(length);
    if (offset < BYTES && !this.#silent) {
      read.set(this.#bytes.subarray(Number(offset), Number(offset) + length));
    }
    return read;
  }

  /**
   * Only CMBMSC does anything.
   *
   * @throws {RangeError} if the bytes span two registers
   */
  write(offset: bigint, bytes: Uint8Array): void {
    refuseSpan(offset, bytes.length);
    if (bytes.length < REGISTER_BYTES) return;
    const value = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    const at = Number(offset);
    if (at === CMBMSC + REGISTER_BYTES) this.#view.setUint32(at, value, true);
    if (at === CMBMSC) this.control = value;
  }
}

/**
 * The kernel makes one access of an aligned `pread` of 8 bytes, and what a controller does with one that
 * spans two registers is undefined: nothing of Bargate may make it.
 */
function refuseSpan(offset: bigint, length: number): void {
  const within = Number(offset % BigInt(REGISTER_BYTES));
  if (offset >= BYTES || within + length <= REGISTER_BYTES) return;
  throw new RangeError(
    `Cannot access ${length} bytes at 0x${offset.toString(16)}: they span two registers`,
  );
}

/** What cannot be said in any unit, no controller has. */
function encoded(
  { bar, offset, size }: { bar: number; offset: bigint; size: bigint },
): { location: number; size: number } {
  for (let unit = 0; unit < UNITS; unit++) {
    const bytes = PAGE << BigInt(4 * unit);
    if (offset % bytes !== 0n || size % bytes !== 0n) break;
    const [at, units] = [offset / bytes, size / bytes];
    if (at >= FIELD_END || units >= FIELD_END) continue;
    return {
      location: (Number(at) << 12 | bar) >>> 0,
      size: (Number(units) << 12 | unit << 8) >>> 0,
    };
  }
  return { location: 0, size: 0 };
}
