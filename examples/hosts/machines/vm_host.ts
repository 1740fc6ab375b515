/**
 * A host of virtual machines: a NIC with two ports, the first of which has virtual functions for
 * guests.
 *
 * @module
 */
import {
  advancedErrors,
  alternativeRouting,
  express,
  msi,
  msix,
  powerManagement,
  serialNumber,
  virtualization,
} from "../description/config_space.ts";
import type { FunctionSpec, MachineSpec } from "../description/machine.ts";
import { iceLakeMachine } from "../description/parts.ts";

const KIB = 1n << 10n;
/** Routing ids of the virtual functions: 04:10.0, 04:10.2, … */
const FIRST_OFFSET = 0x80;
const STRIDE = 2;
const VIRTUAL = 4;

/** A port of an Intel 82599. */
function port(number: number, group: number, enabled: number): FunctionSpec {
  return {
    address: `0000:04:00.${number}`,
    group,
    id: "8086:10fb",
    class: "020000",
    revision: 0x01,
    subsystem: "8086:0003",
    driver: "ixgbe",
    multifunction: true,
    resetMethods: ["flr", "bus"],
    bars: [
      { index: 0, size: 512n * KIB },
      { index: 2, size: 32n, kind: "io" },
      { index: 4, size: 16n * KIB },
    ],
    capabilities: [
      powerManagement(0x40),
      msi(0x50),
      msix(0x70, 64, [4, 0x0000], [4, 0x2000]),
      express(0xa0, { type: "endpoint", flr: true, speed: 2, width: 8 }),
    ],
    extended: [
      advancedErrors(0x100, 1),
      serialNumber(0x140, 0x0000_5eff_ff00_5301n),
      alternativeRouting(0x150),
      virtualization(0x160, {
        total: 64,
        enabled,
        offset: FIRST_OFFSET,
        stride: STRIDE,
        device: 0x10ed,
      }),
    ],
  };
}

/** A virtual function of the first port. */
function virtualFunction(number: number, group: number): FunctionSpec {
  const routing = FIRST_OFFSET + number * STRIDE;
  const device = (routing >> 3).toString(16).padStart(2, "0");
  return {
    address: `0000:04:${device}.${routing & 7}`,
    group,
    id: "8086:10ed",
    class: "020000",
    revision: 0x01,
    driver: "vfio-pci",
    physfn: "0000:04:00.0",
    resetMethods: ["flr"],
    bars: [{ index: 0, size: 16n * KIB }, { index: 3, size: 16n * KIB }],
    capabilities: [
      msix(0x70, 3, [3, 0x0000], [3, 0x2000]),
      express(0xa0, { type: "endpoint", flr: true, speed: 0, width: 0 }),
    ],
    extended: [advancedErrors(0x100, 1), alternativeRouting(0x150)],
  };
}

/** The machine. */
export const vmHost: MachineSpec = iceLakeMachine(
  "Constructed: a NIC with four virtual functions, all of them for guests.",
  [
    port(0, 2, VIRTUAL),
    port(1, 3, 0),
    ...Array.from({ length: VIRTUAL }, (_, number) => virtualFunction(number, 4 + number)),
  ],
);
