/** Virtual functions on the real kernel: what holds their buffers, and the token. @module */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { makeVfs, type PfDriver, preparePf } from "../guest/virtual_functions.ts";
import { answerOf, exportPage, isLive, type OpenDevice } from "../conformance/port.ts";
import {
  closeInHoldIsForGood,
  d3hotHoldsVf,
  lowPowerHoldsVf,
  memoryBitOfVfIsBounce,
  openBound,
  pfResetLeavesVf,
  pfWithVfsStaysAwake,
  RIGHT,
  tokensGuardVfs,
} from "../conformance/virtual_functions.ts";
import { Bench } from "./port_bench.ts";

interface OpenVf extends OpenDevice {
  readonly bench: Bench;
  readonly address: string;
  /** Its physical function, if that is on vfio-pci. */
  readonly pf?: OpenDevice;
}

/** A virtual function, open; under a physical function of vfio-pci with its token. */
async function openVf(context: CaseContext, driver: PfDriver = "nvme"): Promise<OpenVf> {
  await preparePf(context, driver);
  const token = driver === "nvme" ? undefined : RIGHT;
  // The open resets the PF, and QEMU then loses its VFs for good: it comes before there are any.
  const pf = token === undefined ? undefined : await openPf(context);
  const [address = ""] = await makeVfs(context, 1);
  const bench = new Bench(context, address);
  const { kernel, lane } = bench;
  const node = await context.vfioNode(address);
  const device = bench.keep(await openBound(bench, node, token));
  return { bench, address, kernel, lane, device, ...pf === undefined ? {} : { pf } };
}

/** On a lane of its own: it stays usable whatever the virtual function's does. */
async function openPf(context: CaseContext): Promise<OpenDevice> {
  const { address } = context.devices.sriov;
  const bench = new Bench(context, address);
  const device = bench.keep(await openBound(bench, await context.vfioNode(address), RIGHT));
  return { kernel: bench.kernel, lane: bench.lane, device };
}

async function isWhole(context: CaseContext): Promise<void> {
  const { bench, address, lane, device } = await openVf(context);
  assert.equal(await lane.deviceAddress(device), address);
  assert.equal((await lane.deviceInfo(device)).flags.reset, true);
  assert.equal((await lane.regionInfo(device, 0)).size, 0x4000n);
  assert.deepEqual(await lane.probeDmaBuf(device), { state: "present" });
  const config = await lane.readRegion(device, 7, 0n, 4);
  assert.deepEqual([...config], [0x36, 0x1b, 0x10, 0x00], "VFIO tells the ids of the PF's VFs");
  const raw = Deno.readFileSync(`/sys/bus/pci/devices/${address}/config`).slice(0, 4);
  assert.deepEqual([...raw], [0xff, 0xff, 0xff, 0xff], "which the function itself has not");
  const msix = bench.keep(
    await lane.exportDmaBuf(device, 0, [{ offset: 0x2000n, length: 0x1000n }]),
  );
  assert.ok(await bench.alive(msix), "the kernel would export the MSI-X table");
}

async function sysfsResetOfPf(context: CaseContext): Promise<void> {
  const vf = await openVf(context);
  const path = `/sys/bus/pci/devices/${context.devices.sriov.address}/reset`;
  await pfResetLeavesVf(vf, () => Deno.writeTextFile(path, "1"));
}

async function vfioResetOfPf(context: CaseContext): Promise<void> {
  const vf = await openVf(context, "vfio-pci");
  const { pf } = vf;
  assert.ok(pf !== undefined);
  const own = await exportPage(pf);
  await pfResetLeavesVf(vf, () => pf.lane.resetDevice(pf.device));
  assert.ok(await isLive(pf, own), "of the PF's own it is a bounce");
  await pf.lane.close(own);
  await pfResetLeavesVf(vf, () => pf.lane.close(pf.device));
}

async function pfStaysAwake(context: CaseContext): Promise<void> {
  const { pf } = await openVf(context, "vfio-pci");
  assert.ok(pf !== undefined);
  await pfWithVfsStaysAwake(pf);
}

async function tokens(context: CaseContext): Promise<void> {
  await preparePf(context, "vfio-pci");
  const [address = ""] = await makeVfs(context, 1);
  const bench = new Bench(context, address);
  await tokensGuardVfs(bench, {
    pf: await context.vfioNode(context.devices.sriov.address),
    vf: await context.vfioNode(address),
    vfGroup: await bench.groupNode(),
    vfAddress: address,
  });
}

async function tokenOfNative(context: CaseContext): Promise<void> {
  await preparePf(context, "nvme");
  const [address = ""] = await makeVfs(context, 1);
  const bench = new Bench(context, address);
  const open = openBound(bench, await context.vfioNode(address), RIGHT);
  assert.equal(await answerOf(open), "EINVAL");
}

/** Cases of virtual functions. */
export const cases: readonly LabCase[] = [
  { name: "port: a VF is opened and exported from, its MSI-X page too", run: isWhole },
  {
    name: "port: the memory bit of a VF is a bounce and no hold",
    run: async (context) => await memoryBitOfVfIsBounce(await openVf(context)),
  },
  {
    name: "port: D3hot holds a VF, until a reset",
    run: async (context) => await d3hotHoldsVf(await openVf(context)),
  },
  {
    name: "port: low power holds a VF, until a reset or a write to its memory bit",
    run: async (context) => await lowPowerHoldsVf(await openVf(context)),
  },
  {
    name: "port: a VF that is closed in D3hot or low power wakes in a new generation",
    run: async (context) => {
      const vf = await openVf(context);
      const node = await context.vfioNode(vf.address);
      await closeInHoldIsForGood(vf, () => openBound(vf, node));
    },
  },
  { name: "port: a sysfs reset of the PF leaves a VF's buffers alive", run: sysfsResetOfPf },
  { name: "port: reset and close of a PF leave a VF's buffers alive", run: vfioResetOfPf },
  { name: "port: D3hot holds no PF that has VFs", run: pfStaysAwake },
  { name: "port: a VF of a PF on vfio-pci asks for its token, by either route", run: tokens },
  { name: "port: a VF of a native PF refuses a token", run: tokenOfNative },
];
