/**
 * Devices that no IOMMU confines. VFIO gives them out all the same where its no-IOMMU mode is switched
 * on (`enable_unsafe_noiommu_mode`): to whoever has CAP_SYS_RAWIO, with a taint of the kernel, and the
 * device can then reach all of memory.
 *
 * @module
 */
import type { HostSnapshot, SnapshotFunction } from "./snapshot.ts";

/** What the kernel calls the nodes of such devices (`vfio_noiommu_group_alloc`, drivers/vfio/group.c). */
const UNSAFE_NODE = "/dev/vfio/noiommu-";

/**
 * Why no IOMMU confines a device.
 *
 * @param host its snapshot
 * @param entry a function of it that VFIO is to own
 * @returns undefined if one does, or nobody can tell
 *
 * @example
 * ```ts
 * import { whyNoIommu } from "./no_iommu.ts";
 *
 * const entry = { groupNode: "/dev/vfio/noiommu-3", iommuGroup: 3, unreadable: [] };
 * if (whyNoIommu({ iommu: ["dmar0"] }, entry) === undefined) throw new Error("it is in no group");
 * ```
 */
export function whyNoIommu(
  host: Pick<HostSnapshot, "iommu" | "unreadable">,
  entry: Pick<SnapshotFunction, "groupNode" | "iommuGroup" | "unreadable">,
): string | undefined {
  if (entry.groupNode?.startsWith(UNSAFE_NODE)) {
    return `its node is ${entry.groupNode}, VFIO's for devices without one`;
  }
  if (host.iommu.length === 0 && !isUnread(host.unreadable, "iommu")) {
    return "the host has none at work (/sys/class/iommu is empty)";
  }
  return entry.iommuGroup === undefined && !isUnread(entry.unreadable, "iommuGroup")
    ? "it is in no IOMMU group"
    : undefined;
}

function isUnread(unreadable: HostSnapshot["unreadable"], wanted: string): boolean {
  return unreadable?.some(({ field }) => field === wanted) ?? false;
}
