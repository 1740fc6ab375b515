/**
 * The kernel's decision whether one function may reach into another's BARs, computed from a snapshot:
 * `calc_map_type_and_dist` of drivers/pci/p2pdma.c, the same from Linux 6.19 to 7.3. It is asked for
 * when an importer maps a dma-buf through the DMA API; iommufd does not ask.
 *
 * @module
 */
import type { SnapshotFunction } from "../snapshot.ts";
import type { RedirectBit } from "./acs.ts";
import {
  type HostBridgeReason,
  type HostBridgeVerdict,
  judgeHostBridges,
} from "./host_bridge_rule.ts";
import { pathBetween, type TreePath } from "./path.ts";
import type { PciTree } from "./tree.ts";

/** A function on the way that redirects requests to the root complex, and by which bits. */
export interface Redirecting {
  readonly address: string;
  readonly bits: readonly RedirectBit[];
}

/** What decides, besides what the host bridges do. */
export type PathReason =
  /** There is a bridge above both, and nothing on the way redirects. */
  | { readonly code: "common-bridge" }
  /** What these redirect could not be read. */
  | { readonly code: "redirect-not-read"; readonly functions: readonly string[] }
  /** The way up from these leads out of the snapshot. */
  | { readonly code: "way-not-known"; readonly functions: readonly string[] }
  | HostBridgeReason;

/** The kernel's answers: bus addresses, CPU addresses through the host bridge, none; or not known. */
export type PathKind = "direct" | "through-host-bridge" | "not-supported" | "not-known";

/** The answer for one exporter and one importer. */
export interface PathJudgement {
  readonly exporter: string;
  readonly importer: string;
  readonly kind: PathKind;
  /** Whether the importer can map the buffer at all; undefined: not known. */
  readonly supported: boolean | undefined;
  readonly path: TreePath;
  /** What on the way keeps it from being direct; empty where the two have nothing in common. */
  readonly redirecting: readonly Redirecting[];
  readonly reason: PathReason;
}

/**
 * Judges one pair, in time linear in their depth.
 *
 * @param tree of the host
 * @param exporter function whose BAR is exported
 * @param importer function that does the DMA
 *
 * @example
 * ```ts
 * import { judgePath } from "./judge.ts";
 * import { PciTree } from "./tree.ts";
 *
 * const at = (address: string, parent: string) => ({
 *   address,
 *   parent,
 *   vendor: "8086",
 *   device: "0000",
 *   class: "060400",
 *   resetMethods: [],
 *   config: new Uint8Array(256),
 *   bars: [],
 *   unreadable: [],
 * });
 * const bridge = at("0000:00:01.0", "pci0000:00");
 * const [one, other] = [at("0000:01:00.0", bridge.address), at("0000:01:00.1", bridge.address)];
 * const functions = [bridge, one, other];
 * const kernel = { release: "7.3.4" };
 * const tree = new PciTree({ kernel, pageSize: 4096, iommu: [], functions });
 * const { kind, path } = judgePath(tree, one, other);
 * if (kind !== "direct" || path.distance !== 2) throw new Error("two functions of one device");
 * ```
 */
export function judgePath(
  tree: PciTree,
  exporter: SnapshotFunction,
  importer: SnapshotFunction,
): PathJudgement {
  const [from, to] = [tree.chain(exporter), tree.chain(importer)];
  const path = pathBetween(from, to);
  const pair = { exporter: exporter.address, importer: importer.address, path };
  const way = path.common === undefined
    ? []
    : [...path.exporterSide, path.common, ...path.importerSide];
  const redirecting = way.flatMap((each) => {
    const bits = tree.redirects(each) ?? [];
    return bits.length === 0 ? [] : [{ address: each.address, bits }];
  });
  const throughRoot = (): HostBridgeVerdict | undefined =>
    from.rootBus === undefined || to.rootBus === undefined
      ? undefined
      : judgeHostBridges(tree, [from.rootBus, to.rootBus]);
  if (path.common !== undefined && redirecting.length === 0) {
    const unread = way.filter((each) => tree.redirects(each) === undefined);
    return { ...pair, redirecting, ...straight(unread, throughRoot) };
  }
  const verdict = throughRoot();
  if (verdict !== undefined) return { ...pair, redirecting, ...byHostBridges(verdict) };
  const functions = [from, to].filter(({ rootBus }) => rootBus === undefined)
    .flatMap((chain) => chain.functions.at(-1)?.address ?? []);
  const reason = { code: "way-not-known", functions } as const;
  return { ...pair, redirecting, kind: "not-known", supported: undefined, reason };
}

type Answer = Pick<PathJudgement, "kind" | "supported" | "reason">;

/** Nothing is seen to redirect. What could not be read may, and then the host bridge decides. */
function straight(
  unread: readonly SnapshotFunction[],
  throughRoot: () => HostBridgeVerdict | undefined,
): Answer {
  if (unread.length === 0) {
    return { kind: "direct", supported: true, reason: { code: "common-bridge" } };
  }
  const functions = unread.map(({ address }) => address);
  const supported = throughRoot()?.permitted === true ? true : undefined;
  return { kind: "not-known", supported, reason: { code: "redirect-not-read", functions } };
}

function byHostBridges({ permitted, reason }: HostBridgeVerdict): Answer {
  if (permitted === undefined) return { kind: "not-known", supported: undefined, reason };
  const kind = permitted ? "through-host-bridge" : "not-supported";
  return { kind, supported: permitted, reason };
}
