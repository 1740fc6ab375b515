/**
 * Configuration space from a description: header, capabilities, extended capabilities. Layouts: PCI
 * Express Base Specification; names and ids as in include/uapi/linux/pci_regs.h.
 *
 * @module
 */

/** A capability: where, which, and its bytes behind id and next pointer. */
export interface Capability {
  readonly at: number;
  readonly id: number;
  readonly write: (view: DataView, at: number) => void;
}

/** An extended capability, which has a version too. */
export interface ExtendedCapability extends Capability {
  readonly version: number;
}

/** Power Management, version 3: in D0, and a reset by D3hot would keep the state. */
export function powerManagement(at: number): Capability {
  return {
    at,
    id: 0x01,
    write(view) {
      view.setUint16(at + 2, 0x0003, true);
      view.setUint16(at + 4, 0x0008, true);
    },
  };
}

/** MSI, 64-bit and maskable, off. */
export function msi(at: number): Capability {
  return { at, id: 0x05, write: (view) => view.setUint16(at + 2, 0x0180, true) };
}

/** MSI-X: number of vectors; BAR and offset of the table and of the pending bits. */
export function msix(
  at: number,
  vectors: number,
  table: readonly [bar: number, offset: number],
  pendingBits: readonly [bar: number, offset: number],
): Capability {
  return {
    at,
    id: 0x11,
    write(view) {
      view.setUint16(at + 2, vectors - 1, true);
      view.setUint32(at + 4, table[1] | table[0], true);
      view.setUint32(at + 8, pendingBits[1] | pendingBits[0], true);
    },
  };
}

/** Device/port types of the PCI Express capability. */
export const PORT_TYPE = {
  endpoint: 0x0,
  rootPort: 0x4,
  upstream: 0x5,
  downstream: 0x6,
  rootComplexEndpoint: 0x9,
} as const;

/** What the PCI Express capability says. */
export interface Express {
  readonly type: keyof typeof PORT_TYPE;
  /** Function-level reset. */
  readonly flr?: boolean;
  /** A hot-plug slot is behind the port. */
  readonly slot?: boolean;
  /** 3: 8 GT/s, 4: 16 GT/s, 5: 32 GT/s. */
  readonly speed: number;
  readonly width: number;
}

/** PCI Express, version 2. */
export function express(at: number, { type, flr, slot, speed, width }: Express): Capability {
  return {
    at,
    id: 0x10,
    write(view) {
      view.setUint16(at + 2, 0x2 | (PORT_TYPE[type] << 4) | (slot ? 0x100 : 0), true);
      // 512 bytes of payload, extended tags, role-based error reporting
      view.setUint32(at + 4, (0x8022 | (flr ? 0x1000_0000 : 0)) >>> 0, true);
      view.setUint16(at + 8, 0x2930, true);
      view.setUint32(at + 12, speed | (width << 4), true);
      view.setUint16(at + 18, speed | (width << 4), true);
    },
  };
}

/** Subsystem of a bridge. */
export function bridgeSubsystem(at: number, vendor: number, device: number): Capability {
  return {
    at,
    id: 0x0d,
    write(view) {
      view.setUint16(at + 4, vendor, true);
      view.setUint16(at + 6, device, true);
    },
  };
}

/** Advanced Error Reporting: nothing reported. */
export function advancedErrors(at: number, version = 2): ExtendedCapability {
  return { at, id: 0x01, version, write: () => undefined };
}

/** Vendor-Specific: an empty one. */
export function vendorSpecific(at: number): ExtendedCapability {
  return { at, id: 0x0b, version: 1, write: (view) => view.setUint32(at + 4, 0x0101_0001, true) };
}

/** Device Serial Number: made up, for what has a real one belongs to somebody. */
export function serialNumber(at: number, number: bigint): ExtendedCapability {
  return { at, id: 0x03, version: 1, write: (view) => view.setBigUint64(at + 4, number, true) };
}

/** Bits of Access Control Services. */
export const ACS = {
  sourceValidation: 0x01,
  translationBlocking: 0x02,
  requestRedirect: 0x04,
  completionRedirect: 0x08,
  upstreamForwarding: 0x10,
} as const;

/** What Linux switches on where there is an IOMMU. */
export const ACS_ISOLATED = ACS.sourceValidation | ACS.requestRedirect | ACS.completionRedirect |
  ACS.upstreamForwarding;
/** What is left of it with `pci=disable_acs_redir=`. */
export const ACS_WITHOUT_REDIRECT = ACS.sourceValidation | ACS.upstreamForwarding;

/** Access Control Services: all but egress control and direct translated is possible. */
export function accessControl(at: number, control: number): ExtendedCapability {
  return {
    at,
    id: 0x0d,
    version: 1,
    write(view) {
      view.setUint16(at + 4, 0x1f, true);
      view.setUint16(at + 6, control, true);
    },
  };
}

/** Alternative Routing-ID Interpretation. */
export function alternativeRouting(at: number): ExtendedCapability {
  return { at, id: 0x0e, version: 1, write: () => undefined };
}

/** What the SR-IOV capability says. */
export interface Virtualization {
  readonly total: number;
  readonly enabled: number;
  /** Routing id of the first virtual function, from the physical one's. */
  readonly offset: number;
  readonly stride: number;
  readonly device: number;
}

/** Single Root I/O Virtualization; the BARs of the virtual functions are theirs to say. */
export function virtualization(at: number, { total, ...is }: Virtualization): ExtendedCapability {
  return {
    at,
    id: 0x10,
    version: 1,
    write(view) {
      view.setUint16(at + 0x08, is.enabled > 0 ? 0x9 : 0, true);
      view.setUint16(at + 0x0c, total, true);
      view.setUint16(at + 0x0e, total, true);
      view.setUint16(at + 0x10, is.enabled, true);
      view.setUint16(at + 0x14, is.offset, true);
      view.setUint16(at + 0x16, is.stride, true);
      view.setUint16(at + 0x1a, is.device, true);
      view.setUint32(at + 0x1c, 0x553, true);
      view.setUint32(at + 0x20, 0x1, true);
    },
  };
}

/** Writes the standard list, in the order given. */
export function writeCapabilities(view: DataView, list: readonly Capability[]): void {
  const [first] = list;
  if (first === undefined) return;
  view.setUint16(0x06, view.getUint16(0x06, true) | 0x10, true);
  view.setUint8(0x34, first.at);
  for (const [index, { at, id, write }] of list.entries()) {
    view.setUint8(at, id);
    view.setUint8(at + 1, list[index + 1]?.at ?? 0);
    write(view, at);
  }
}

/** Writes the extended list, in the order given, which begins at 0x100. */
export function writeExtended(view: DataView, list: readonly ExtendedCapability[]): void {
  const [first] = list;
  if (first !== undefined && first.at !== 0x100) {
    throw new RangeError(
      `Cannot begin the extended list elsewhere than 0x100 (received ${first.at})`,
    );
  }
  for (const [index, { at, id, version, write }] of list.entries()) {
    const next = list[index + 1]?.at ?? 0;
    view.setUint32(at, (id | (version << 16) | (next << 20)) >>> 0, true);
    write(view, at);
  }
}
