/**
 * How the kernel of a host was configured.
 *
 * @module
 */
import { type KernelConfigRead, readKernelConfig } from "../host/kernel_config.ts";
import type { ThisHost } from "./prepare_plan.ts";

/**
 * Reads it. A simulated host's configuration is what its snapshot says.
 *
 * @param host this one, or a simulated one
 */
export async function kernelConfigOf(
  { files, release, simulated }: ThisHost,
): Promise<KernelConfigRead> {
  if (simulated === undefined) return await readKernelConfig(files, release);
  const { config } = simulated.kernel;
  return { ...(config === undefined ? {} : { config }), unreadable: [], findings: [] };
}
