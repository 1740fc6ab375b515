/**
 * The kernel's own decision about peer-to-peer paths, against what the inventory says. The kernel makes
 * it when a disk is read straight into another function's memory, and says in its log what was in the
 * way; a buffer exported by VFIO is judged by the same routine when an importer maps it.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { until } from "../guest/until.ts";
import type { LabDevice } from "../machine/topology.ts";
import { findExtendedCapability } from "../../host/topology/extended_capability.ts";

/** Bargate is started, on a machine that others use too. */
const LIMIT_MS = 300_000;
const START_MS = 120_000;

/** A pair of the matrix, as far as a case looks at it. */
interface JudgedPath {
  readonly exporter: string;
  readonly importer: string;
  readonly path: string;
  readonly reason: string;
  readonly redirecting: readonly { readonly address: string }[];
}

async function pathsTo(context: CaseContext, disk: LabDevice): Promise<readonly JudgedPath[]> {
  const args = ["inventory", "--matrix", "--format", "json"];
  const ran = await context.bargate(args, { limitMs: START_MS });
  assert.equal(ran.status, 0, ran.stderr);
  const { paths } = JSON.parse(ran.stdout) as { paths: readonly JudgedPath[] };
  return paths.filter(({ importer }) => importer === disk.address);
}

/** The block device of a controller. */
async function namespaceOf({ address }: LabDevice): Promise<string> {
  for await (const { name } of Deno.readDir(`/sys/bus/pci/devices/${address}/nvme`)) {
    return `/dev/${name}n1`;
  }
  throw new Error(`Cannot find the controller of ${address}: it has no entry`);
}

/** What the kernel answers and logs when it is to map one's memory for the other. */
async function asked(context: CaseContext, memory: LabDevice, disk: LabDevice) {
  const before = await context.kernelLog.mark();
  const command = [context.program("peer_read"), memory.address, await namespaceOf(disk)];
  const { status, stdout, stderr } = await context.run(command);
  assert.equal(status, 0, stderr);
  return { answer: stdout.trim(), log: (await context.kernelLog.since(before)).join("\n") };
}

/** The functions that the kernel names as those that redirect. */
function redirectingIn(log: string): readonly string[] {
  const [, list = ""] = /pci=disable_acs_redir=(\S+)/.exec(log) ?? [];
  return list.split(";").filter((address) => address !== "");
}

/** Both say that there is no path, and for the same reason. */
async function agrees(context: CaseContext, memory: LabDevice): Promise<readonly string[]> {
  const disk = context.devices.peerDisk;
  const judged = (await pathsTo(context, disk)).find(({ exporter }) => exporter === memory.address);
  const { answer, log } = await asked(context, memory, disk);
  assert.deepEqual([judged?.path, judged?.reason], ["not-supported", "not-listed"]);
  assert.equal(answer, "EINVAL", log);
  assert.match(log, new RegExp(`cannot be used for peer-to-peer DMA .*${memory.address}`));
  const redirecting = judged?.redirecting.map(({ address }) => address) ?? [];
  assert.deepEqual(redirectingIn(log), redirecting, log);
  return redirecting;
}

/** The root port above the two functions. */
const PORT = "0000:00:17.0";
/** PCI_ACS_CTRL, and its bits by which requests go to the root complex. */
const ACS_CONTROL = 6;
const REDIRECT = 0x2c;

/** Lets requests through at a port for the length of a case; the kernel keeps its answers otherwise. */
async function letThrough(context: CaseContext, port: string): Promise<void> {
  const path = `/sys/bus/pci/devices/${port}/config`;
  const config = await Deno.readFile(path);
  const at = findExtendedCapability(config, 0x0d);
  assert.ok(typeof at === "number");
  const view = new DataView(config.buffer);
  const control = view.getUint16(at + ACS_CONTROL, true);
  const write = (word: number) => {
    using file = Deno.openSync(path, { write: true });
    file.seekSync(at + ACS_CONTROL, Deno.SeekMode.Start);
    file.writeSync(new Uint8Array([word & 0xff, word >> 8]));
  };
  assert.notEqual(control & REDIRECT, 0);
  context.defer(() => write(control));
  write(control & ~REDIRECT);
}

/** With a driver that is bound anew a function's memory is asked for anew. */
async function bindAnew({ address }: LabDevice): Promise<void> {
  await Deno.writeTextFile("/sys/bus/pci/drivers/nvme/unbind", address);
  await Deno.writeTextFile("/sys/bus/pci/drivers/nvme/bind", address);
  const published = `/sys/bus/pci/devices/${address}/p2pmem/published`;
  await until(`the memory of ${address}`, 30_000, async () => {
    try {
      return (await Deno.readTextFile(published)).trim() === "1" || undefined;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      return undefined;
    }
  });
}

/** The kernel lets requests through the host bridge of an AMD Zen, and they go through. */
async function throughHostBridge(context: CaseContext): Promise<void> {
  const { peerDisk: disk, peerMemory, nativeNvme } = context.devices;
  const paths = await pathsTo(context, disk);
  for (const [memory, redirecting] of [[nativeNvme, []], [peerMemory, [PORT]]] as const) {
    const judged = paths.find(({ exporter }) => exporter === memory.address);
    assert.deepEqual([judged?.path, judged?.reason], ["through-host-bridge", "amd-zen"]);
    assert.deepEqual(judged?.redirecting.map(({ address }) => address), redirecting);
    const { answer, log } = await asked(context, memory, disk);
    assert.equal(answer, "arrived", log);
    assert.doesNotMatch(log, /cannot be used for peer-to-peer DMA/);
  }
  const table = await context.bargate(["inventory", "--matrix"], { limitMs: START_MS });
  assert.match(table.stdout, /through the host bridge/, table.stderr);
}

/** The cases. */
export const cases: readonly LabCase[] = [
  {
    name: "topology: what redirects is what the kernel names",
    about: "Two functions behind one root port, whose ACS sends requests up to the root complex.",
    limitMs: LIMIT_MS,
    async run(context) {
      assert.deepEqual(await agrees(context, context.devices.peerMemory), [PORT]);
    },
  },
  {
    name: "topology: between two root ports the host bridge decides, as the kernel says",
    limitMs: LIMIT_MS,
    async run(context) {
      assert.deepEqual(await agrees(context, context.devices.nativeNvme), []);
    },
  },
  {
    name: "topology: on an AMD Zen the host bridge lets requests through, as the kernel says",
    about: "Between two root ports, and between two functions behind one port that redirects.",
    processor: "EPYC",
    limitMs: LIMIT_MS,
    run: throughHostBridge,
  },
  {
    name: "topology: where nothing redirects the path is direct, and the kernel uses bus addresses",
    limitMs: LIMIT_MS,
    async run(context) {
      const { peerMemory, peerDisk } = context.devices;
      context.defer(() => bindAnew(peerMemory));
      await letThrough(context, PORT);
      await bindAnew(peerMemory);
      const judged = (await pathsTo(context, peerDisk))
        .find(({ exporter }) => exporter === peerMemory.address);
      assert.deepEqual([judged?.path, judged?.redirecting], ["direct", []]);
      const { answer, log } = await asked(context, peerMemory, peerDisk);
      // The kernel gives the disk a bus address, for the port to route. QEMU's ports route nothing:
      // every request comes to the IOMMU, which does not know that address.
      assert.equal(answer, "lost", log);
      assert.match(log, /DMAR: \[DMA Write/);
      assert.doesNotMatch(log, /cannot be used for peer-to-peer DMA|ACS redirect is set/);
    },
  },
];
