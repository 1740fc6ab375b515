/**
 * A host for guests that migrate: virtual functions of a NIC on VFIO's variant driver for them, one on
 * plain vfio-pci, one on its native driver; and an SSD.
 *
 * @module
 */
import {
  ACS_ISOLATED,
  advancedErrors,
  alternativeRouting,
  express,
  msix,
  powerManagement,
  virtualization,
} from "../description/config_space.ts";
import type { FunctionSpec, MachineSpec } from "../description/machine.ts";
import { iceLakeMachine, iceLakePort, nvme } from "../description/parts.ts";

const MIB = 1n << 20n;
const PHYSICAL = "0000:04:00.0";
/** Routing ids of the virtual functions: 04:00.2, 04:00.3, … */
const FIRST_OFFSET = 2;
/** What the virtual functions are bound to, the first first. */
const DRIVERS = ["mlx5_vfio_pci", "mlx5_vfio_pci", "vfio-pci", "mlx5_core"];

const physicalFunction: FunctionSpec = {
  address: PHYSICAL,
  group: 2,
  id: "15b3:101d",
  class: "020000",
  subsystem: "15b3:0000",
  driver: "mlx5_core",
  resetMethods: ["flr", "bus"],
  bars: [{ index: 0, size: 32n * MIB }],
  capabilities: [
    express(0x60, { type: "endpoint", flr: true, speed: 4, width: 16 }),
    msix(0x9c, 64, [0, 0x2000], [0, 0x3000]),
    powerManagement(0x40),
  ],
  extended: [
    advancedErrors(0x100),
    alternativeRouting(0x150),
    virtualization(0x180, {
      total: 8,
      enabled: DRIVERS.length,
      offset: FIRST_OFFSET,
      stride: 1,
      device: 0x101e,
    }),
  ],
};

function virtualFunction(driver: string, number: number): FunctionSpec {
  return {
    address: `0000:04:00.${FIRST_OFFSET + number}`,
    group: 3 + number,
    id: "15b3:101e",
    class: "020000",
    driver,
    physfn: PHYSICAL,
    resetMethods: ["flr"],
    bars: [{ index: 0, size: 2n * MIB }],
    capabilities: [
      express(0x60, { type: "endpoint", flr: true, speed: 0, width: 0 }),
      msix(0x9c, 12, [0, 0x2000], [0, 0x3000]),
    ],
    extended: [advancedErrors(0x100), alternativeRouting(0x150)],
  };
}

const machine = iceLakeMachine(
  "Constructed: a NIC's virtual functions on mlx5_vfio_pci, vfio-pci and mlx5_core, and an SSD.",
  [physicalFunction, ...DRIVERS.map(virtualFunction)],
);

/** The machine: the NIC at one root port, the SSD at another. */
export const variant: MachineSpec = {
  ...machine,
  roots: machine.roots.map((root) => ({
    ...root,
    functions: [
      ...root.functions,
      iceLakePort({ address: "0000:00:03.0", group: 8 }, ACS_ISOLATED, [
        nvme({ address: "0000:07:00.0", group: 9, driver: "vfio-pci" }, 64n * MIB),
      ]),
    ],
  })),
};
