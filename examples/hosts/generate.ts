/**
 * Writes the constructed example hosts from their descriptions in `machines/`. A test compares them
 * with fresh ones.
 *
 * Run: `deno run -A examples/hosts/generate.ts`
 *
 * @module
 */
import { printSnapshot } from "../../host/print_snapshot.ts";
import { type MachineSpec, snapshotOf } from "./description/machine.ts";
import { amdZen } from "./machines/amd_zen.ts";
import { arm64 } from "./machines/arm64.ts";
import { gpuNode } from "./machines/gpu_node.ts";
import { intelDesktop } from "./machines/intel_desktop.ts";
import { direct, redirected } from "./machines/spdk.ts";
import { variant } from "./machines/variant.ts";
import { vmHost } from "./machines/vm_host.ts";

const MACHINES: Readonly<Record<string, MachineSpec>> = {
  "amd-zen.json": amdZen,
  "arm64-64k.json": arm64,
  "gpu-node.json": gpuNode,
  "intel-desktop.json": intelDesktop,
  "spdk-direct.json": direct,
  "spdk-redirected.json": redirected,
  "variant.json": variant,
  "vm-host.json": vmHost,
};

/** Text of each constructed host, by the name of its file. */
export function exampleHosts(): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(MACHINES).map(([file, machine]) =>
      [file, [...printSnapshot(snapshotOf(machine))].join("")] as const
    ),
  );
}

if (import.meta.main) {
  for (const [file, text] of exampleHosts()) {
    await Deno.writeTextFile(new URL(file, import.meta.url), text);
  }
}
