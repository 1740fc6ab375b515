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
/** One RDMA card below each of them. */
const CARDS = PORTS;
/** So many devices are in one IOMMU group. */
const SHARING = 4;
const CONFIG_BYTES = 4096;
const PAGE = 4096;

/**
 * @param functions how many PCI functions the host has
 * @param number of the host; by it serial numbers and the addresses of BARs differ
 * @returns Snapshot v1, as root takes it: with all of configuration space
 */
export function hostText(functions: number, number: number): string {
  const ports = Array.from({ length: PORTS }, (_, index) => port(index));
  const devices = Array.from(
    { length: functions - PORTS - CARDS },
    (_, index) => device(index, number),
  );
  const cards = Array.from(
    { length: CARDS },
    (_, index) => card(index, devices.length + index, number),
  );
  const snapshot: HostSnapshot = {
    kernel: { release: "7.3.4" },
    cpu: { vendor: "AuthenticAMD", family: 25 },
    pageSize: PAGE,
    iommu: ["ivhd0"],
    functions: [...ports, ...devices, ...cards].toSorted((a, b) => a.address < b.address ? -1 : 1),
    rdma: cards.map(({ address }, index) => ({
      name: `mlx5_${String(index).padStart(2, "0")}`,
      function: address,
    })),
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
 * @returns a policy, each of whose rules can be put into effect; of half of them the kernel would ask
 *   for a path
 */
export function fleetPolicy(rules: number, functions: number): string {
  const count = functions - PORTS - CARDS;
  const names = Array.from({ length: count }, (_, index) => index);
  return [
    "apiVersion: bargate/v1",
    "kind: ExportPolicy",
    "metadata: { name: fleet }",
    "devices:",
    ...names.map((index) =>
      `  d${index}: { match: { id: "1b36:0010", address: "${addressOf(index)}" } }`
    ),
    "importers:",
    "  engine: { identity: { user: nobody }, driver: iommufd }",
    "  target: { identity: { user: nobody }, driver: mlx5 }",
    "exports:",
    ...Array.from(
      { length: rules },
      (_, rule) =>
        `  - { name: r${rule}, device: d${rule % count}, bar: 2, importers: [${
          IMPORTERS[rule % 2]
        }], ` +
        `collateral: device, slices: [{ offset: ${
          PAGE * Math.floor(rule / count)
        }, length: 4KiB }] }`,
    ),
    "",
  ].join("\n");
}

const IMPORTERS = ["engine", "target"] as const;

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
    config: config(0x000c_1b36, 0x0604_0000, 1, 0n),
    bars: [],
    unreadable: [],
  };
}

/** Where a function's BAR is, apart from all others of its host, and elsewhere on each host. */
function barAt(index: number, host: number): bigint {
  return (0x1_0000n * BigInt(1 + host) + BigInt(index)) * 0x100_0000n;
}

function serialOf(index: number, host: number): bigint {
  return BigInt(host + 1) << 32n | BigInt(index + 1);
}

/** An RDMA card on its own driver. */
function card(port: number, index: number, host: number): SnapshotFunction {
  const start = barAt(index, host);
  return {
    address: addressOf(index),
    vendor: "15b3",
    device: "101d",
    class: "020000",
    driver: "mlx5_core",
    iommuGroup: PORTS + index,
    parent: portOf(port),
    resetMethods: ["flr"],
    config: config(0x101d_15b3, 0x0200_0000, 0, serialOf(index, host)),
    bars: [{ index: 0, kind: "memory64", start, size: 0x100_0000n, prefetchable: true }],
    unreadable: [],
  };
}

function device(index: number, host: number): SnapshotFunction {
  const start = barAt(index, host);
  return {
    address: addressOf(index),
    vendor: "1b36",
    device: "0010",
    class: "010802",
    driver: "vfio-pci",
    iommuGroup: PORTS + (index < SHARING ? 0 : index),
    parent: portOf(index % PORTS),
    cdev: `/dev/vfio/devices/vfio${index}`,
    resetMethods: ["flr"],
    config: config(0x0010_1b36, 0x0108_0200, 0, serialOf(index, host)),
    bars: [{ index: 2, kind: "memory64", start, size: 0x100_0000n, prefetchable: true }],
    unreadable: [],
  };
}

/** With MSI-X in BAR 0, as controllers have it, and a serial number. */
function config(id: number, classRevision: number, header: number, serial: bigint): Uint8Array {
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
  view.setUint32(0x100, 0x0001_0003, true);
  view.setBigUint64(0x104, serial, true);
  return bytes;
}
