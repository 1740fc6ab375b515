/** What devices of a snapshot do in a simulation, by the rules of the kernel. */
import assert from "node:assert/strict";
import { CAPABILITY, findCapability } from "../../sim/config_space.ts";
import type { Fd } from "../../engine/fd.ts";
import type { Lane } from "../../engine/kernel.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { SimKernel } from "../../sim/sim_kernel.ts";
import { functionsOf } from "../../sim/snapshot_functions.ts";

/** As the laboratory has them: I/O ports in BAR 2, and a physical function on its own driver. */
const PORTS = "0000:00:18.0";
const PF = "0000:04:00.0";
const CONFIG = 7;
const PMCSR = 4;
const D3HOT = 3;

function laboratory(): HostSnapshot {
  const file = new URL("../../examples/hosts/laboratory.json", import.meta.url);
  return parseSnapshot(Deno.readFileSync(file)).snapshot ?? assert.fail();
}

function functionAt(host: HostSnapshot, address: string): SnapshotFunction {
  return host.functions.find((fn) => fn.address === address) ?? assert.fail(address);
}

/** The host with one function as it is told, and perhaps one more. */
function withFunction(
  address: string,
  as: Partial<SnapshotFunction>,
  more: SnapshotFunction[] = [],
) {
  const host = laboratory();
  const functions = host.functions.map((fn) => fn.address === address ? { ...fn, ...as } : fn);
  return { ...host, functions: [...functions, ...more] };
}

interface Opened {
  readonly lane: Lane;
  readonly device: Fd;
}

async function opened(
  host: HostSnapshot,
  address: string,
  work: (on: Opened) => Promise<void>,
): Promise<void> {
  const { pageSize } = host;
  const kernel = new SimKernel({ functions: functionsOf(host), pageSize });
  const lane = kernel.openLane(address);
  const iommufd = kernel.openIommufd();
  const device = await lane.openNode(functionAt(host, address).cdev ?? assert.fail());
  await lane.bindIommufd(device, iommufd);
  await work({ lane, device });
  await lane.close(device);
  kernel.close(iommufd);
  assert.deepEqual(kernel.ownDescriptors(), []);
}

Deno.test("a BAR of I/O ports is there, and cannot be exported", async () => {
  const host = laboratory();
  const bar = functionAt(host, PORTS).bars.find(({ kind }) => kind === "io") ?? assert.fail();
  await opened(host, PORTS, async ({ lane, device }) => {
    const { size, flags } = await lane.regionInfo(device, bar.index);
    assert.deepEqual([size, flags.mmap], [bar.size, false]);
    const ranges = [{ offset: 0n, length: 0x1000n }];
    await assert.rejects(lane.exportDmaBuf(device, bar.index, ranges), { errnoName: "EINVAL" });
    await assert.rejects(lane.exportDmaBuf(device, 5, ranges), { errnoName: "ENODEV" });
  });
});

/** Whether the physical function sleeps when it is told to. */
async function sleeps(host: HostSnapshot): Promise<boolean> {
  const power = findCapability(functionAt(host, PF).config, CAPABILITY.powerManagement);
  const at = BigInt((power ?? assert.fail()) + PMCSR);
  let state = -1;
  await opened(host, PF, async ({ lane, device }) => {
    await lane.writeRegion(device, CONFIG, at, new Uint8Array([D3HOT, 0]));
    [state = -1] = await lane.readRegion(device, CONFIG, at, 1);
  });
  return state === D3HOT;
}

Deno.test("a physical function does not sleep while it has virtual ones, whoever has those", async () => {
  const own = { driver: "vfio-pci", cdev: "/dev/vfio/devices/vfio90" };
  const sriov = (enabled: number) => ({ ...own, sriov: { total: 2, enabled } });
  assert.equal(await sleeps(withFunction(PF, sriov(0))), true);
  assert.equal(await sleeps(withFunction(PF, sriov(1))), false);
  const vf = { ...functionAt(laboratory(), PF), address: "0000:04:00.1", physfn: PF };
  for (const driver of ["nvme", "vfio-pci"]) {
    const { sriov: _, ...rest } = { ...vf, driver, cdev: "/dev/vfio/devices/vfio91" };
    assert.equal(await sleeps(withFunction(PF, sriov(0), [rest])), false, driver);
  }
});

Deno.test("the page of the host is the page of its simulation", async () => {
  const host = { ...laboratory(), pageSize: 0x10000 };
  const ssd =
    host.functions.find(({ driver, bars }) =>
      driver === "vfio-pci" && bars.some(({ size }) => size >= 0x100000n) &&
      bars.some(({ size }) => size === 0x4000n)
    ) ?? assert.fail();
  const [large, small] = [0x100000n, 0x4000n].map((least) =>
    ssd.bars.find(({ size }) => least === 0x4000n ? size === least : size >= least)?.index ??
      assert.fail()
  );
  await opened(host, ssd.address, async ({ lane, device }) => {
    const exported = (length: bigint) =>
      lane.exportDmaBuf(device, large ?? 0, [{ offset: 0n, length }]);
    await assert.rejects(exported(0x1000n), { errnoName: "EINVAL" });
    await lane.close(await exported(0x10000n));
    assert.equal((await lane.regionInfo(device, small ?? 0)).flags.mmap, false);
  });
});
