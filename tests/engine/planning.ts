/** A host and a policy that fits it, for tests of what is planned and checked beforehand. @module */
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";

export const SSD = "0000:01:00.0";

/** An NVMe controller as QEMU's: registers with MSI-X in BAR 0, controller memory in BAR 2. */
export function nvme(address: string, more: Partial<SnapshotFunction> = {}): SnapshotFunction {
  const config = new Uint8Array(256);
  const view = new DataView(config.buffer);
  view.setUint32(0, 0x0010_1b36, true);
  view.setUint16(0x06, 0x10, true);
  view.setUint8(0x34, 0x40);
  view.setUint8(0x40, 0x11);
  view.setUint16(0x42, 64, true);
  view.setUint32(0x44, 0x2000, true);
  view.setUint32(0x48, 0x3000, true);
  return {
    address,
    vendor: "1b36",
    device: "0010",
    subsystem: "1af4:1100",
    class: "010802",
    driver: "vfio-pci",
    iommuGroup: 1,
    parent: "0000:00:10.0",
    cdev: "/dev/vfio/devices/vfio0",
    resetMethods: ["flr"],
    config,
    bars: [
      { index: 0, kind: "memory64", start: 0xfe00_0000n, size: 0x4000n, prefetchable: false },
      { index: 2, kind: "memory64", start: 0x8_0000_0000n, size: 0x100_0000n, prefetchable: true },
      { index: 4, kind: "io", start: 0xc000n, size: 0x1000n, prefetchable: false },
      { index: 5, kind: "memory32", start: 0xfd00_0000n, size: 0x100n, prefetchable: false },
    ],
    unreadable: [],
    ...more,
  };
}

export function host(
  functions: readonly SnapshotFunction[] = [nvme(SSD)],
  more: Partial<HostSnapshot> = {},
): HostSnapshot {
  return { kernel: { release: "7.3.4" }, pageSize: 4096, iommu: ["dmar0"], functions, ...more };
}

/** What a policy of one rule says. */
export interface Rule {
  readonly match?: string;
  readonly bar?: number;
  readonly slices?: string;
  /** The importer's. */
  readonly driver?: string;
  readonly more?: string;
  readonly tail?: string;
}

export function policy(rule: Rule = {}): string {
  const {
    match = `{ id: "1b36:0010" }`,
    bar = 2,
    slices = "{ offset: 4KiB, length: 8KiB }",
    driver = "iommufd",
  } = rule;
  return `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
devices: { ssd: { match: ${match} } }
importers: { engine: { identity: { user: nobody }, driver: ${driver} } }
exports:
  - name: data
    device: ssd
    bar: ${bar}
    slices: [${slices}]
    importers: [engine]
${rule.more ?? ""}${rule.tail ?? ""}`;
}
