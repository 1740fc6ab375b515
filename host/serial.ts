/**
 * The Device Serial Number of a function: eight bytes that say which one of a model it is (PCI
 * Express Base Specification 6.0, 7.9.3). It stands in extended configuration space, which only a
 * privileged reader sees.
 *
 * @module
 */
import { NO_RIGHT, type SnapshotFunction } from "./snapshot.ts";
import { capabilityPlace } from "./config_space.ts";

/** What is known of a function's serial number. */
export type Serial =
  /** Two lower-case hexadecimal digits a byte, most significant first, joined by `-`: as lspci. */
  | { readonly is: "known"; readonly serial: string }
  /** The function has none. */
  | { readonly is: "none" }
  /** Nobody can tell from these bytes; with no right (`NO_RIGHT`) from any that the function gives. */
  | { readonly is: "unreadable"; readonly bytes: number; readonly right: string };

/** Conventional configuration space; what follows is the extended one. */
const CONVENTIONAL_BYTES = 256;
/** All of configuration space, where it is extended. */
const EXTENDED_BYTES = 4096;
const PCI_CAP_ID_EXP = 0x10;
const PCI_EXT_CAP_ID_DSN = 0x03;
/** PCI_EXT_CAP_DSN_SIZEOF */
const DSN_BYTES = 12;
/** The smallest capability has eight bytes. */
const MOST_CAPABILITIES = (EXTENDED_BYTES - CONVENTIONAL_BYTES) / 8;
/** The right that reading beyond the header takes. */
const RIGHT = "CAP_SYS_ADMIN";
/** What a function answers that is gone, or has no power. */
const NO_ANSWER = 0xffff_ffff;

/**
 * Reads the serial number out of configuration space. Of a chain that loops, or leads
 * out of extended space, nobody can tell what it would have held: a deny by serial number must not fall
 * away with it. So it is where the function did not answer.
 *
 * @param config of one function, as many bytes of it as could be read
 * @returns the number, or why there is none
 *
 * @example
 * ```ts
 * import { serialOf } from "./serial.ts";
 *
 * const config = new Uint8Array(4096);
 * const view = new DataView(config.buffer);
 * view.setUint32(0x100, 0x0001_0003, true); // Device Serial Number, version 1, the last capability
 * view.setUint32(0x104, 0xffa0_1234, true); // lower half
 * view.setUint32(0x108, 0x001b_21ff, true); // upper half
 * const found = serialOf({ config });
 * if (found.is !== "known" || found.serial !== "00-1b-21-ff-ff-a0-12-34") throw new Error("wrong");
 * if (serialOf({ config: config.slice(0, 64) }).is !== "unreadable") throw new Error("wrong");
 * ```
 */
export function serialOf({ config }: Pick<SnapshotFunction, "config">): Serial {
  const unreadable: Serial = { is: "unreadable", bytes: config.length, right: RIGHT };
  if (config.length < CONVENTIONAL_BYTES) return unreadable;
  if (config.length === CONVENTIONAL_BYTES) {
    // Only PCI Express has more, and there is a reader who did not see it.
    return capabilityPlace(config, PCI_CAP_ID_EXP) === "absent" ? { is: "none" } : unreadable;
  }
  const broken: Serial = { is: "unreadable", bytes: config.length, right: NO_RIGHT };
  const view = new DataView(config.buffer, config.byteOffset, config.byteLength);
  let at = CONVENTIONAL_BYTES;
  for (let seen = 0; seen < MOST_CAPABILITIES; seen++) {
    if (at + 4 > config.length) return unreadable;
    const header = view.getUint32(at, true);
    if (header === NO_ANSWER) return broken;
    if ((header & 0xffff) === PCI_EXT_CAP_ID_DSN) {
      return at + DSN_BYTES > config.length ? unreadable : { is: "known", serial: text(view, at) };
    }
    at = (header >>> 20) & ~3;
    if (at === 0) return { is: "none" };
    if (at < CONVENTIONAL_BYTES) return broken;
  }
  return broken;
}

function text(view: DataView, at: number): string {
  const bytes = Array.from({ length: 8 }, (_, index) => view.getUint8(at + 11 - index));
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("-");
}
