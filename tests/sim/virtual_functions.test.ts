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
} from "../../lab/conformance/virtual_functions.ts";
import { answerOf, type OpenDevice } from "../../lab/conformance/port.ts";
import { deepEqual, equal } from "node:assert/strict";
import { SimKernel } from "../../sim/sim_kernel.ts";
import type { SimFunction } from "../../sim/vfio.ts";

const PF = "0000:04:00.0";
const VF = "0000:04:00.1";

function simFunction(address: string, more: Partial<SimFunction>): SimFunction {
  const config = new Uint8Array(256);
  config[0x34] = 0x40;
  config[0x40] = 1;
  return {
    address,
    node: `/dev/vfio/devices/${address}`,
    config,
    bars: new Map([[0, 0x4000n]]),
    resettable: true,
    virtual: false,
    ...more,
  };
}

/** A host of one PF and its VF. Without `owned` another driver than vfio-pci has the PF. */
function host(owned: boolean): SimKernel {
  const physfn = owned ? { physfn: PF } : {};
  const functions = [simFunction(VF, { virtual: true, group: 15, ...physfn })];
  if (owned) functions.push(simFunction(PF, { sriov: true }));
  return new SimKernel({ functions });
}

async function openVf(): Promise<OpenDevice & { kernel: SimKernel }> {
  const kernel = host(false);
  const lane = kernel.openLane(VF);
  const device = await openBound({ kernel, lane }, `/dev/vfio/devices/${VF}`);
  return { kernel, lane, device };
}

const HOLDS = [memoryBitOfVfIsBounce, d3hotHoldsVf, lowPowerHoldsVf];

for (const conforms of HOLDS) {
  Deno.test(`SimKernel, as the kernel: ${conforms.name}`, async () => {
    const on = await openVf();
    await conforms(on);
    await on.lane.close(on.device);
    deepEqual(on.kernel.ownDescriptors(), []);
  });
}

Deno.test("SimKernel, as the kernel: a VF closed in a hold wakes in a new generation", async () => {
  const on = await openVf();
  await closeInHoldIsForGood(on, () => openBound(on, `/dev/vfio/devices/${VF}`));
  deepEqual(on.kernel.ownDescriptors(), []);
});

Deno.test("SimKernel, as the kernel: a reset of a PF leaves its VF's buffers alive", async () => {
  const kernel = host(true);
  const lane = kernel.openLane("sim");
  const pf = await openBound({ kernel, lane }, `/dev/vfio/devices/${PF}`, RIGHT);
  const device = await openBound({ kernel, lane }, `/dev/vfio/devices/${VF}`, RIGHT);
  await pfResetLeavesVf({ kernel, lane, device }, () => lane.resetDevice(pf));
  await pfResetLeavesVf({ kernel, lane, device }, () => lane.close(pf));
});

Deno.test("SimKernel, as the kernel: a PF that has VFs stays in D0", async () => {
  const kernel = host(true);
  const lane = kernel.openLane("sim");
  const device = await openBound({ kernel, lane }, `/dev/vfio/devices/${PF}`, RIGHT);
  await pfWithVfsStaysAwake({ kernel, lane, device });
});

Deno.test("SimKernel, as the kernel: the token of a PF guards its VFs", async () => {
  const kernel = host(true);
  await tokensGuardVfs({ kernel, lane: kernel.openLane("sim") }, {
    pf: `/dev/vfio/devices/${PF}`,
    vf: `/dev/vfio/devices/${VF}`,
    vfGroup: "/dev/vfio/15",
    vfAddress: VF,
  });
  deepEqual(kernel.ownDescriptors(), []);
});

Deno.test("SimKernel, as the kernel: a token that nobody asks for is refused", async () => {
  const kernel = host(false);
  const port = { kernel, lane: kernel.openLane("sim") };
  equal(await answerOf(openBound(port, `/dev/vfio/devices/${VF}`, RIGHT)), "EINVAL");
});
