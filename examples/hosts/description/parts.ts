/**
 * Devices that several of the machines have. Where their facts are from: `../README.md`.
 *
 * @module
 */
import {
  accessControl,
  ACS_ISOLATED,
  advancedErrors,
  alternativeRouting,
  bridgeSubsystem,
  express,
  msi,
  msix,
  powerManagement,
  serialNumber,
} from "./config_space.ts";
import type { BarSpec, FunctionSpec, MachineSpec } from "./machine.ts";

const KIB = 1n << 10n;
const MIB = 1n << 20n;
const GIB = 1n << 30n;

/** Where a function sits, and what drives it. */
export interface Seat {
  readonly address: string;
  readonly group: number;
  readonly driver?: string;
  readonly slot?: string;
  readonly multifunction?: true;
}

/** Intel Ice Lake: the first function of a root bus, by which Linux knows the host bridge. */
export function iceLakeRoot({ address, group }: Seat): FunctionSpec {
  return {
    address,
    group,
    id: "8086:09a2",
    class: "088000",
    revision: 0x04,
    subsystem: "8086:0000",
    capabilities: [express(0x40, { type: "rootComplexEndpoint", speed: 0, width: 0 })],
  };
}

/** Intel Ice Lake root port. */
export function iceLakePort(
  { address, group }: Seat,
  acs: number,
  behind: readonly FunctionSpec[],
): FunctionSpec {
  return {
    address,
    group,
    id: "8086:347a",
    class: "060400",
    revision: 0x04,
    driver: "pcieport",
    bars: [{ index: 0, size: 128n * KIB, prefetchable: false }],
    capabilities: [
      express(0x40, { type: "rootPort", speed: 4, width: 16 }),
      powerManagement(0x80),
      bridgeSubsystem(0x88, 0x8086, 0x0000),
    ],
    extended: [advancedErrors(0x100), accessControl(0x148, acs)],
    behind,
  };
}

/** Processors of Intel's servers: of family 6, as all of them before 2025. */
export const INTEL_CPU = { vendor: "GenuineIntel", family: 6 };

/** A machine of one socket, with everything behind one isolated root port of its first bus. */
export function iceLakeMachine(
  description: string,
  behind: readonly FunctionSpec[],
): MachineSpec {
  return {
    description,
    release: "7.1.4",
    cpu: INTEL_CPU,
    pageSize: 4096,
    iommu: ["dmar0"],
    roots: [{
      bus: "pci0000:00",
      numaNode: 0,
      memory: [0xa000_0000n, 0x3800_0000_0000n],
      functions: [
        iceLakeRoot({ address: "0000:00:00.0", group: 0 }),
        iceLakePort({ address: "0000:00:02.0", group: 1 }, ACS_ISOLATED, behind),
      ],
    }],
  };
}

/** Upstream port of a Broadcom PEX88000 switch. */
export function switchUpstream(
  { address, group }: Seat,
  behind: readonly FunctionSpec[],
): FunctionSpec {
  return {
    ...switchPort({ address, group }),
    capabilities: switchCapabilities("upstream"),
    extended: [serialNumber(0x100, SWITCH_SERIAL), advancedErrors(0xfb4, 1)],
    behind,
  };
}

/** Downstream port of the switch. */
export function switchDownstream(
  { address, group, slot }: Seat,
  acs: number,
  behind: readonly FunctionSpec[],
): FunctionSpec {
  return {
    ...switchPort({ address, group, ...(slot === undefined ? {} : { slot }) }),
    capabilities: switchCapabilities("downstream"),
    extended: [
      serialNumber(0x100, SWITCH_SERIAL),
      advancedErrors(0xfb4, 1),
      accessControl(0xf24, acs),
    ],
    behind,
  };
}

/** Made up: the real ones belong to somebody. */
const SWITCH_SERIAL = 0x0000_5e00_5300_0001n;

function switchPort({ address, group, slot }: Seat): FunctionSpec {
  return {
    address,
    group,
    ...(slot === undefined ? {} : { slot }),
    id: "1000:c010",
    class: "060400",
    revision: 0xb0,
    driver: "pcieport",
  };
}

function switchCapabilities(type: "upstream" | "downstream") {
  return [
    powerManagement(0x40),
    express(0x68, { type, slot: type === "downstream", speed: 4, width: 16 }),
    bridgeSubsystem(0xa4, 0x1000, 0xa064),
  ];
}

/** Samsung NVMe controller; a controller memory buffer in BAR 2 is made up, where it has one. */
export function nvme(seat: Seat, memoryBuffer?: bigint): FunctionSpec {
  const registers: BarSpec = { index: 0, size: 16n * KIB, prefetchable: false };
  return {
    ...seat,
    id: "144d:a80a",
    class: "010802",
    subsystem: "144d:a801",
    resetMethods: ["flr", "bus"],
    bars: memoryBuffer === undefined ? [registers] : [registers, { index: 2, size: memoryBuffer }],
    capabilities: [
      powerManagement(0x40),
      msi(0x50),
      express(0x70, { type: "endpoint", flr: true, speed: 4, width: 4 }),
      msix(0xb0, 130, [0, 0x3000], [0, 0x2000]),
    ],
    extended: [advancedErrors(0x100), alternativeRouting(0x168)],
  };
}

/** NVIDIA ConnectX, by its device id. */
export function connectX(seat: Seat, device: "101d" | "1021"): FunctionSpec {
  return {
    ...seat,
    id: `15b3:${device}`,
    class: "020000",
    subsystem: "15b3:0000",
    resetMethods: ["flr", "bus"],
    bars: [{ index: 0, size: 32n * MIB }],
    capabilities: [
      express(0x60, { type: "endpoint", flr: true, speed: device === "1021" ? 5 : 4, width: 16 }),
      msix(0x9c, 64, [0, 0x2000], [0, 0x3000]),
      powerManagement(0x40),
    ],
    extended: [advancedErrors(0x100)],
  };
}

/** NVIDIA H100 80GB HBM3. */
export function h100(seat: Seat): FunctionSpec {
  return {
    ...seat,
    id: "10de:2330",
    class: "030200",
    revision: 0xa1,
    subsystem: "10de:16c1",
    resetMethods: ["flr", "bus"],
    bars: [
      { index: 0, size: 16n * MIB },
      { index: 2, size: 128n * GIB },
      { index: 4, size: 32n * MIB },
    ],
    capabilities: [
      powerManagement(0x40),
      msi(0x48),
      express(0x60, { type: "endpoint", flr: true, speed: 5, width: 16 }),
      msix(0xc8, 6, [0, 0xb9_0000], [0, 0xba_0000]),
    ],
    extended: [advancedErrors(0x100)],
  };
}
