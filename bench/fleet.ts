/**
 * Hosts as files, and a policy that asks something of each of their devices.
 *
 * @module
 */
import { parseSnapshot } from "../host/parse_snapshot.ts";
import { printSnapshot } from "../host/print_snapshot.ts";
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";

/** Devices below each root port. */
const PORTS = 16;
const CONFIG_BYTES = 4096;
const PAGE = 4096;

/**
 * @param functions how many PCI functions the host has
 * @returns Snapshot v1, as root takes it: with all of configuration space
 */
export function hostText(functions: number): string {
  const ports = Array.from({ length: PORTS }, (_, index) => port(index));
  const devices = Array.from({ length: functions - PORTS }, (_, index) => device(index));
  const snapshot: HostSnapshot = {
    kernel: { release: "7.3.4" },
    pageSize: PAGE,
    iommu: ["dmar0"],
    functions: [...ports, ...devices].toSorted((a, b) => a.address < b.address ? -1 : 1),
    rdma: [],
    drm: [],
    nvme: [],
  };
  const text = [...printSnapshot(snapshot)].join("");
  const { problems } = parseSnapshot(new TextEncoder().encode(text));
  if (problems.length > 0) throw new Error(`Cannot bench with this host: ${problems[0]?.message}`);
  return text;
}

/**
 * @param rules how many exports
 * @param functions of the hosts
 * @returns a policy, each of whose rules can be put into effect
 */
export function fleetPolicy(rules: number, functions: number): string {
  const count = functions - PORTS;
  const names = Array.from({ length: count }, (_, index) => index);
  return [
    "apiVersion: bargate/v1",
    "kind: ExportPolicy",
    "metadata: { name: fleet }",
    "devices:",
    ...names.map((index) =>
      `  d${index}: { match: { id: "1b36:0010", address: "${addressOf(index)}" } }`
    ),
    "importers: { engine: { identity: { user: nobody }, driver: iommufd } }",
    "exports:",
    ...Array.from(
      { length: rules },
      (_, rule) =>
        `  - { name: r${rule}, device: d${rule % count}, bar: 2, importers: [engine], ` +
        `collateral: device, slices: [{ offset: ${
          PAGE * Math.floor(rule / count)
        }, length: 4KiB }] }`,
    ),
    "",
  ].join("\n");
}

function portOf(index: number): string {
  return `0000:00:${hex(index, 2)}.0`;
}

function addressOf(index: number): string {
  return `0000:${hex(1 + index, 2)}:00.0`;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}

function port(index: number): SnapshotFunction {
  return {
    address: portOf(index),
    vendor: "1b36",
    device: "000c",
    class: "060400",
    driver: "pcieport",
    iommuGroup: index,
    parent: "pci0000:00",
    resetMethods: [],
    config: config(0x000c_1b36, 0x0604_0000, 1),
    bars: [],
    unreadable: [],
  };
}

function device(index: number): SnapshotFunction {
  const start = (0x10_0000_0000n + BigInt(index)) * 0x100_0000n;
  return {
    address: addressOf(index),
    vendor: "1b36",
    device: "0010",
    class: "010802",
    driver: "vfio-pci",
    iommuGroup: PORTS + index,
    parent: portOf(index % PORTS),
    cdev: `/dev/vfio/devices/vfio${index}`,
    resetMethods: ["flr"],
    config: config(0x0010_1b36, 0x0108_0200, 0),
    bars: [{ index: 2, kind: "memory64", start, size: 0x100_0000n, prefetchable: true }],
    unreadable: [],
  };
}

/** With MSI-X in BAR 0, as controllers have it. */
function config(id: number, classRevision: number, header: number): Uint8Array {
  const bytes = new Uint8Array(CONFIG_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0x00, id, true);
  view.setUint16(0x06, 0x10, true);
  view.setUint32(0x08, classRevision, true);
  view.setUint8(0x0e, header);
  view.setUint8(0x34, 0x40);
  view.setUint8(0x40, 0x11);
  view.setUint32(0x44, 0x2000, true);
  view.setUint32(0x48, 0x3000, true);
  return bytes;
}
