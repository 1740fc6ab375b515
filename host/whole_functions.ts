/**
 * What of a host's functions can stand in one snapshot: each bridge and each physical function that
 * one names must be there too.
 *
 * @module
 */
import { isPciAddress } from "./address.ts";
import type { SnapshotFunction } from "./snapshot.ts";

type Functions = ReadonlyMap<string, SnapshotFunction>;

/**
 * Leaves out what hangs on something that is not there, or on itself.
 *
 * @param functions by address
 * @param skip told of each that is left out
 * @returns the others
 */
export function wholeOf(
  functions: Functions,
  skip: (address: string, why: string) => void,
): Functions {
  const kept = new Map(functions);
  for (let before = -1; before !== kept.size;) {
    before = kept.size;
    dropLost(kept, skip);
    dropWithoutPhysical(kept, skip);
  }
  return kept;
}

/** Each function is walked once: what is above a function that is sound is sound. */
function dropLost(
  kept: Map<string, SnapshotFunction>,
  skip: (address: string, why: string) => void,
): void {
  const sound = new Set<string>();
  for (const [first, { parent }] of [...kept]) {
    if (sound.has(parent)) {
      sound.add(first);
      continue;
    }
    const trail = new Set<string>();
    let at = first;
    while (isPciAddress(at) && kept.has(at) && !sound.has(at) && !trail.has(at)) {
      trail.add(at);
      at = kept.get(at)?.parent ?? "";
    }
    const why = !isPciAddress(at) || sound.has(at)
      ? undefined
      : trail.has(at)
      ? "the way up from it leads round in a circle"
      : `${at}, which it is connected to, is not in the inventory`;
    for (const walked of trail) {
      if (why === undefined) sound.add(walked);
      else if (kept.delete(walked)) skip(walked, why);
    }
  }
}

function dropWithoutPhysical(
  kept: Map<string, SnapshotFunction>,
  skip: (address: string, why: string) => void,
): void {
  const virtual = [...kept.values()].filter(({ physfn }) => physfn !== undefined);
  for (const { address, physfn = "", parent } of virtual) {
    const physical = kept.get(physfn);
    const wrong = physical === undefined
      ? "not in the inventory"
      : physical.physfn !== undefined
      ? "a virtual one"
      : physical.parent !== parent
      ? `below ${physical.parent}, and not beside it`
      : undefined;
    if (wrong === undefined) continue;
    kept.delete(address);
    skip(address, `its physical function, ${physfn}, is ${wrong}`);
  }
}
