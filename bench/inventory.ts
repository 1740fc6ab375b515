/**
 * Reading a host's PCI functions, side by side with `lspci -vvv`: a generated sysfs, bound over `/sys`
 * in a mount namespace of its own, so that both read the same files by the same paths.
 *
 * @module
 */
import { ownFile } from "../cmd/own_file.ts";
import { functionTree, type Tree, writeTree } from "../tests/support/sysfs_tree.ts";
import { type Timed, timeProcesses } from "./processes.ts";

const MAIN = ownFile("cmd/main.ts");
const BUS = "pci0000:00";
/** Functions behind one bridge. */
const BEHIND = 255;
const SIZES = [4096, 16_384] as const;
const RUNS = 5;

/**
 * Times both on 4,096 and 16,384 functions.
 *
 * @param folder for the generated trees
 * @param row prints a line
 */
export async function inventories(
  folder: string,
  row: (name: string, value: string, note?: string) => void,
): Promise<void> {
  console.log("\nAll PCI functions of a host, a whole process, milliseconds");
  if (!await hasLspci()) {
    return row("skipped: no lspci, or no mount namespaces", "", "install pciutils and util-linux");
  }
  const own: number[] = [];
  for (const count of SIZES) {
    const root = `${folder}/sysfs-${count}`;
    writeTree(root, hostOf(count));
    const times = await timeProcesses([
      { name: "bargate inventory", command: within(root, [...bargate(), "--format", "json"]) },
      { name: "lspci -vvv", command: within(root, ["lspci", "-vvv"]) },
    ], RUNS);
    const peer = times.get("lspci -vvv") ?? NaN;
    for (const [name, ms] of times) {
      row(
        `${name}, ${count} functions`,
        ms.toFixed(0),
        `${(ms / peer).toFixed(2)} of lspci's time`,
      );
    }
    own.push(times.get("bargate inventory") ?? NaN);
  }
  const [few = NaN, many = NaN] = own;
  row("bargate, four times the functions", `${(many / few).toFixed(1)} times`);
}

function bargate(): readonly string[] {
  return [Deno.execPath(), "run", "-A", MAIN, "inventory"];
}

/** Runs a program with another `/sys`; what it prints is thrown away. */
function within(root: string, command: readonly string[]): Timed["command"] {
  const script = 'mount --bind "$0/sys" /sys && exec "$@" >/dev/null 2>&1';
  return [...NAMESPACE, "sh", "-c", script, root, ...command];
}

const NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "--"] as const;

async function hasLspci(): Promise<boolean> {
  const script = "command -v lspci && mount --bind /tmp /sys";
  const [program, ...flags] = NAMESPACE;
  const args = [...flags, "sh", "-c", script];
  const options = { args, stdout: "null", stderr: "null" } as const;
  try {
    return (await new Deno.Command(program, options).output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** A root port for each 255 functions behind it, each with all of its configuration space. */
function hostOf(count: number): Tree {
  const tree: Record<string, Tree[string]> = {};
  const config = new Uint8Array(4096 - 64);
  let made = 0;
  for (let domain = 0; made < count; domain++) {
    const prefix = domain.toString(16).padStart(4, "0");
    const root = BUS.replace("0000", prefix);
    const bridge = `${prefix}:00:01.0`;
    Object.assign(
      tree,
      functionTree({
        address: bridge,
        below: root,
        id: [0x1b36, 0xc],
        class: "060400",
        group: made,
        config,
      }),
    );
    made++;
    for (let at = 0; at < BEHIND && made < count; at++, made++) {
      const device = (at >> 3).toString(16).padStart(2, "0");
      const start = 0x1000_0000 + at * 0x4000;
      const hex = (value: number) => `0x${value.toString(16).padStart(16, "0")}`;
      Object.assign(
        tree,
        functionTree({
          address: `${prefix}:01:${device}.${at & 7}`,
          below: `${root}/${bridge}`,
          id: [0x1b36, 0x10],
          class: "010802",
          driver: "nvme",
          group: made,
          config: expressConfig(),
          resource: [`${hex(start)} ${hex(start + 0x3fff)} ${hex(0x140204)}`],
        }),
      );
    }
  }
  return tree;
}

/** PCI Express, MSI-X and a serial number: what a controller has. */
function expressConfig(): Uint8Array {
  const whole = new Uint8Array(4096);
  const view = new DataView(whole.buffer);
  view.setUint8(0x40, 0x11);
  view.setUint8(0x41, 0x50);
  view.setUint16(0x42, 64, true);
  view.setUint32(0x44, 0x2000, true);
  view.setUint32(0x48, 0x3000, true);
  view.setUint8(0x50, 0x10);
  view.setUint16(0x52, 2, true);
  view.setUint32(0x54, 0x1000_0000, true);
  view.setUint32(0x100, 0x0001_0003, true);
  view.setUint32(0x104, 0x1234, true);
  return whole.subarray(64);
}
