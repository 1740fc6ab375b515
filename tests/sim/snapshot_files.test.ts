/** A simulated host tells of itself what its snapshot says. @module */
import "../../ffi/preload.ts";
import assert from "node:assert/strict";
import { LinuxFiles } from "../../ffi/linux_files.ts";
import { FilesError } from "../../host/files.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import { readSnapshot } from "../../host/read_snapshot.ts";
import type { HostSnapshot } from "../../host/snapshot.ts";
import { SnapshotFiles } from "../../sim/snapshot_files.ts";
import { functionsOf } from "../../sim/snapshot_functions.ts";
import { port, snapshotOf, SSD, ssd } from "./hosted_support.ts";

const snapshot: HostSnapshot = {
  ...snapshotOf([
    port(),
    ssd({
      slot: "5",
      numaNode: 1,
      driverOverride: "vfio-pci",
      sriov: { total: 4, enabled: 1 },
      cdevAccess: { uid: 0, gid: 7, mode: "0660" },
      groupAccess: { uid: 0, gid: 0, mode: "0600" },
    }),
    ssd({
      address: "0000:01:00.4",
      physfn: SSD,
      cdev: "/dev/vfio/devices/vfio1",
      slot: "5",
      iommuGroup: 8,
      groupNode: "/dev/vfio/8",
    }),
    ssd({
      address: "0000:02:00.0",
      parent: "pci0000:00",
      cdev: "/dev/vfio/devices/vfio3",
      iommuGroup: 9,
      groupNode: "/dev/vfio/noiommu-9",
    }),
  ]),
  rdma: [{ name: "mlx5_0", function: SSD }, { name: "rxe0" }],
  drm: [],
  nvme: [{ name: "nvme0", function: "0000:02:00.0" }],
};
const files = new SnapshotFiles(snapshot, new LinuxFiles());

Deno.test("a snapshot of the simulated host is the one that it was made from", () => {
  const read = readSnapshot(files, { release: snapshot.kernel.release, pageSize: 4096 });
  assert.deepEqual(read, { snapshot, skipped: [], findings: [] });
});

Deno.test("links lead on, and a folder lists what is in it", () => {
  const folder = `/sys/bus/pci/devices/${SSD}`;
  assert.equal(files.realPath(folder), `/sys/devices/pci0000:00/0000:00:01.0/${SSD}`);
  assert.equal(files.readText(`${folder}/driver/../../devices/${SSD}/vendor`), "0x1b36");
  assert.equal(files.readLink(`${folder}/iommu_group`), "/sys/kernel/iommu_groups/7");
  assert.deepEqual(files.list(`${folder}/vfio-dev`), ["vfio0"]);
  assert.ok(files.exists(`${folder}/reset`) && !files.exists(`${folder}/reset/x`));
  assert.ok(!files.exists("/sys/bus/pci/devices/0000:00:01.0/reset"));
});

Deno.test("nothing of this machine is behind the simulated host's paths", () => {
  assert.deepEqual(files.list("/proc"), []);
  assert.deepEqual(files.list("/dev"), ["vfio"]);
  for (const path of ["/proc/self/status", "/sys/kernel/uevent_seqnum", "/bin/..//dev/null"]) {
    assert.throws(() => files.read(path), FilesError);
    assert.ok(!files.exists(path));
  }
  assert.ok(files.exists("/bin/sh"), "programs are the machine's");
});

Deno.test("only what is bound to a VFIO driver can be opened", () => {
  const functions = functionsOf(
    snapshotOf([port(), ssd(), ssd({ address: "0000:01:00.1", driver: "nvme" })]),
  );
  assert.deepEqual(functions.map(({ address }) => address), [SSD]);
  const [fn] = functions;
  assert.deepEqual([fn?.node, fn?.group, fn?.resettable, fn?.virtual], [
    "/dev/vfio/devices/vfio0",
    7,
    true,
    false,
  ]);
  assert.deepEqual(fn?.hotResetDomain, [SSD, "0000:01:00.1"]);
});

Deno.test("sysfs of a simulated host says of each function what its file says", () => {
  const hosts = new URL("../../examples/hosts/", import.meta.url);
  for (const { name } of Deno.readDirSync(hosts)) {
    if (!name.endsWith(".json")) continue;
    const { snapshot: host } = parseSnapshot(Deno.readFileSync(new URL(name, hosts)));
    assert.ok(host !== undefined, name);
    const { release } = host.kernel;
    const files = new SnapshotFiles(host, new LinuxFiles());
    const read = readSnapshot(files, { release, pageSize: host.pageSize });
    assert.deepEqual([read.skipped, read.findings], [[], []], name);
    const { functions, cpu, iommu } = read.snapshot;
    assert.deepEqual({ functions, cpu, iommu }, {
      functions: host.functions,
      cpu: host.cpu,
      iommu: host.iommu,
    }, name);
  }
});
