/**
 * Why an export answers an errno on a host: the kernel's checks, run again on an inventory, and the
 * one of them that decides.
 *
 * @module
 */
import { decidingCheck, exportChecks, type KernelCheck } from "../engine/export_checks.ts";
import { idOf } from "../engine/match_fields.ts";
import { FunctionIndex } from "../engine/resolve.ts";
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import type { DeviceRule, PolicySet } from "../policy/model.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { visible } from "./output/visible.ts";

/** What is asked. */
export interface ErrnoQuestion {
  /** `EINVAL` */
  readonly errno: string;
  /** Name of a device of the set, alone or as `policy/device`. */
  readonly device: string;
  readonly bar: number;
  readonly offset: bigint;
  readonly length: bigint;
  /** The inventory's file. */
  readonly inventory: string;
}

/** The answer. */
export interface ErrnoAnswer {
  readonly errno: string;
  readonly device: { readonly name: string; readonly address: string; readonly id: string };
  readonly checks: readonly KernelCheck[];
  /** Of `checks`; absent: none of them fails on this host as far as an inventory can tell. */
  readonly deciding?: number;
}

/**
 * Runs the checks of an export again.
 *
 * @param set where the device is named
 * @param host the inventory
 * @param question what is asked
 * @throws {CommandError} usage: the device is none of the set, or not one function of the host
 */
export function answerErrno(
  set: PolicySet,
  host: HostSnapshot,
  question: ErrnoQuestion,
): ErrnoAnswer {
  const { errno, device: name, bar, offset, length } = question;
  const entry = functionOf(deviceOf(set, name), host, question);
  const checks = exportChecks(host, entry, { bar, ranges: [{ offset, length }] });
  const deciding = decidingCheck(checks);
  return {
    errno,
    device: { name, address: entry.address, id: idOf(entry) },
    checks,
    ...(deciding === undefined ? {} : { deciding: checks.indexOf(deciding) }),
  };
}

function deviceOf({ policies }: PolicySet, wanted: string): DeviceRule {
  const named = policies.flatMap(({ name, devices }) =>
    [...devices.values()].map((device) => ({ device, whole: `${name}/${device.name}` }))
  );
  const found = named.filter(({ device, whole }) => whole === wanted || device.name === wanted);
  const [first] = found;
  if (first === undefined) throw usage(`no policy has a device ${wanted}`);
  if (found.length > 1) throw usage(`write ${found.map(({ whole }) => whole).join(" or ")}`);
  return first.device;
}

function functionOf(
  { match, name }: DeviceRule,
  host: HostSnapshot,
  { inventory }: ErrnoQuestion,
): SnapshotFunction {
  const { found, unjudged } = new FunctionIndex(host).matching(match);
  const [entry] = found;
  if (entry !== undefined && found.length === 1 && unjudged.length === 0) return entry;
  const which = [...found, ...unjudged].map(({ address }) => address).slice(0, 4).join(", ");
  throw usage(
    which === ""
      ? `no function of ${inventory} is ${name}`
      : `${name} is not one function of ${inventory} for certain (received ${which})`,
  );
}

function usage(why: string): CommandError {
  return new CommandError(`Cannot run the checks again: ${why}`, ExitStatus.usage);
}

/** @returns the answer, for people */
export function humanAnswer(answer: ErrnoAnswer, question: ErrnoQuestion): string {
  const { device, checks, deciding } = answer;
  const { bar, offset, length, inventory } = question;
  const range = `[0x${offset.toString(16)}, +0x${length.toString(16)})`;
  const head =
    `Exporting ${range} of BAR ${bar} of ${device.name}, ${device.address} (${device.id}), on the host of ${inventory}:`;
  const lines = checks.map((each, index) => checkLine(each, index, deciding));
  return `${[head, ...lines, conclusion(answer)].map(visible).join("\n")}\n`;
}

function checkLine(
  { what, errno, holds, why }: KernelCheck,
  index: number,
  deciding: number | undefined,
): string {
  const reached = deciding === undefined || index <= deciding;
  const mark = holds === "unknown" ? "unknown" : holds ? "holds" : errno ?? "fails";
  const verdict = reached ? mark : "not reached";
  return `  ${verdict.padEnd(11)} ${what}: ${why}`;
}

function conclusion({ errno, checks, deciding }: ErrnoAnswer): string {
  const found = deciding === undefined ? undefined : checks[deciding];
  const reached = checks.slice(0, deciding);
  const hidden = reached.filter((each) => each.holds === "unknown" && each.errno === errno);
  const perhaps = hidden.map(({ what }) => what).join("; or that ");
  if (found?.errno === errno) {
    const also = perhaps === "" ? "" : ` (unless it is untrue that ${perhaps})`;
    return `${errno} is decided by: ${found.what}: ${found.why}${also}`;
  }
  const instead = found === undefined
    ? `nothing that an inventory tells makes it fail`
    : `the kernel would answer ${found.errno} here: ${found.what}: ${found.why}`;
  const else_ = perhaps === "" ? "" : `; it answers ${errno} where it is untrue that ${perhaps}`;
  return `${errno} is not what this inventory comes to: ${instead}${else_}`;
}
