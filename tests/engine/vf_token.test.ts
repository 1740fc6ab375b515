/** Opening virtual functions of a PF that is bound to vfio-pci. @module */
import assert from "node:assert/strict";
import { HostNotReadyError } from "../../engine/errors.ts";
import { GroupAccess, type RouteTarget } from "../../engine/group_access.ts";
import { SharedIommufd } from "../../engine/shared_iommufd.ts";
import { openBound } from "../../lab/conformance/virtual_functions.ts";
import { SimKernel } from "../../sim/sim_kernel.ts";
import { Scene, simFunction } from "./support.ts";

const PF = "0000:04:00.0";
const VF = "0000:04:00.1";
const RIGHT = "14e7b6a0-1b2c-4d3e-8f90-0123456789ab";
const WRONG = "24e7b6a0-1b2c-4d3e-8f90-0123456789ab";
const FUNCTIONS = [
  simFunction(PF, { sriov: true }),
  simFunction(VF, { virtual: true, physfn: PF, group: 15 }),
];
const ROUTES: readonly RouteTarget[] = [
  { address: VF, physfn: PF, route: "cdev", node: `/dev/vfio/devices/${VF}` },
  { address: VF, physfn: PF, route: "group", node: "/dev/vfio/15" },
];

/** Somebody opens the PF with the right token. */
async function setToken(kernel: SimKernel): Promise<void> {
  const lane = kernel.openLane("owner of the PF");
  await lane.close(await openBound({ kernel, lane }, `/dev/vfio/devices/${PF}`, RIGHT));
}

for (const target of ROUTES) {
  Deno.test(`GroupAccess opens a VF with its token only (${target.route})`, async () => {
    const kernel = new SimKernel({ functions: FUNCTIONS });
    await setToken(kernel);
    const lane = kernel.openLane(VF);
    const open = async (token: string | undefined) => {
      const iommufd = new SharedIommufd(kernel);
      const access = new GroupAccess(kernel, iommufd, () => token);
      try {
        await lane.close(await access.openDevice(lane, target));
        access.deviceClosed();
      } finally {
        iommufd.close();
      }
    };
    const refused = (says: RegExp) => (error: unknown) => {
      assert.ok(error instanceof HostNotReadyError);
      assert.match(error.message, says);
      assert.doesNotMatch(`${error.stack} ${String(error.cause)}`, /4e7b6a0/);
      return true;
    };
    await assert.rejects(
      open(undefined),
      refused(/0000:04:00\.0 is its PF under vfio-pci; .*--vf-token-file \(EACCES\)$/),
    );
    await assert.rejects(open(WRONG), refused(/is not the one .*correct it .* \(EACCES\)$/));
    await open(RIGHT);
    assert.deepEqual(kernel.ownDescriptors(), []);
  });
}

Deno.test("GroupAccess says that a token is one too many", async () => {
  const kernel = new SimKernel({ functions: [simFunction(VF, { virtual: true })] });
  const iommufd = new SharedIommufd(kernel);
  const access = new GroupAccess(kernel, iommufd, () => RIGHT);
  const [target] = ROUTES;
  assert.ok(target !== undefined);
  await assert.rejects(
    access.openDevice(kernel.openLane(VF), target),
    /no VF token is asked for, .*take it out .*\(EINVAL\)$/,
  );
  iommufd.close();
});

Deno.test("Guardian opens a VF with its token in each generation, and tells it to nobody", async () => {
  const spec = { address: VF, virtual: true, physfn: PF, onReset: "restore" } as const;
  const scene = new Scene(
    [spec, { ...spec, name: "other", onReset: "revoke" }],
    FUNCTIONS,
    {},
    "cdev",
    {
      vfTokenFor: ({ physfn }) => physfn === PF ? RIGHT : undefined,
    },
  );
  await setToken(scene.kernel);
  await scene.start();
  await scene.guardian.reset(VF, "function", "test");
  assert.ok(scene.story().includes("ended device-reset new-generation"));
  assert.deepEqual(scene.guardian.devices, [VF]);
  const told = scene.packets();
  await scene.finish();
  assert.doesNotMatch(JSON.stringify([scene.events, told]), /4e7b6a0/);
});
