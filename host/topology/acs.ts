/**
 * Access Control Services: whether a function sends requests between its neighbours up to the root
 * complex instead of straight on. From the register, never from what something is called.
 *
 * @module
 */
import { findExtendedCapability } from "./extended_capability.ts";

/** A bit of the control register by which peer-to-peer requests do not go straight on. */
export type RedirectBit = "request-redirect" | "completion-redirect" | "egress-control";

/** PCI_EXT_CAP_ID_ACS. */
const PCI_EXT_CAP_ID_ACS = 0x0d;
/** PCI_ACS_CTRL, from the capability's start. */
const PCI_ACS_CTRL = 6;

const BITS: readonly (readonly [RedirectBit, number])[] = [
  ["request-redirect", 0x04],
  ["completion-redirect", 0x08],
  ["egress-control", 0x20],
];

/**
 * Reads the control register.
 *
 * @param config configuration space
 * @returns the register; `absent`: the function has no such capability; `unread`: the bytes that would
 *   tell are not there
 */
export function accessControl(config: Uint8Array): number | "absent" | "unread" {
  const at = findExtendedCapability(config, PCI_EXT_CAP_ID_ACS);
  if (typeof at === "string") return at;
  if (at + PCI_ACS_CTRL + 2 > config.length) return "unread";
  const view = new DataView(config.buffer, config.byteOffset, config.byteLength);
  return view.getUint16(at + PCI_ACS_CTRL, true);
}

/**
 * Which redirecting bits are set. The kernel counts a function with any of the three as one that
 * redirects (`pci_bridge_has_acs_redir` in drivers/pci/p2pdma.c), a bridge or not.
 *
 * @param config configuration space
 * @returns the bits that are set, none if the function has no such capability; undefined if the bytes
 *   that would tell are not there
 */
export function redirectBits(config: Uint8Array): readonly RedirectBit[] | undefined {
  const control = accessControl(config);
  if (control === "unread") return undefined;
  if (control === "absent") return [];
  return BITS.filter(([, bit]) => (control & bit) !== 0).map(([name]) => name);
}
