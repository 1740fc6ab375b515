/**
 * A grant together with what Bargate holds for it.
 *
 * @module
 */
import type { Fd } from "./fd.ts";
import type { Grant } from "./grant.ts";

/** A mapping that Bargate made in an importer's I/O address space. */
export interface Mapping {
  /** Bargate's copy of the importer's iommufd. */
  readonly iommufd: Fd;
  readonly ioas: number;
  readonly iova: bigint;
  /** Bytes. */
  readonly length: bigint;
}

/** A grant, and what must be given back when it ends. */
export interface HeldGrant {
  readonly grant: Grant;
  /** Bargate's own descriptor of the buffer: it tells references and liveness. */
  readonly dmaBuf: Fd;
  /** Of a grant that Bargate maps, once it is mapped. */
  mapping?: Mapping;
  /** Nobody need be waited for: the importer says that it has let go, or must not be waited for. */
  acknowledged: boolean;
  /** Of another process's device: the importer was asked to let go, and that is all there is to do. */
  askedInVain?: boolean;
  /** When a graceful end is enforced at the latest, ms since the epoch. */
  graceUntil?: number;
  /** Calls off the timer of `expires`. */
  callOffExpiry?: () => void;
}

/** Whether the importer may use it, or will once a bounce is over; not when its end has begun. */
export function isActive({ grant }: HeldGrant): boolean {
  return grant.state === "exported" || grant.state === "delivered" || grant.state === "suspended";
}

/** Whether its end has begun and was not seen yet. */
export function isEnding({ grant }: HeldGrant): boolean {
  return grant.state === "revoking";
}

/** Whether a bounce of its device has taken it away for a while. */
export function isSuspended({ grant }: HeldGrant): boolean {
  return grant.state === "suspended";
}
