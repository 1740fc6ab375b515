/**
 * What a function can do, by its capabilities.
 *
 * Registers: include/uapi/linux/pci_regs.h.
 *
 * @module
 */
import { extendedCapabilities, standardCapabilities } from "./capability_list.ts";

const CAP_EXPRESS = 0x10;
/** PCI_EXP_DEVCAP, and its bit for function level reset. */
const EXPRESS_DEVICE = 4;
const EXPRESS_FUNCTION_RESET = 1 << 28;
const CAP_ADVANCED = 0x13;
/** PCI_AF_CAP, and its bits for pending transactions and function level reset. */
const ADVANCED_CAPABILITIES = 3;
const ADVANCED_RESET = 0x3;
const CAP_RESIZABLE = 0x15;

/**
 * Whether a function can be reset by itself.
 *
 * @param config configuration space, at least 256 bytes
 */
export function hasFunctionReset(config: Uint8Array): boolean {
  const view = viewOf(config);
  return standardCapabilities(config).some(({ id, at }) => {
    if (id === CAP_EXPRESS && at + EXPRESS_DEVICE + 4 <= config.length) {
      return (view.getUint32(at + EXPRESS_DEVICE, true) & EXPRESS_FUNCTION_RESET) !== 0;
    }
    if (id !== CAP_ADVANCED) return false;
    return ((config[at + ADVANCED_CAPABILITIES] ?? 0) & ADVANCED_RESET) === ADVANCED_RESET;
  });
}

/**
 * The BARs whose size can be changed.
 *
 * @param config configuration space, 4096 bytes where the function has them
 * @returns their indexes
 *
 * @example
 * ```ts
 * import { resizableBars } from "./capabilities.ts";
 *
 * const config = new Uint8Array(4096);
 * new DataView(config.buffer).setUint32(0x100, 0x0001_0015, true);
 * config[0x108] = 0x20 | 2; // one of them, BAR 2
 * if (resizableBars(config)[0] !== 2) throw new Error("BAR 2");
 * ```
 */
export function resizableBars(config: Uint8Array): readonly number[] {
  const found = extendedCapabilities(config).find(({ id }) => id === CAP_RESIZABLE);
  if (found === undefined) return [];
  const count = (config[found.at + 8] ?? 0) >>> 5;
  return Array.from({ length: count }, (_, each) => config[found.at + 8 + 8 * each])
    .flatMap((control) => control === undefined ? [] : [control & 7]);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
