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
  /** Bargate's own descriptor of the buffer: it tells references and liveness, and is never passed on itself. */
  readonly dmaBuf: Fd;
  /** Of a grant that Bargate maps, once it is mapped. */
  mapping?: Mapping;
  /** The importer says that it has let go. */
  acknowledged: boolean;
  /** Calls off the timer of `expires`. */
  callOffExpiry?: () => void;
}

/** Whether the importer may use it, or will once a bounce is over; not when its end has begun. */
export function isActive({ grant }: HeldGrant): boolean {
  return grant.state === "exported" || grant.state === "delivered" || grant.state === "suspended";
}
