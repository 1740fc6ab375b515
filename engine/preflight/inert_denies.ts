/**
 * Denies that fall on nothing on any host that was looked at: of one host that is nothing to tell, for
 * a rule may be for others; of all of them together it looks like a mistyped match.
 *
 * @module
 */
import type { Diagnostic } from "../../policy/diagnostic.ts";
import { hostFinding } from "../host_findings.ts";
import type { InertDeny } from "../plan_denials.ts";

/** More places than these are not told. */
const MOST_TOLD = 4;

/**
 * @param hosts what falls on nothing on each; absent of a host that could not be looked at
 * @returns a note for each device that is nothing anywhere; none if a host could not be looked at
 */
export function inertEverywhere(
  hosts: readonly (readonly InertDeny[] | undefined)[],
): readonly Diagnostic[] {
  const [first, ...others] = hosts;
  if (first === undefined || others.includes(undefined)) return [];
  const names = others.map((denies) => new Set(denies?.map(({ device }) => device)));
  const where = hosts.length === 1 ? "on this host" : `on any of the ${hosts.length} hosts`;
  return first.filter(({ device }) => names.every((each) => each.has(device)))
    .map((deny) => noteOf(deny, where));
}

function noteOf({ device, match, rules: [first, ...others] }: InertDeny, where: string) {
  const message = `the deny falls on nothing ${where}, for none has a device of the kind of ${
    JSON.stringify(device)
  }`;
  const related = [
    ...others.slice(0, MOST_TOLD).map(({ at }) => ({ ...at, message: "and this deny" })),
    { ...match.at, message: "what the device is" },
  ];
  return hostFinding("BG2060", first?.at, message, related).diagnostic;
}
