/**
 * What the grants of one device cannot have between them. Policies are checked for it by what they
 * say; that two rules are about one device by different matches is seen on the host only.
 *
 * @module
 */
import type { DeviceRule, ExportRule, OwnerIdentity } from "../policy/model.ts";
import { findSharing, sortedPieces } from "../policy/shared_bytes.ts";
import { type Finding, hostFinding } from "./host_findings.ts";
import type { DmaRange } from "./kernel.ts";

/** A grant that is to be made. */
interface Drafted {
  readonly rule: ExportRule;
  readonly device: { readonly address: string };
  readonly bar: number;
  readonly ranges: readonly DmaRange[];
}

/** A grant, and the device by whose name its rule goes. */
export interface DraftedGrant {
  readonly grant: Drafted;
  readonly named: DeviceRule;
}

/**
 * Finds what is wrong between grants.
 *
 * @param drafts all of a plan
 * @returns one finding for two rules, and for two names of a device
 */
export function conflicts(drafts: readonly DraftedGrant[]): readonly Finding[] {
  const devices = Map.groupBy(drafts, ({ grant }) => grant.device.address);
  return [...devices].flatMap(([address, own]) => [
    ...acquiredTwice(address, own),
    ...[...Map.groupBy(own, ({ grant }) => grant.bar)].flatMap(([bar, grants]) =>
      grantedTwice(`BAR ${bar} of ${address}`, grants.map(({ grant }) => grant))
    ),
  ]);
}

/** Importers of one rule share by the rule itself, which is checked without a host. */
function grantedTwice(where: string, grants: readonly Drafted[]): readonly Finding[] {
  const rules = new Map(grants.map((grant) => [grant.rule, grant]));
  if (rules.size < 2) return [];
  const pieces = [...rules.values()].flatMap(({ rule, ranges }, index) =>
    ranges.map(({ offset, length }) => ({
      owner: rule,
      index,
      start: offset,
      end: offset + length,
    }))
  );
  const { unstated } = findSharing(sortedPieces(pieces), ({ shared }) => shared !== undefined);
  const told = new Map(unstated.map((overlap) => pairOf(overlap)));
  return [...told.values()].map(([first, second]) =>
    hostFinding(
      "BG2022",
      second.at,
      `${second.qualifiedName} overlaps ${first.qualifiedName} in ${where}`,
      [{ ...first.at, message: `granted by ${first.qualifiedName}` }],
    )
  );
}

/** The one that stands first in the plan goes first; a pair is told once. */
function pairOf(
  { a, b }: {
    readonly a: { readonly owner: ExportRule; readonly index: number };
    readonly b: { readonly owner: ExportRule; readonly index: number };
  },
): readonly [string, readonly [ExportRule, ExportRule]] {
  const [first, second] = a.index < b.index ? [a, b] : [b, a];
  return [`${first.index} ${second.index}`, [first.owner, second.owner]];
}

function acquiredTwice(address: string, drafts: readonly DraftedGrant[]): readonly Finding[] {
  const names = [...new Set(drafts.map(({ named }) => named))];
  const [first, ...others] = names;
  if (first === undefined) return [];
  return others.filter((other) => wayOf(other) !== wayOf(first)).map((other) =>
    hostFinding(
      "BG2023",
      other.at,
      `${other.name} and ${first.name} are both ${address}, and are acquired in different ways`,
      [{ ...first.at, message: `${first.name} is to be acquired by ${first.acquire}` }],
    )
  );
}

/** Equal for devices that are come by in the same way. */
function wayOf({ acquire, owner }: DeviceRule): string {
  return JSON.stringify([acquire, owner === undefined ? [] : fieldsOf(owner)]);
}

function fieldsOf({ unit, user, executable, pidFile, socket }: OwnerIdentity): readonly unknown[] {
  return [unit, user, executable, pidFile, socket].map((field) => field?.value ?? null);
}
