/**
 * What the kernel's decision about a pair of functions is, and what would change it, in words.
 *
 * @module
 */
import type { PathJudgement, PathReason } from "./judge.ts";
import type { RootFunction } from "./tree.ts";

/** The most functions that are named one by one. */
export const MOST_NAMED = 4;
/** Redirects and egress control off, the rest as it is; the first bit is the last. */
const REDIRECT_OFF = "x0x00xx";
/** Source validation, both redirects and upstream forwarding on: what Linux sets where it isolates. */
const REDIRECT_ON = "xx111x1";

/**
 * Names some functions.
 *
 * @param names addresses, or what stands for functions
 * @param total how many there are, of which these are the first
 * @returns up to four of them, and how many more there are
 */
export function someOf(names: readonly string[], total = names.length): string {
  const named = names.slice(0, MOST_NAMED);
  const more = total - named.length;
  if (more > 0) return `${named.join(", ")} and ${more} more`;
  const last = named.pop();
  return named.length === 0 ? last ?? "none" : `${named.join(", ")} and ${last}`;
}

/**
 * Says what the way between two functions is, and why.
 *
 * @param judgement of the pair
 * @returns the end of a sentence that begins with "the path is"
 */
export function pathText(judgement: PathJudgement): string {
  const { kind, path, redirecting, reason } = judgement;
  if (kind === "direct") {
    return path.distance === 0
      ? "direct: it is the same function"
      : `direct, by way of ${path.common?.address}`;
  }
  const why = reasonText(reason);
  if (kind === "not-known") return `not known: ${why}`;
  const end = redirecting.length > 0
    ? `${redirecters(judgement)} ${
      redirecting.length === 1 ? "redirects" : "redirect"
    } requests to the root complex (ACS)`
    : "no bridge is above both";
  return kind === "through-host-bridge"
    ? `through the host bridge: ${end}, and ${why}`
    : `not supported: ${end}, and ${why}`;
}

/** The part that repeats for many pairs of one host. */
function reasonText(reason: PathReason): string {
  switch (reason.code) {
    case "common-bridge":
      return "nothing on the way redirects";
    case "redirect-not-read":
      return `what ${
        someOf(reason.functions)
      } redirect is in configuration space that could not be read`;
    case "way-not-known":
      return `the bridges above ${someOf(reason.functions)} are not in the inventory`;
    case "amd-zen":
      return "the processor, an AMD Zen or later, lets them pass";
    case "listed":
      return `${bridges(reason.bridges)} on the kernel's list of host bridges that let them pass`;
    case "not-listed":
      return `${
        bridges(reason.bridges)
      } not on the kernel's list of host bridges that let them pass`;
    case "listed-for-same":
      return `${
        bridges(reason.bridges)
      } on the kernel's list only for functions below the same host bridge`;
    case "nameless":
      return `the first function on ${
        someOf(reason.buses)
      } is neither 00.0 nor a root port, so that the kernel finds no host bridge to look up`;
    case "bridge-not-read":
      return `whether the first function on ${
        someOf(reason.buses)
      } is a root port could not be read`;
    case "listed-later":
      return `${
        bridges(reason.bridges)
      } on the kernel's list from Linux ${reason.since} on, and in earlier stable releases that took that over`;
    case "processor-not-known":
      return `the inventory does not say what processor there is, and ${
        reason.bridges.length === 0
          ? "no host bridge is on the kernel's list"
          : `${bridges(reason.bridges)} not on the kernel's list`
      }`;
  }
}

function bridges(list: readonly RootFunction[]): string {
  const names = someOf(list.map(({ address, id }) => `${id} at ${address}`));
  return `${names} ${list.length === 1 ? "is" : "are"}`;
}

function redirecters({ redirecting }: PathJudgement): string {
  return someOf(redirecting.map(({ address }) => address));
}

/**
 * Says what would make the path direct, or one at all, or known.
 *
 * @param judgement of the pair
 * @returns what to do; undefined if there is nothing to mend
 */
export function pathRemedy(judgement: PathJudgement): string | undefined {
  const { kind, redirecting, reason } = judgement;
  if (kind === "direct") return undefined;
  if (kind === "not-known") return unknownRemedy(reason);
  const first = redirecting.length > 0
    ? letThrough(redirecting.map(({ address }) => address))
    : "move one of the two below the switch, or the root port, that the other is below";
  if (kind === "through-host-bridge") return first;
  return reason.code === "listed-for-same"
    ? `${first}; or move both below one host bridge`
    : `${first}; or use a host with a host bridge that is on the list, or with an AMD Zen`;
}

function unknownRemedy({ code }: PathReason): string {
  switch (code) {
    case "redirect-not-read":
    case "bridge-not-read":
      return "run with CAP_SYS_ADMIN (as root), or take the inventory so: extended configuration space may be read only then";
    case "listed-later":
      return "look for the id in pci_p2pdma_whitelist of that kernel's drivers/pci/p2pdma.c, or run a later one";
    default:
      return "take the whole inventory again";
  }
}

/**
 * The setting by which ports stop redirecting.
 *
 * @param ports addresses
 */
export function letThrough(ports: readonly string[]): string {
  const list = ports.join(";");
  return `boot with pci=disable_acs_redir=${list} (or pci=config_acs=${REDIRECT_OFF}@${list}), which gives up isolation: what is below these then reaches each other past the IOMMU, and may become one IOMMU group, which VFIO can own only as a whole`;
}

/**
 * The setting by which ports redirect.
 *
 * @param ports addresses
 */
export function isolate(ports: readonly string[]): string {
  const list = ports.join(";");
  return `boot without pci=disable_acs_redir= for ${
    someOf(ports)
  }, or with pci=config_acs=${REDIRECT_ON}@${list}, by which requests between them go through the host bridge`;
}
