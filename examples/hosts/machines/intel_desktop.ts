/**
 * A desktop: its host bridge is none that the kernel lets peer-to-peer requests pass. An SSD sits at
 * the chip set, a NIC at the processor.
 *
 * @module
 */
import {
  accessControl,
  ACS_ISOLATED,
  bridgeSubsystem,
  express,
  msi,
  powerManagement,
} from "../description/config_space.ts";
import type { FunctionSpec, MachineSpec } from "../description/machine.ts";
import { connectX, INTEL_CPU, nvme } from "../description/parts.ts";

const MEMORY_BUFFER = 64n << 20n;

/** A root port of the processor, which has no Access Control Services. */
function processorPort(behind: readonly FunctionSpec[]): FunctionSpec {
  return {
    address: "0000:00:01.0",
    group: 1,
    id: "8086:1901",
    class: "060400",
    driver: "pcieport",
    capabilities: [
      bridgeSubsystem(0x88, 0x8086, 0x2015),
      powerManagement(0x80),
      msi(0x90),
      express(0xa0, { type: "rootPort", slot: true, speed: 3, width: 16 }),
    ],
    extended: [],
    behind,
  };
}

/** A root port of the chip set. */
function chipSetPort(behind: readonly FunctionSpec[]): FunctionSpec {
  return {
    address: "0000:00:1d.0",
    group: 2,
    id: "8086:a330",
    class: "060400",
    revision: 0xf0,
    driver: "pcieport",
    capabilities: [
      express(0x40, { type: "rootPort", slot: true, speed: 3, width: 4 }),
      msi(0x80),
      bridgeSubsystem(0x90, 0x8086, 0x0000),
      powerManagement(0xa0),
    ],
    extended: [accessControl(0x100, ACS_ISOLATED)],
    behind,
  };
}

/** The machine. */
export const intelDesktop: MachineSpec = {
  description: "Constructed: an Intel desktop, whose host bridge is not on the kernel's list.",
  release: "7.1.4",
  cpu: INTEL_CPU,
  pageSize: 4096,
  iommu: ["dmar0"],
  roots: [{
    bus: "pci0000:00",
    numaNode: 0,
    memory: [0x9000_0000n, 0x40_0000_0000n],
    functions: [
      { address: "0000:00:00.0", group: 0, id: "8086:3ec2", class: "060000" },
      // Without isolation the port and what is below it are one group.
      processorPort([connectX({ address: "0000:01:00.0", group: 1, driver: "mlx5_core" }, "101d")]),
      chipSetPort([
        nvme({ address: "0000:02:00.0", group: 3, driver: "vfio-pci" }, MEMORY_BUFFER),
      ]),
    ],
  }],
};
