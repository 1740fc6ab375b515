/** What planning says of groups and paths. */
import assert from "node:assert/strict";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import { topologyFindings } from "../../engine/topology_findings.ts";
import type { SnapshotFunction } from "../../host/snapshot.ts";
import { hostOf, REDIRECT, ROOT_PORT, type Spec, treeOf } from "../host/topology/support.ts";

const at = (line: number) => ({ file: "p.yaml", line, column: 1, endLine: line, endColumn: 2 });
const SSD: Spec = {
  address: "0000:03:00.0",
  parent: "0000:02:00.0",
  driver: "vfio-pci",
  group: 7,
};

/** Below one switch: the device, and NICs beside it (direct) or behind a port that redirects. */
function machine(...nics: readonly (Partial<Spec> & { readonly behind?: "redirect" | "none" })[]) {
  const root = (id: string): Spec => ({ address: "0000:00:00.0", parent: "pci0000:00", id });
  return hostOf([
    root("8086:29c0"),
    { address: "0000:00:02.0", parent: "pci0000:00", type: ROOT_PORT },
    { address: "0000:01:00.0", parent: "0000:00:02.0" },
    { address: "0000:02:00.0", parent: "0000:01:00.0", acs: 0 },
    { address: "0000:02:01.0", parent: "0000:01:00.0", acs: REDIRECT },
    SSD,
    ...nics.map(({ behind, ...nic }, index): Spec => ({
      address: `0000:04:00.${index}`,
      parent: behind === "redirect" ? "0000:02:01.0" : "0000:02:00.0",
      driver: "mlx5_core",
      group: 20 + index,
      ...nic,
    })),
  ]);
}

function grant(driver: string, more: {
  readonly importerFunction?: SnapshotFunction;
  readonly owner?: unknown;
  readonly name?: string;
} = {}) {
  const { importerFunction, owner, name = "nic" } = more;
  return {
    rule: {
      at: at(1),
      device: { value: "ssd", at: at(2) },
      importers: [{ value: "other", at: at(3) }, { value: name, at: at(4) }],
    },
    importer: { name, driver: { value: driver, at: at(5) } },
    importerName: `p/${name}`,
    ...(importerFunction === undefined ? {} : { importerFunction }),
    device: { address: SSD.address, ...(owner === undefined ? {} : { owner }) },
  };
}

function told(host: ReturnType<typeof hostOf>, ...grants: readonly ReturnType<typeof grant>[]) {
  return topologyFindings(host, grants).map(({ diagnostic: { code, severity, line } }) => [
    code,
    severity,
    line,
  ]);
}

Deno.test("a direct path is nothing to tell, and iommufd asks for none", () => {
  assert.deepEqual(told(machine({}), grant("mlx5")), []);
  assert.deepEqual(told(machine(), grant("iommufd")), []);
  assert.deepEqual(told(machine({ behind: "redirect" }), grant("iommufd")), []);
});

Deno.test("no function with a path is an error, some are a note, at the importer's place", () => {
  assert.deepEqual(told(machine({ behind: "redirect" }), grant("mlx5")), [["BG2202", "error", 4]]);
  const mixed = machine({}, { behind: "redirect" }, { behind: "redirect" });
  const [finding] = topologyFindings(mixed, [grant("mlx5")]);
  assert.deepEqual(told(mixed, grant("mlx5")), [["BG2203", "note", 4]]);
  assert.match(
    finding?.diagnostic.message ?? "",
    /^importer nic, 0000:04:00\.1 and 0000:04:00\.2 to 0000:03:00\.0: the path of 0000:04:00\.1 is not/,
  );
  assert.match(finding?.diagnostic.fix ?? "", /pci=disable_acs_redir=0000:02:01\.0 /);
  assert.equal(finding?.denied, false);
});

Deno.test("a function that the policy declares is the only one judged", () => {
  const mixed = machine({}, { behind: "redirect" });
  const { at: functionAt } = treeOf(mixed);
  const declared = (address: string) =>
    told(mixed, grant("mlx5", { importerFunction: functionAt(address) }));
  assert.deepEqual(declared("0000:04:00.0"), []);
  assert.deepEqual(declared("0000:04:00.1"), [["BG2202", "error", 4]]);
  const { importer, ...rest } = grant("mlx5");
  const missing = { ...rest, importer: { ...importer, device: { at: at(6), rdma: "mlx5_7" } } };
  assert.deepEqual(topologyFindings(mixed, [missing]), [], "it has been told already");
});

Deno.test("what cannot be known is said to be not checked", () => {
  assert.deepEqual(told(machine(), grant("mlx5")), [["BG2205", "warning", 4]]);
  assert.deepEqual(told(machine({ driver: "ice" }), grant("irdma")), []);
  const cut = machine({ read: 64 });
  const [finding] = topologyFindings(cut, [grant("mlx5")]);
  assert.equal(finding?.diagnostic.code, "BG2205");
  assert.match(finding?.diagnostic.fix ?? "", /CAP_SYS_ADMIN/);
});

