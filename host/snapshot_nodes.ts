/**
 * What a snapshot says of the nodes of its functions: each is of one device or of one group. And of
 * functions that were left out: they are not there. Linear in the number of functions.
 *
 * @module
 */
import type { PlacedFunction, PlacedLeftOut } from "./snapshot_fields.ts";
import { fieldOf, type Index, pointerOf } from "./snapshot_places.ts";
import type { ProblemSink } from "./snapshot_problem.ts";

/**
 * Checks the nodes of all functions.
 *
 * @param functions in the file's order
 * @param problems takes what is wrong
 */
export function checkNodes(functions: readonly PlacedFunction[], problems: ProblemSink): void {
  const owners = new Map<string, PlacedFunction>();
  for (const each of functions) {
    checkGroupNode(each, problems);
    const { cdev } = each.entry;
    if (cdev === undefined) continue;
    const first = owners.get(cdev);
    if (first === undefined) owners.set(cdev, each);
    else {
      const why = `it is the node of ${first.entry.address} at ${
        pointerOf(first)
      } already (received "${cdev}")`;
      problems.add("node-of-another", () => ({ ...fieldOf(each, "cdev"), why }));
    }
  }
}

/** A group's node has the group's number for its name. */
function checkGroupNode(each: PlacedFunction, problems: ProblemSink): void {
  const { groupNode, iommuGroup } = each.entry;
  if (groupNode === undefined) return;
  if (iommuGroup !== undefined && /[0-9]+$/.exec(groupNode)?.[0] === `${iommuGroup}`) return;
  const group = iommuGroup === undefined
    ? "no IOMMU group is given for the function"
    : `the function is in IOMMU group ${iommuGroup}`;
  const why = `${group}, and its node has the group's number (received "${groupNode}")`;
  problems.add("node-of-another", () => ({ ...fieldOf(each, "groupNode"), why }));
}

/**
 * Checks that what was left out is not there. A function may be both where its group says that it is in
 * it, and the function says that it is in another.
 *
 * @param leftOut in the file's order
 * @param index of the functions
 * @param problems takes what is wrong
 */
export function checkLeftOut(
  leftOut: readonly PlacedLeftOut[],
  index: Index,
  problems: ProblemSink,
): void {
  for (const { entry: { address, iommuGroup }, index: own, at } of leftOut) {
    const there = index.get(address);
    if (there === undefined) continue;
    if (iommuGroup !== undefined && iommuGroup !== there.entry.iommuGroup) continue;
    const why = `the function is at ${
      pointerOf(there)
    }, and was not left out (received "${address}")`;
    problems.add("not-left-out", () => {
      return { pointer: `/leftOut/${own}/address`, offset: at, why };
    });
  }
}
