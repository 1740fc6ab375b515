/**
 * Whether the kernel lets peer-to-peer requests pass a host bridge, or from one to another.
 *
 * @module
 */
import { isBefore, parseRelease } from "../kernel_release.ts";
import type { HostSnapshot } from "../snapshot.ts";
import { listedHostBridge } from "./host_bridges.ts";
import type { PciTree, RootFunction } from "./tree.ts";

/** What decides it. */
export type HostBridgeReason =
  /** The processor is an AMD Zen or later. */
  | { readonly code: "amd-zen" }
  /** The host bridges are on the kernel's list. */
  | { readonly code: "listed"; readonly bridges: readonly RootFunction[] }
  /** These are not. */
  | { readonly code: "not-listed"; readonly bridges: readonly RootFunction[] }
  /** These are, but only for functions below one and the same. */
  | { readonly code: "listed-for-same"; readonly bridges: readonly RootFunction[] }
  /** On these root buses the first function is none by which the kernel knows a host bridge. */
  | { readonly code: "nameless"; readonly buses: readonly string[] }
  /** The first functions of these root buses could not be read far enough. */
  | { readonly code: "bridge-not-read"; readonly buses: readonly string[] }
  /** They are listed by later kernels, and by this one if it took that over. */
  | {
    readonly code: "listed-later";
    readonly bridges: readonly RootFunction[];
    readonly since: string;
  }
  /** The list does not have them, and the snapshot does not say what processor there is. */
  | { readonly code: "processor-not-known"; readonly bridges: readonly RootFunction[] };

/** The answer; `permitted` is undefined where it cannot be known. */
export interface HostBridgeVerdict {
  readonly permitted: boolean | undefined;
  readonly reason: HostBridgeReason;
}

/** Family of the first Zen processors. */
const ZEN_FAMILY = 0x17;

/**
 * Judges by the kernel's two rules: the processor, then the list (`cpu_supports_p2pdma` and
 * `host_bridge_whitelist` in drivers/pci/p2pdma.c).
 *
 * @param tree of the host
 * @param buses root buses of exporter and importer, which may be the same
 */
export function judgeHostBridges(
  tree: PciTree,
  buses: readonly [string, string],
): HostBridgeVerdict {
  const zen = isZen(tree.host);
  if (zen === true) return { permitted: true, reason: { code: "amd-zen" } };
  const byList = judgeByList(tree, buses);
  if (byList.permitted !== false || zen === false) return byList;
  const bridges = "bridges" in byList.reason ? byList.reason.bridges : [];
  return { permitted: undefined, reason: { code: "processor-not-known", bridges } };
}

/** Hygon's processors are not AMD's to the kernel. Undefined: the snapshot does not say. */
function isZen({ cpu }: HostSnapshot): boolean | undefined {
  if (cpu === undefined) return undefined;
  const { vendor, family } = cpu;
  // Nothing at all stands there of a processor that is not x86's.
  if (vendor === undefined) return family === undefined || family < ZEN_FAMILY ? false : undefined;
  if (vendor !== "AuthenticAMD") return false;
  return family === undefined ? undefined : family >= ZEN_FAMILY;
}

function judgeByList(tree: PciTree, [a, b]: readonly [string, string]): HostBridgeVerdict {
  const buses = a === b ? [a] : [a, b];
  const found = buses.map((bus) => ({ bus, root: tree.rootFunction(bus) }));
  const busesWith = (what: "none" | "unread") =>
    found.filter(({ root }) => root === what).map(({ bus }) => bus);
  const bridges = found.flatMap(({ root }) => typeof root === "string" ? [] : root);
  const refused = bridges.filter(({ id }) => entryOf(id) === undefined);
  if (refused.length > 0) {
    return { permitted: false, reason: { code: "not-listed", bridges: refused } };
  }
  const nameless = busesWith("none");
  if (nameless.length > 0) {
    return { permitted: false, reason: { code: "nameless", buses: nameless } };
  }
  const sameOnly = bridges.filter(({ id }) => buses.length > 1 && entryOf(id)?.sameOnly);
  if (sameOnly.length > 0) {
    return { permitted: false, reason: { code: "listed-for-same", bridges: sameOnly } };
  }
  const unread = busesWith("unread");
  if (unread.length > 0) {
    return { permitted: undefined, reason: { code: "bridge-not-read", buses: unread } };
  }
  return judgeByRelease(tree.host.kernel.release, bridges);
}

/** A release is a hint: stable ones take entries over from later ones. */
function judgeByRelease(release: string, bridges: readonly RootFunction[]): HostBridgeVerdict {
  const running = parseRelease(release);
  const newer = bridges.filter(({ id }) => {
    const since = entryOf(id)?.since;
    // What is no release may be any.
    return since !== undefined && (running === undefined || isBefore(running, since));
  });
  const [first] = newer;
  if (first === undefined) return { permitted: true, reason: { code: "listed", bridges } };
  const since = entryOf(first.id)?.since?.join(".") ?? "";
  return { permitted: undefined, reason: { code: "listed-later", bridges: newer, since } };
}

function entryOf(id: string): ReturnType<typeof listedHostBridge> {
  const [vendor = "", device = ""] = id.split(":");
  return listedHostBridge(vendor, device);
}
