/**
 * The list of extended capabilities in configuration space, from its raw bytes. They come from a file
 * that nobody vouches for: the walk is bounded and every read is checked.
 *
 * @module
 */

import { capabilityPlace } from "../config_space.ts";

/** Where a capability is; `absent`: there is none; `unread`: the bytes that would tell are not there. */
export type CapabilityPlace = number | "absent" | "unread";

/** Bytes of configuration space without the extended part, which conventional PCI has not. */
const STANDARD_BYTES = 256;
const PCI_CAP_ID_EXP = 0x10;
/** A capability takes at least eight bytes. */
const MOST_CAPABILITIES = (4096 - STANDARD_BYTES) / 8;
/** What a function answers that is gone, or has no power. */
const NO_ANSWER = 0xffff_ffff;

/**
 * Finds an extended capability.
 *
 * An ordinary user reads 64 bytes of configuration space, and root of a function without extended
 * space 256: the first says nothing about extended capabilities, the second that there are none, unless
 * the function is of PCI Express: then a host bridge, or a reader, has kept them out of sight.
 *
 * @param config configuration space, from its start
 * @param id extended capability id
 * @returns its offset, or why there is none
 *
 * @example
 * ```ts
 * import { findExtendedCapability } from "./extended_capability.ts";
 *
 * const config = new Uint8Array(4096);
 * new DataView(config.buffer).setUint32(0x100, 0x0001_000d, true); // Access Control Services, last
 * if (findExtendedCapability(config, 0x0d) !== 0x100) throw new Error("it is the first");
 * if (findExtendedCapability(config, 0x10) !== "absent") throw new Error("there is no other");
 * if (findExtendedCapability(config.subarray(0, 64), 0x0d) !== "unread") throw new Error("cut off");
 * ```
 */
export function findExtendedCapability(config: Uint8Array, id: number): CapabilityPlace {
  if (config.length < STANDARD_BYTES) return "unread";
  if (config.length === STANDARD_BYTES) {
    // Only PCI Express has more, and then there is a reader who did not see it.
    return capabilityPlace(config, PCI_CAP_ID_EXP) === "absent" ? "absent" : "unread";
  }
  const view = new DataView(config.buffer, config.byteOffset, config.byteLength);
  let at = STANDARD_BYTES;
  for (let seen = 0; seen < MOST_CAPABILITIES && at >= STANDARD_BYTES; seen++) {
    if (at + 4 > config.length) return "unread";
    const header = view.getUint32(at, true);
    if (header === NO_ANSWER) return "unread";
    if (header === 0) return "absent";
    if ((header & 0xffff) === id) return at;
    at = (header >>> 20) & 0xffc;
  }
  return "absent";
}
