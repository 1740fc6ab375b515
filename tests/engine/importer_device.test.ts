import assert from "node:assert/strict";
import { ImporterFunctions } from "../../engine/importer_device.ts";
import { makePlan } from "../../engine/plan.ts";
import { planJson } from "../../engine/plan_json.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";
import type { PolicySet } from "../../policy/model.ts";

const SSD = "0000:01:00.0";
/** Above all of them, and lets requests through. */
const PORT = "0000:00:01.0";
const [NIC, TWIN] = ["0000:41:00.0", "0000:41:00.1"];

function fn(address: string, id: string, driver?: string, parent = PORT): SnapshotFunction {
  const config = new Uint8Array(4096);
  const [vendor = "", device = ""] = id.split(":");
  return {
    address,
    vendor,
    device,
    class: "010802",
    ...(driver === undefined ? {} : { driver }),
    ...(address === SSD ? { iommuGroup: 1 } : {}),
    parent,
    cdev: "/dev/vfio/devices/vfio0",
    resetMethods: ["flr"],
    config,
    bars: [{ index: 2, kind: "memory64", start: 0n, size: 0x100_0000n, prefetchable: true }],
    unreadable: [],
  };
}

function host(more: Partial<HostSnapshot> = {}): HostSnapshot {
  const functions = [
    fn(PORT, "8086:347a", "pcieport", "pci0000:00"),
    fn(SSD, "1b36:0010", "vfio-pci"),
    fn(NIC, "15b3:101d", "mlx5_core"),
    fn(TWIN, "15b3:101d", "mlx5_core"),
    fn("0000:42:00.0", "15b3:101d", "mlx5_vfio_pci"),
    fn("0000:43:00.0", "1002:744c"),
  ];
  const rdma = [{ name: "mlx5_0", function: NIC }, { name: "mlx5_1", function: TWIN }, {
    name: "rxe0",
  }];
  const drm = [{ name: "card0", function: "0000:43:00.0" }];
  const base = { kernel: { release: "7.3.4" }, pageSize: 4096, iommu: ["dmar0"] };
  return { ...base, rdma, drm, nvme: [], functions, ...more };
}

function policy(device: string, driver = "mlx5"): PolicySet {
  const { set, diagnostics } = loadPolicySet([{
    file: "p.yaml",
    text: `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
devices: { ssd: { match: { id: "1b36:0010" } } }
importers: { target: { identity: { user: nobody }, driver: ${driver}, device: ${device} } }
exports:
  - { name: data, device: ssd, bar: 2, slices: [{ offset: 0, length: 8KiB }], importers: [target] }
  - { name: more, device: ssd, bar: 2, slices: [{ offset: 8KiB, length: 8KiB }], importers: [target] }
defaults: { collateral: device }
`,
  }]);
  assert.ok(set !== undefined, JSON.stringify(diagnostics));
  return set;
}

function found(device: string, driver?: string, on = host()) {
  const importer = policy(device, driver).policies[0]?.importers.get("target");
  assert.ok(importer !== undefined);
  return new ImporterFunctions(on).of(importer);
}

Deno.test("ImporterFunctions finds the function by each field, and by all that are given", () => {
  const devices = [
    `{ address: "${NIC}" }`,
    "{ rdma: mlx5_0 }",
    `{ id: "15b3:101d", rdma: mlx5_0 }`,
    `{ address: "${NIC}", id: "15b3:101d", rdma: mlx5_0 }`,
  ];
  for (const device of devices) {
    const answer = found(device);
    assert.ok(answer?.is === "found", device);
    assert.equal(answer.entry.address, NIC);
  }
});

Deno.test("ImporterFunctions says why there is not exactly one function", () => {
  assert.deepEqual(found("{ rdma: mlx5_7 }"), {
    is: "none",
    why: "no RDMA device is named mlx5_7, it has mlx5_0, mlx5_1, rxe0",
  });
  assert.deepEqual(found(`{ address: "${TWIN}", rdma: mlx5_0 }`), {
    is: "none",
    why: `${TWIN} is 15b3:101d; RDMA device mlx5_0 is ${NIC}`,
  });
  assert.deepEqual(found(`{ nvme: nvme0 }`), {
    is: "none",
    why: "no NVMe device is named nvme0, it has none",
  });
  assert.deepEqual(found("{ rdma: rxe0 }"), {
    is: "none",
    why: "RDMA device rxe0 is no PCI function",
  });
  assert.equal(found(`{ id: "ffff:ffff", address: "0000:09:00.0" }`)?.is, "none");
  assert.equal(found(`{ id: "15b3:101d" }`)?.is, "several");
});

Deno.test("ImporterFunctions does not take what was not looked for as what is not there", () => {
  const { rdma: _, ...blind } = host();
  assert.deepEqual(found("{ rdma: mlx5_0 }", "mlx5", blind), { is: "unknown", field: "rdma" });
  assert.equal(found(`{ address: "${NIC}" }`, "mlx5", blind)?.is, "found");
});

Deno.test("ImporterFunctions wants the function on the importer's driver, or a variant of vfio-pci", () => {
  assert.equal(found("{ drm: card0 }", "amdgpu")?.is, "other-driver");
  assert.equal(found("{ rdma: mlx5_0 }", "iommufd")?.is, "other-driver");
  assert.equal(found(`{ address: "0000:42:00.0" }`, "mlx5")?.is, "other-driver");
  assert.equal(found(`{ address: "0000:42:00.0" }`, "iommufd")?.is, "found");
});

Deno.test("makePlan() carries the importer's function, and tells what is wrong with it once", () => {
  const { grants, diagnostics } = makePlan(policy("{ rdma: mlx5_0 }"), host());
  assert.deepEqual(diagnostics, []);
  assert.deepEqual(grants.map((grant) => grant.importerFunction?.address), [NIC, NIC]);
  const wrong: readonly (readonly [string, string, string?])[] = [
    ["{ rdma: mlx5_7 }", "BG2017"],
    [`{ id: "15b3:101d" }`, "BG2018"],
    ["{ drm: card0 }", "BG2019", "amdgpu"],
  ];
  for (const [device, code, driver] of wrong) {
    const plan = makePlan(policy(device, driver), host());
    assert.deepEqual(plan.diagnostics.map((d) => [d.code, d.line]), [[code, 5]]);
    assert.deepEqual(plan.grants, []);
  }
  const { nvme: _, ...blind } = host();
  const [unknown] = makePlan(policy("{ nvme: nvme0 }"), blind).diagnostics;
  assert.equal(unknown?.code, "BG2020");
});

Deno.test("the plan's JSON names the importer's function only where the policy declares it", () => {
  const encode = () => [];
  const json = (set: PolicySet) => JSON.stringify(planJson(makePlan(set, host()), encode));
  assert.match(
    json(policy("{ rdma: mlx5_0 }")),
    /"importerDevice":\{"address":"0000:41:00.0","id":"15b3:101d","driver":"mlx5_core"\}/,
  );
});

Deno.test("an importer's device counts in the digest; what says nothing leaves no trace", () => {
  const digests = ["{ rdma: mlx5_0 }", "{ rdma: mlx5_1 }", "{ drm: mlx5_0 }"]
    .map((device) => policy(device).digest);
  assert.equal(new Set(digests).size, 3);
});
