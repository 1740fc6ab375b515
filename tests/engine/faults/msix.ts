/**
 * The pages of a device's interrupts, read from its registers alone: what the engine takes them for is
 * what is tested.
 *
 * @module
 */

/** Bytes of a BAR. */
export interface Pages {
  readonly bar: number;
  readonly offset: bigint;
  readonly length: bigint;
}

const CAPABILITIES = 0x34;
const MSIX = 0x11;
const PAGE = 4096n;
/** Of a table's entry, and of the pending bits of 64 vectors. */
const [ENTRY_BYTES, PENDING_BYTES] = [16n, 8n];
/** Where {@linkcode withMsix} puts the capability: no other is there. */
const AT = 0x80;

/**
 * @param config of a function that has no other capability than MSI-X
 * @returns its table and its pending bits, in whole pages
 */
export function protectedPages(config: Uint8Array): readonly Pages[] {
  const view = new DataView(config.buffer, config.byteOffset);
  const at = config[CAPABILITIES] ?? 0;
  if (at === 0 || config[at] !== MSIX) return [];
  const vectors = BigInt((view.getUint16(at + 2, true) & 0x7ff) + 1);
  return [
    wholePages(view.getUint32(at + 4, true), vectors * ENTRY_BYTES),
    wholePages(view.getUint32(at + 8, true), (vectors + 63n) / 64n * PENDING_BYTES),
  ];
}

function wholePages(register: number, bytes: bigint): Pages {
  const offset = BigInt(register & ~7);
  const start = offset / PAGE * PAGE;
  const end = (offset + bytes + PAGE - 1n) / PAGE * PAGE;
  return { bar: register & 7, offset: start, length: end - start };
}

/** @returns a copy with an MSI-X capability, whose table and pending bits are there */
export function withMsix(config: Uint8Array, bar: number, offset: number): Uint8Array {
  const copy = new Uint8Array(config);
  const view = new DataView(copy.buffer);
  // Status: there is a list of capabilities.
  copy[6] = (copy[6] ?? 0) | 0x10;
  copy[CAPABILITIES] = AT;
  copy[AT] = MSIX;
  view.setUint16(AT + 2, 7, true);
  view.setUint32(AT + 4, offset | bar, true);
  view.setUint32(AT + 8, (offset + 0x800) | bar, true);
  return copy;
}
