/**
 * An AMD host of the Zen kind: an SSD and a NIC, each behind a root port of its own. Nothing is above
 * both, and the kernel lets requests pass because of the processor.
 *
 * @module
 */
import {
  accessControl,
  ACS_ISOLATED,
  advancedErrors,
  bridgeSubsystem,
  express,
  msi,
  powerManagement,
  vendorSpecific,
} from "../description/config_space.ts";
import type { FunctionSpec, MachineSpec } from "../description/machine.ts";
import { connectX, nvme } from "../description/parts.ts";

const MEMORY_BUFFER = 64n << 20n;

/** A root port, after the dummy host bridge that is function 0 of its device. */
function rootPort(address: string, group: number, behind: readonly FunctionSpec[]): FunctionSpec {
  return {
    address,
    group,
    id: "1022:1483",
    class: "060400",
    driver: "pcieport",
    multifunction: true,
    capabilities: [
      powerManagement(0x50),
      express(0x58, { type: "rootPort", slot: true, speed: 4, width: 16 }),
      msi(0xa0),
      bridgeSubsystem(0xc0, 0x1022, 0x1453),
    ],
    extended: [vendorSpecific(0x100), advancedErrors(0x150), accessControl(0x2a0, ACS_ISOLATED)],
    behind,
  };
}

/** The machine. */
export const amdZen: MachineSpec = {
  description:
    "Constructed: an AMD host (Zen 3) with an NVMe controller and a NIC at two root ports.",
  release: "7.1.4",
  cpu: { vendor: "AuthenticAMD", family: 0x19 },
  pageSize: 4096,
  iommu: ["ivhd0"],
  roots: [{
    bus: "pci0000:00",
    numaNode: 0,
    memory: [0xc000_0000n, 0x100_0000_0000n],
    functions: [
      { address: "0000:00:00.0", group: 0, id: "1022:1480", class: "060000", multifunction: true },
      { address: "0000:00:00.2", group: 0, id: "1022:1481", class: "080600" },
      { address: "0000:00:01.0", group: 1, id: "1022:1482", class: "060000", multifunction: true },
      rootPort("0000:00:01.1", 2, [
        nvme({ address: "0000:01:00.0", group: 4, driver: "vfio-pci" }, MEMORY_BUFFER),
      ]),
      { address: "0000:00:03.0", group: 5, id: "1022:1482", class: "060000", multifunction: true },
      rootPort("0000:00:03.1", 6, [
        connectX({ address: "0000:02:00.0", group: 7, driver: "mlx5_core" }, "101d"),
      ]),
    ],
  }],
};