Deno.test("of virtio devices only the GPU is a candidate", () => {
  const virtio = (id: string) => machine({ driver: "virtio-pci", id, behind: "redirect" });
  assert.deepEqual(told(virtio("1af4:1050"), grant("virtio-gpu")), [["BG2202", "error", 4]]);
  assert.deepEqual(told(virtio("1af4:1041"), grant("virtio-gpu")), [["BG2205", "warning", 4]]);
});

Deno.test("a group with a native driver cannot be opened, unless somebody has", () => {
  const shared = machine({ group: 7, driver: "nvme" });
  assert.deepEqual(told(shared, grant("iommufd")), [["BG2201", "error", 2]]);
  assert.deepEqual(told(shared, grant("iommufd", { owner: {} })), []);
  const [finding] = topologyFindings(shared, [grant("iommufd")]);
  assert.match(finding?.diagnostic.fix ?? "", /^bind 0000:04:00\.0 to vfio-pci .* own$/);
  const ports = machine({ group: 7, parent: "0000:01:00.0" });
  const [isolated] = topologyFindings(ports, [grant("iommufd")]);
  assert.match(isolated?.diagnostic.fix ?? "", /pci=config_acs=xx111x1@0000:02:00\.0,/);
});

Deno.test("each device and each importer of it is told once, however many rules there are", () => {
  const shared = machine({ group: 7, behind: "redirect" });
  const grants = [grant("mlx5"), grant("mlx5"), grant("mlx5", { name: "second" })];
  assert.deepEqual(told(shared, ...grants).map(([code]) => code), ["BG2201", "BG2202", "BG2202"]);
});

Deno.test("what mends a group leaves importers' functions with their drivers", () => {
  const fixOf = (host: ReturnType<typeof hostOf>, ...grants: readonly ReturnType<typeof grant>[]) =>
    topologyFindings(host, grants)[0]?.diagnostic.fix ?? "";
  const behind = { parent: "0000:02:02.0", group: 7 };
  const switched = (...specs: readonly Spec[]) =>
    hostOf([
      { address: "0000:00:02.0", parent: "pci0000:00", type: ROOT_PORT },
      { address: "0000:02:00.0", parent: "0000:00:02.0", acs: 0 },
      { address: "0000:02:02.0", parent: "0000:00:02.0", acs: 0 },
      SSD,
      ...specs,
    ]);
  const shared = switched(
    { ...behind, address: "0000:04:00.0", driver: "mlx5_core" },
    { ...behind, address: "0000:04:00.1", driver: "nvme" },
  );
  const fix = fixOf(shared, grant("mlx5"));
  assert.match(fix, /^boot without pci=disable_acs_redir= for 0000:02:00\.0.*; 0000:04:00\.0 must/);
  assert.ok(!/bind .*to vfio-pci/.test(fix), fix);
  assert.match(fixOf(shared, grant("iommufd"), grant("mlx5")), /^boot without /, "of any importer");
  assert.match(
    fixOf(shared, grant("iommufd")),
    /^bind 0000:04:00\.0 and 0000:04:00\.1 to vfio-pci/,
  );
  const declared = treeOf(shared).at("0000:04:00.0");
  const named = grant("mlx5", { importerFunction: declared });
  assert.match(fixOf(shared, named), /^boot without .*; 0000:04:00\.0 must keep its driver/);
  const none = hostOf([SSD, { ...SSD, address: "0000:03:00.1", driver: "mlx5_core" }]
    .map((spec) => ({ ...spec, parent: "pci0000:00" })));
  assert.match(
    fixOf(none, grant("mlx5")),
    /^put the device .*; 0000:03:00\.1 must keep its driver/,
  );
});

Deno.test("a way through the host bridge is no fault, told once for all devices that it goes to", () => {
  const hosts = new URL("../../examples/hosts/", import.meta.url);
  const { snapshot } = parseSnapshot(Deno.readFileSync(new URL("spdk-redirected.json", hosts)));
  assert.ok(snapshot !== undefined);
  const second = snapshot.functions.flatMap((entry) =>
    entry.address === "0000:03:00.0"
      ? [{ ...entry, address: "0000:03:00.1", cdev: "/dev/vfio/devices/vfio9", iommuGroup: 99 }]
      : []
  );
  const host = { ...snapshot, functions: [...snapshot.functions, ...second] };
  const to = (address: string) => ({ ...grant("mlx5"), device: { address } });
  const [finding, ...rest] = topologyFindings(host, [to("0000:03:00.0"), to("0000:03:00.1")]);
  assert.deepEqual(rest, []);
  const { code, severity, message = "", fix = "" } = finding?.diagnostic ?? {};
  assert.deepEqual([code, severity], ["BG2204", "note"]);
  assert.match(message, / to 0000:03:00\.0 and 0000:03:00\.1: the path of \S+ is through the host/);
  assert.match(message, /A direct one has its price: boot with pci=disable_acs_redir=.*isolation/);
  assert.doesNotMatch(fix, /disable_acs_redir|config_acs/, "which would be no fix");
});
