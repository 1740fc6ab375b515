/**
 * Every diagnostic that comparing a policy with a host can give: the closed list of `BG2…`.
 * `docs/diagnostics.md` is generated from it.
 *
 * @module
 */
import type { Severity } from "./diagnostic.ts";

/** What a code means. */
export interface HostCodeEntry {
  readonly severity: Severity;
  /** One line: what is wrong. */
  readonly title: string;
  readonly why: string;
  /** What to do. */
  readonly fix: string;
  /** A refusal by policy (exit status 1), not a fact of the host (4). */
  readonly denied: boolean;
}

function fact(title: string, why: string, fix: string): HostCodeEntry {
  return { severity: "error", title, why, fix, denied: false };
}

function refusal(title: string, why: string, fix: string): HostCodeEntry {
  return { severity: "error", title, why, fix, denied: true };
}

/** The closed list. */
export const HOST_CODES = {
  BG2001: fact(
    "No such device",
    "Every field of a device's match must hold for one PCI function of the host.",
    "compare the match with `lspci -nn -D`; an address alone is no identity",
  ),
  BG2002: fact(
    "More than one such device",
    "A match must single out one PCI function, or a slice of the wrong device could leave.",
    "add the address to the match",
  ),
  BG2003: fact(
    "Device on another driver",
    "Only vfio-pci exports BARs as dma-bufs.",
    "bind it: write vfio-pci to its driver_override in sysfs, unbind its driver, and write its address to /sys/bus/pci/drivers_probe",
  ),
  BG2004: fact(
    "No VFIO node",
    "Bargate opens a device by its character device or, where the kernel makes none, by its IOMMU group.",
    "run a kernel with CONFIG_VFIO_DEVICE_CDEV and CONFIG_IOMMUFD, or with CONFIG_VFIO_GROUP",
  ),
  BG2005: fact(
    "BAR not implemented",
    "The BAR has no size, or is the upper half of the 64-bit BAR before it.",
    "name a BAR that the device has (`lspci -v` lists them as regions)",
  ),
  BG2006: fact(
    "BAR is I/O space",
    "Only memory BARs can take part in peer-to-peer DMA.",
    "name a memory BAR",
  ),
  BG2007: fact(
    "BAR smaller than a page",
    "The kernel exports whole pages inside a BAR, so such a BAR can never be exported.",
    "name another BAR",
  ),
  BG2008: fact(
    "Slice past the end of the BAR",
    "What lies behind the BAR belongs to somebody else.",
    "shorten the slice, or write `length: rest`",
  ),
  BG2009: fact(
    "Slice not aligned to the host's pages",
    "The host's page may be larger than the one that the policy was validated with.",
    "use offsets and lengths that are multiples of the host's page, and validate with --page-size",
  ),
  BG2010: fact(
    "Slice touches MSI-X structures",
    "Who can write to the MSI-X table chooses where the device's interrupts go; the kernel would export it without complaint.",
    "leave the page out, or name the range under `allowProtected` with a reason",
  ),
  BG2011: fact(
    "Protected ranges unknown",
    "Where the MSI-X table lies is written in configuration space that only root may read.",
    "run as root",
  ),
  BG2012: fact(
    "Revocation would hit other grants",
    "The kernel takes back a device's buffers all at once, so ending one grant may need to end and renew the others.",
    "accept that with `collateral: device`, or give the device to one grant only",
  ),
  BG2013: refusal(
    "Slice denied",
    "A deny rule always wins, in whichever file it stands and by whatever name it knows the device.",
    "leave the denied range out",
  ),
  BG2014: refusal(
    "Nothing is allowed",
    "What no rule allows is denied.",
    "name the importer under `importers` of an export",
  ),
  BG2015: fact(
    "Kernel too old",
    "Exporting BARs of VFIO devices as dma-bufs came with Linux 6.19.",
    "run Linux 7.1 or later",
  ),
  BG2016: fact(
    "Kernel revokes without waiting",
    "Linux 6.19 to 7.0 do not wait in a revoke until importers have unmapped, so the end of a grant says nothing about DMA in flight.",
    "run Linux 7.1 or later, or accept it with --accept-unwaited-revoke",
  ),
} as const satisfies Readonly<Record<string, HostCodeEntry>>;

/** One of the codes. */
export type HostCode = keyof typeof HOST_CODES;
