/**
 * An arm64 host whose kernel has pages of 64 KiB: an NVMe controller with a memory buffer in one PCI
 * domain, a NIC in another.
 *
 * @module
 */
import {
  accessControl,
  ACS_ISOLATED,
  advancedErrors,
  express,
  msi,
  powerManagement,
} from "../description/config_space.ts";
import type { FunctionSpec, MachineSpec, RootComplexSpec } from "../description/machine.ts";
import { connectX, nvme } from "../description/parts.ts";

const MEMORY_BUFFER = 64n << 20n;

/** An Ampere Altra root complex: a host bridge, and a root port. */
function rootComplex(
  domain: string,
  memory: readonly [bigint, bigint],
  group: number,
  behind: readonly FunctionSpec[],
): RootComplexSpec {
  return {
    bus: `pci${domain}:00`,
    numaNode: 0,
    memory,
    functions: [
      { address: `${domain}:00:00.0`, group, id: "1def:e100", class: "060000" },
      {
        address: `${domain}:00:01.0`,
        group: group + 1,
        id: "1def:e101",
        class: "060400",
        revision: 0x04,
        driver: "pcieport",
        capabilities: [
          powerManagement(0x40),
          msi(0x50),
          express(0x70, { type: "rootPort", speed: 4, width: 16 }),
        ],
        extended: [advancedErrors(0x100), accessControl(0x148, ACS_ISOLATED)],
        behind,
      },
    ],
  };
}

/** The machine. */
export const arm64: MachineSpec = {
  description: "Constructed: arm64 with pages of 64 KiB, an NVMe controller and a NIC.",
  release: "7.1.4-64k",
  cpu: {},
  pageSize: 65536,
  iommu: ["smmu3.0x000033fffe000000", "smmu3.0x000037fffe000000"],
  roots: [
    rootComplex("000c", [0x4000_0000n, 0x3000_0000_0000n], 0, [
      connectX({ address: "000c:01:00.0", group: 2, driver: "mlx5_core" }, "101d"),
    ]),
    rootComplex("000d", [0x5000_0000n, 0x3400_0000_0000n], 3, [
      nvme({ address: "000d:01:00.0", group: 5, driver: "vfio-pci" }, MEMORY_BUFFER),
    ]),
  ],
};
