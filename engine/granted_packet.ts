/**
 * The packet that tells an importer of its grant.
 *
 * @module
 */
import type { BargatePacket } from "./channel.ts";
import type { HeldGrant } from "./held_grant.ts";

/**
 * @param held the grant
 * @param fdName name in `LISTEN_FDNAMES`, of a descriptor given at the start
 * @returns the packet
 */
export function grantedPacket(held: HeldGrant, fdName?: string): BargatePacket {
  const { grant, mapping } = held;
  const size = grant.plan.ranges.reduce((sum, range) => sum + range.length, 0n);
  return {
    type: "granted",
    grant: grant.id,
    export: grant.plan.export,
    ...(fdName === undefined ? {} : { fdName }),
    size: `0x${size.toString(16)}`,
    access: grant.plan.rule.access,
    ...(mapping === undefined ? {} : { iova: `0x${mapping.iova.toString(16)}` }),
  };
}
