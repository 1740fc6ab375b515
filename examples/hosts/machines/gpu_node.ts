/**
 * A node with eight GPUs and eight NICs on two sockets: four switches, each under a root complex of
 * its own, two of them at each socket, with two GPUs and two NICs.
 *
 * @module
 */
import { ACS_ISOLATED } from "../description/config_space.ts";
import type { FunctionSpec, MachineSpec, RootComplexSpec } from "../description/machine.ts";
import {
  connectX,
  h100,
  iceLakePort,
  iceLakeRoot,
  INTEL_CPU,
  switchDownstream,
  switchUpstream,
} from "../description/parts.ts";

/** First bus of each root complex; two at each socket. */
const ROOT_BUSES = [0x16, 0x49, 0x97, 0xc9];
/** Functions of one root complex, each a group of its own. */
const GROUPS_EACH = 16;

function rootComplex(base: number, index: number): RootComplexSpec {
  const bus = (number: number) => (base + number).toString(16).padStart(2, "0");
  let group = index * GROUPS_EACH;
  const next = () => group++;
  const port = (device: number, behind: FunctionSpec) => {
    const address = `0000:${bus(2)}:${(4 * device).toString(16).padStart(2, "0")}.0`;
    const slot = `${index * 4 + device + 1}`;
    return switchDownstream({ address, group: next(), slot }, ACS_ISOLATED, [behind]);
  };
  const end = (number: number) => `0000:${bus(number)}:00.0`;
  return {
    bus: `pci0000:${bus(0)}`,
    numaNode: Math.floor(index / 2),
    memory: [
      0x9000_0000n + BigInt(index) * 0x1000_0000n,
      0x2000_0000_0000n + (BigInt(index) << 43n),
    ],
    functions: [
      iceLakeRoot({ address: end(0), group: next() }),
      iceLakePort({ address: `0000:${bus(0)}:02.0`, group: next() }, ACS_ISOLATED, [
        switchUpstream({ address: end(1), group: next() }, [
          port(0, h100({ address: end(3), group: next(), driver: "vfio-pci" })),
          port(1, h100({ address: end(4), group: next(), driver: "vfio-pci" })),
          port(2, connectX({ address: end(5), group: next(), driver: "mlx5_core" }, "1021")),
          port(3, connectX({ address: end(6), group: next(), driver: "mlx5_core" }, "1021")),
        ]),
      ]),
    ],
  };
}

/** The machine. */
export const gpuNode: MachineSpec = {
  description:
    "Constructed: eight GPUs and eight NICs on two sockets, two of each behind each of four switches.",
  release: "7.1.4",
  cpu: INTEL_CPU,
  pageSize: 4096,
  iommu: ["dmar0", "dmar1", "dmar2", "dmar3"],
  roots: ROOT_BUSES.map(rootComplex),
};
