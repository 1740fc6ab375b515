/**
 * Which devices `preflight --live` leaves alone. An open is no mere look: the kernel tries to reset
 * the function. It is not done to a device that is another process's by any rule of the set, nor where
 * nothing could be exported anyway.
 *
 * @module
 */
import type { HostSnapshot } from "../../host/snapshot.ts";
import type { Diagnostic } from "../../policy/diagnostic.ts";
import type { DeviceRule, ExportRule, PolicySet } from "../../policy/model.ts";
import type { Span } from "../../policy/position.ts";
import type { PlannedGrant } from "../plan.ts";
import { FunctionIndex } from "../resolve.ts";

/** `borrowed`: a rule names another owner of it; `faulty`: an error of its own stands already. */
export type WhyLeft = "borrowed" | "faulty";

/** What is known when devices could be opened. */
export interface BeforeOpening {
  readonly set: PolicySet;
  readonly host: HostSnapshot;
  /** Grants that would be made, of the importers that were asked for. */
  readonly grants: readonly PlannedGrant[];
  /** All that was found beforehand. */
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * @param before what is known
 * @returns by PCI address, why a device is not to be opened
 */
export function leftUnopened(before: BeforeOpening): ReadonlyMap<string, WhyLeft> {
  const faulty = faultyDevices(before).map((address) => [address, "faulty"] as const);
  const borrowed = borrowedDevices(before).map((address) => [address, "borrowed"] as const);
  return new Map([...faulty, ...borrowed]);
}

/** Whoever is asked for, and whatever else is wrong with the rules that borrow them. */
function borrowedDevices({ set, host, grants }: BeforeOpening): readonly string[] {
  const index = new FunctionIndex(host);
  const declared = set.policies.flatMap(({ devices }) =>
    [...devices.values()].filter(({ acquire }) => acquire === "borrow").flatMap(({ match }) => {
      const { found, unjudged } = index.matching(match);
      return [...found, ...unjudged].map(({ address }) => address);
    })
  );
  const planned = grants.filter(({ device }) => device.owner !== undefined);
  return [...declared, ...planned.map(({ device }) => device.address)];
}

/** An error that stands nowhere in a policy is one of the whole host. */
function faultyDevices({ set, grants, diagnostics }: BeforeOpening): readonly string[] {
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  if (errors.length === 0) return [];
  const places = new Set(errors.map(placeOf));
  const everywhere = places.has(NOWHERE);
  const named = new Map(
    set.policies.flatMap(({ devices, exports }) =>
      exports.map((rule) => [rule, devices.get(rule.device.value)] as const)
    ),
  );
  return grants.filter(({ rule, device: { address } }) =>
    everywhere || spansOf(rule, named.get(rule)).some((span) => places.has(placeOf(span))) ||
    errors.some(({ message }) => names(message, address))
  ).map(({ device }) => device.address);
}

/** Not as a part of a longer address: 0000:01:00.0 is the end of 10000:01:00.0. */
function names(message: string, address: string): boolean {
  for (let at = message.indexOf(address); at >= 0; at = message.indexOf(address, at + 1)) {
    const beside = [message[at - 1], message[at + address.length]];
    if (!beside.some((character) => /[0-9a-f]/i.test(character ?? ""))) return true;
  }
  return false;
}

const NOWHERE = "";

function placeOf({ file, line, column }: Partial<Span>): string {
  return file === undefined ? NOWHERE : `${line}:${column}:${file}`;
}

/** All places at which something can be told of a rule and its device. */
function spansOf(rule: ExportRule, device: DeviceRule | undefined): readonly Span[] {
  const { at, slices, importers, allowProtected, region } = rule;
  const values = [rule.device, rule.bar, ...importers, ...(region === undefined ? [] : [region])];
  return [
    at,
    ...values.map((value) => value.at),
    ...[...slices, ...allowProtected].map((part) => part.at),
    ...(device === undefined ? [] : [device.at, device.match.at]),
  ];
}
