/**
 * A storage node: NVMe controllers and a NIC behind one switch, for an SPDK target that lets the NIC
 * reach into a controller's memory buffer. In two variants, which differ in what the switch's ports
 * do with requests from one to the other.
 *
 * @module
 */
import { ACS_ISOLATED, ACS_WITHOUT_REDIRECT } from "../description/config_space.ts";
import type { FunctionSpec, MachineSpec } from "../description/machine.ts";
import {
  connectX,
  iceLakeMachine,
  nvme,
  switchDownstream,
  switchUpstream,
} from "../description/parts.ts";

const MEMORY_BUFFER = 64n << 20n;

/** Whether the switch's ports redirect requests to the root, and what follows for the groups. */
interface Variant {
  readonly what: string;
  readonly acs: number;
  /** IOMMU group of the nth port below the switch, and of what is in it. */
  readonly group: (port: number, function_: number) => number;
}

function machine({ what, acs, group }: Variant): MachineSpec {
  const nic = (address: string, group: number) =>
    connectX({ address, group, driver: "mlx5_core", multifunction: true }, "101d");
  const port = (index: number, address: string, behind: readonly FunctionSpec[]) =>
    switchDownstream({ address, group: group(index, 0), slot: `${index + 1}` }, acs, behind);
  return iceLakeMachine(
    `Constructed: a storage node with an NVMe controller and a NIC behind one switch, ${what}.`,
    [
      switchUpstream({ address: "0000:01:00.0", group: 2 }, [
        port(0, "0000:02:00.0", [
          nvme(
            { address: "0000:03:00.0", group: group(0, 1), driver: "vfio-pci" },
            MEMORY_BUFFER,
          ),
        ]),
        port(1, "0000:02:04.0", [
          nic("0000:04:00.0", group(1, 1)),
          nic("0000:04:00.1", group(1, 2)),
        ]),
        port(2, "0000:02:08.0", [
          nvme({ address: "0000:05:00.0", group: group(2, 1), driver: "nvme" }),
        ]),
      ]),
    ],
  );
}

/** Requests from port to port go up to the root complex: every function is a group of its own. */
export const redirected: MachineSpec = machine({
  what: "whose ports redirect requests to the root complex",
  acs: ACS_ISOLATED,
  group: (port, function_) => 3 + 4 * port + function_,
});

/** Requests go from port to port, past the IOMMU: all that is below the switch is one group. */
export const direct: MachineSpec = machine({
  what: "whose ports let requests through to each other",
  acs: ACS_WITHOUT_REDIRECT,
  group: () => 3,
});
