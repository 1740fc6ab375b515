/**
 * The checked meaning of policies: what parsing and checking leave behind, and all that later
 * layers see of a policy file. Every number is exact (`bigint`, bytes); everything is immutable.
 *
 * @module
 */
import type { Span } from "./position.ts";

/** A value together with the place in the policy file where it is written. */
export interface Placed<T> {
  readonly value: T;
  readonly at: Span;
}

/** `[offset, offset + length)` of one BAR, in bytes; `rest` runs to the end of the BAR. */
export interface SliceRule {
  readonly offset: bigint;
  readonly length: bigint | "rest";
  readonly at: Span;
}

/** Which PCI function a rule's device is. Every field given must hold; a list holds if one of it does. */
export interface DeviceMatch {
  /** `vvvv:dddd`, lower case hexadecimal. */
  readonly id?: readonly string[];
  /** `dddd:bb:dd.f`, lower case. */
  readonly address?: readonly string[];
  /** `vvvv:dddd` of the subsystem. */
  readonly subsystem?: readonly string[];
  /** Six hexadecimal digits of the class code, or a prefix of two or four. */
  readonly class?: readonly string[];
  /** Device Serial Number: eight bytes, two lower-case hexadecimal digits each, joined by `-`. */
  readonly serial?: readonly string[];
  /** Kernel driver that the function is bound to. */
  readonly driver?: readonly string[];
  readonly iommuGroup?: readonly number[];
  readonly numaNode?: readonly number[];
  /** Sizes in bytes, of which each BAR given must have one. */
  readonly barSizes?: ReadonlyMap<number, readonly bigint[]>;
  readonly at: Span;
}

/** A device as a policy names it. */
export interface DeviceRule {
  readonly name: string;
  readonly match: DeviceMatch;
  /** `open`: Bargate opens the device itself; `borrow`: another process owns it. */
  readonly acquire: "open" | "borrow";
  /** Whose device fd is borrowed: there if and only if `acquire` is `borrow`. */
  readonly owner?: OwnerIdentity;
  /** Every function that matches is a device of its own; absent: exactly one may match. */
  readonly many?: true;
  /** Bargate may switch on the memory buffer of an NVMe controller. */
  readonly enableCmb?: true;
  /** For people and reports; they decide nothing. */
  readonly labels?: ReadonlyMap<string, string>;
  readonly at: Span;
}

/** Which process owns a borrowed device. Every field given must hold. */
export interface OwnerIdentity {
  /** systemd unit, with its suffix. */
  readonly unit?: Placed<string>;
  /** Account name, or a decimal uid. */
  readonly user?: Placed<string>;
  /** Absolute path of the executable. */
  readonly executable?: Placed<string>;
  /** Absolute path of a file that holds its process id. */
  readonly pidFile?: Placed<string>;
  /** Absolute path of a socket of its own, from which it sends its device fd; absent: it is taken. */
  readonly socket?: Placed<string>;
}

/** Who a recipient process must be. Every field given must hold. */
export interface ImporterIdentity {
  /** Account name, or a decimal uid. */
  readonly user?: Placed<string>;
  /** Group name, or a decimal gid. */
  readonly group?: Placed<string>;
  /** systemd unit, with its suffix. */
  readonly unit?: Placed<string>;
  /** Path of the control group, from the root of the hierarchy. */
  readonly cgroup?: Placed<string>;
  /** Absolute path of the executable. */
  readonly executable?: Placed<string>;
  /** SHA-256 of the executable, 64 lower-case hexadecimal digits. */
  readonly sha256?: Placed<string>;
}

/** What is said of the PCI function that will do an importer's DMA. Every field given must hold. */
export interface ImporterDevice {
  /** `dddd:bb:dd.f`, lower case. */
  readonly address?: string;
  /** `vvvv:dddd`, lower case hexadecimal. */
  readonly id?: string;
  /** Name of its RDMA device, as in `mlx5_0`. */
  readonly rdma?: string;
  /** Name of one of its DRM nodes, as in `renderD128`. */
  readonly drm?: string;
  /** Name of its NVMe controller, as in `nvme0`. */
  readonly nvme?: string;
  readonly at: Span;
}

/** A recipient of grants as a policy names it. */
export interface ImporterRule {
  readonly name: string;
  readonly identity: ImporterIdentity;
  /** The kernel driver that will attach to the buffer: a name of `IMPORTER_DRIVERS`. */
  readonly driver: Placed<string>;
  /**
   * `bargate`: the importer sends its iommufd and never sees the dma-buf; `importer`: it gets the
   * dma-buf and maps it itself.
   */
  readonly mapping: "bargate" | "importer";
  /** Which PCI function will do the DMA; absent: nothing is said of it. */
  readonly device?: ImporterDevice;
  /** For people and reports; they decide nothing. */
  readonly labels?: ReadonlyMap<string, string>;
  readonly at: Span;
}

/** A protected range that a rule exports all the same, and why. */
export interface AllowProtected {
  readonly range: "msix-table" | "msix-pba";
  readonly reason: string;
  readonly at: Span;
}

/** Ranges of an NVMe controller that have a name. */
export type Region = "nvme.cmb" | "nvme.doorbells";

/** One entry under `exports`: each of its importers gets one grant with a dma-buf of its own. */
export interface ExportRule {
  readonly name: string;
  /** `policy/export`, unique in a policy set. */
  readonly qualifiedName: string;
  readonly device: Placed<string>;
  readonly bar: Placed<number>;
  /**
   * In buffer order; slices that touch in that order have been merged. None for `nvme.cmb`, of which
   * only the host knows where it is.
   */
  readonly slices: readonly SliceRule[];
  /** Absent: the slices are written. */
  readonly region?: Placed<Region>;
  readonly importers: readonly Placed<string>[];
  readonly access: "read-only" | "read-write";
  readonly onReset: "revoke" | "restore";
  /** Milliseconds an importer may take to let go in a graceful end. */
  readonly graceMs: number;
  /** Milliseconds from the first export to the end, renewals included; absent: no limit. */
  readonly expiresMs?: number;
  /** `device`: ending this rule's grants may end and renew the other grants of the device. */
  readonly collateral?: "device";
  /** `cooperative`: these grants can be taken back only with the importer's help. */
  readonly revocation?: "cooperative";
  /** Bytes of these slices may be in other grants too. */
  readonly shared?: true;
  /** For people and reports; they decide nothing. */
  readonly labels?: ReadonlyMap<string, string>;
  readonly allowProtected: readonly AllowProtected[];
  readonly at: Span;
}

/** One entry under `deny`. Without `bar` the whole device, without `slices` the whole BAR. */
export interface DenyRule {
  readonly device: Placed<string>;
  readonly bar?: number;
  readonly slices?: readonly SliceRule[];
  readonly reason: string;
  readonly at: Span;
}

/** One `ExportPolicy` document. */
export interface Policy {
  readonly name: string;
  readonly description?: string;
  /** For people and reports; they decide nothing. */
  readonly labels?: ReadonlyMap<string, string>;
  readonly devices: ReadonlyMap<string, DeviceRule>;
  readonly importers: ReadonlyMap<string, ImporterRule>;
  readonly exports: readonly ExportRule[];
  readonly deny: readonly DenyRule[];
  readonly at: Span;
}

/** Everything that is in force together. */
export interface PolicySet {
  readonly policies: readonly Policy[];
  /** `sha256:<hex>` of the checked meaning (not of the text): equal for files that mean the same. */
  readonly digest: string;
}
