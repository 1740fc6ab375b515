/**
 * Config space of a simulated function as VFIO shows it: where the capabilities are that its rules
 * are about, and how a write is cut up.
 *
 * @module
 */
const CAPABILITIES = 0x34;
const EXTENDED_CAPABILITIES_FROM = 0x40;

/** Capability ids (include/uapi/linux/pci_regs.h). */
export const CAPABILITY = { powerManagement: 0x01, pciExpress: 0x10, msix: 0x11 } as const;

/**
 * @param config at least 256 bytes
 * @param id of the capability
 * @returns where it starts; absent: the function has none
 */
export function findCapability(config: Uint8Array, id: number): number | undefined {
  const seen = new Set<number>();
  for (let at = config[CAPABILITIES] ?? 0; at >= EXTENDED_CAPABILITIES_FROM && !seen.has(at);) {
    if (config[at] === id) return at;
    seen.add(at);
    at = config[at + 1] ?? 0;
  }
  return undefined;
}

/** A part of a write that is one access. */
export interface ConfigWrite {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/**
 * Cuts a write up into aligned accesses of four, two and one bytes (`vfio_pci_config_rw_single`).
 *
 * @param at first byte
 * @param bytes what is written
 */
export function* configWrites(at: number, bytes: Uint8Array): Generator<ConfigWrite> {
  for (let done = 0; done < bytes.length;) {
    const [place, left] = [at + done, bytes.length - done];
    const size = left >= 4 && place % 4 === 0 ? 4 : left >= 2 && place % 2 === 0 ? 2 : 1;
    yield { at: place, bytes: bytes.subarray(done, done + size) };
    done += size;
  }
}
