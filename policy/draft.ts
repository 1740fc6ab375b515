/**
 * A policy as far as it could be read: everything with its place, whatever is unreadable left out.
 * Checks work on drafts, so that one mistake does not hide the next.
 *
 * @module
 */
import type {
  ImporterDevice,
  ImporterIdentity,
  OwnerIdentity,
  Placed,
  Region,
  SliceRule,
} from "./model.ts";
import type { Span } from "./position.ts";
import type { Code } from "./codes.ts";
import type { Details } from "./report.ts";

/** One of a few words; `unread` where none of them is there, which the schema has told. */
export type Choice<T extends string> = Placed<T | "unread">;

/** Takes what a check finds. */
export type Report = (code: Code, at: Span, message: string, details?: Details) => void;

/** A slice as far as its numbers could be read. */
export interface SliceDraft {
  /** Absent unless both numbers could be read. */
  readonly rule?: SliceRule;
  readonly offset?: Placed<bigint>;
  readonly length?: Placed<bigint | "rest">;
}

/** The slices of which both numbers could be read. */
export function readSlices(slices: readonly SliceDraft[]): readonly SliceRule[] {
  return slices.flatMap(({ rule }) => rule ?? []);
}

/** What is in `match`. */
export interface MatchDraft {
  readonly id: readonly string[];
  readonly address: readonly string[];
  readonly subsystem: readonly string[];
  readonly class: readonly string[];
  readonly serial: readonly string[];
  readonly driver: readonly string[];
  readonly iommuGroup: readonly number[];
  readonly numaNode: readonly number[];
  readonly barSizes: ReadonlyMap<number, readonly bigint[]>;
  readonly at: Span;
}

/** What is in `owner`. */
export type OwnerDraft = OwnerIdentity & {
  /** Where `owner` is written. */
  readonly at: Span;
};

/** An entry of `devices`. */
export interface DeviceDraft {
  readonly name: string;
  readonly match?: MatchDraft;
  readonly acquire: Choice<"open" | "borrow">;
  readonly owner?: OwnerDraft;
  readonly many?: Placed<true>;
  readonly enableCmb?: Placed<true>;
  readonly labels: ReadonlyMap<string, string>;
  /** Where its name is written. */
  readonly at: Span;
}

/** An entry of `importers`. */
export interface ImporterDraft {
  readonly name: string;
  readonly identity: ImporterIdentity;
  /** Where `identity` is written. */
  readonly identityAt: Span;
  readonly driver?: Placed<string>;
  readonly mapping: Choice<"bargate" | "importer">;
  readonly device?: ImporterDevice;
  readonly labels: ReadonlyMap<string, string>;
  /** Where its name is written. */
  readonly at: Span;
}

/** An entry of `exports`. */
export interface ExportDraft {
  readonly name?: Placed<string>;
  readonly device?: Placed<string>;
  readonly bar?: Placed<number>;
  /** As written, in buffer order; one that cannot be read for a region that only the host knows. */
  readonly slices: readonly SliceDraft[];
  readonly region?: Placed<Region>;
  readonly importers: readonly Placed<string>[];
  readonly access: Choice<"read-only" | "read-write">;
  readonly onReset: Choice<"revoke" | "restore">;
  readonly grace: Placed<number>;
  readonly expires?: Placed<number>;
  readonly shared?: Placed<true>;
  readonly labels: ReadonlyMap<string, string>;
  /** A key of it is unknown: what seems to be absent may be there. */
  readonly unsure: boolean;
  readonly collateral?: Placed<"device">;
  readonly revocation?: Placed<"cooperative">;
  readonly allowProtected: readonly {
    readonly range: "msix-table" | "msix-pba";
    readonly reason: string;
    readonly at: Span;
  }[];
  /** Where the rule is best pointed at: its name. */
  readonly at: Span;
}

/** An entry of `deny`. */
export interface DenyDraft {
  readonly device?: Placed<string>;
  readonly bar?: number;
  /** Absent: the whole BAR. */
  readonly slices?: readonly SliceDraft[];
  readonly reason: string;
  readonly at: Span;
}

/** One document. */
export interface PolicyDraft {
  readonly name?: Placed<string>;
  readonly description?: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly devices: ReadonlyMap<string, DeviceDraft>;
  /** Whether `devices` could be read: only then is a name that is not in it known to be wrong. */
  readonly devicesReadable: boolean;
  readonly importers: ReadonlyMap<string, ImporterDraft>;
  readonly importersReadable: boolean;
  readonly exports: readonly ExportDraft[];
  readonly deny: readonly DenyDraft[];
  /** Whether the schema found nothing wrong: only then is what is absent known to be absent. */
  readonly sound: boolean;
  readonly at: Span;
}
