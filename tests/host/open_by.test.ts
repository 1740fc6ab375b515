/** Who has devices open, by what procfs shows. */
import assert from "node:assert/strict";
import { FilesError } from "../../host/files.ts";
import { readOpeners, withOpeners } from "../../host/open_by.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { MemoryFiles } from "../support/memory_files.ts";

const PLAIN: SnapshotFunction = {
  address: "0000:01:00.0",
  vendor: "1b36",
  device: "0010",
  class: "010802",
  parent: "pci0000:00",
  resetMethods: [],
  config: new Uint8Array(64),
  bars: [],
  unreadable: [],
};
const BY_NODE = { ...PLAIN, driver: "vfio-pci", cdev: "/dev/vfio/devices/vfio0" };
const BY_GROUP = { ...PLAIN, address: "0000:02:00.0", driver: "vfio-pci" };
const NATIVE = { ...PLAIN, address: "0000:03:00.0", driver: "nvme" };
const HOST: HostSnapshot = {
  kernel: { release: "7.3.4" },
  pageSize: 4096,
  iommu: [],
  functions: [BY_NODE, BY_GROUP, NATIVE],
};

const TREE = {
  "/proc/10/task/10/fd/0": "->/dev/null",
  "/proc/10/task/10/fd/5": "->/dev/vfio/devices/vfio0",
  "/proc/10/task/10/fd/6": "->/dev/vfio/devices/vfio0",
  "/proc/10/task/13/fd/6": "->/dev/vfio/devices/vfio0",
  "/proc/14/task/14/fd/0": "->/dev/null",
  "/proc/14/task/15/fd/3": "->/dev/vfio/devices/vfio0",
  "/proc/14/comm": "bargate\n",
  "/proc/10/comm": "spdk_tgt\n",
  "/proc/11/task/11/fd/7": "->anon_inode:[vfio-device]",
  "/proc/11/task/11/fdinfo/7":
    "pos:\t0\nvfio-device-syspath: /sys/devices/pci0000:00/0000:00:01.0/0000:02:00.0\n",
  "/proc/11/comm": "evil\u001b[2J\n",
  "/proc/12/task/12/fd/3": "->anon_inode:[vfio-device]",
  "/proc/12/task/12/fdinfo/3": "vfio-device-syspath: /sys/devices/../../etc\n",
  "/proc/12/comm": "x\n",
  "/proc/self/fd/1": "->/dev/vfio/devices/vfio0",
};

Deno.test("who has a device open is found by its node, or by what fdinfo says of a group's device", () => {
  const found = readOpeners(new MemoryFiles(TREE), HOST.functions);
  assert.deepEqual([...found.openers], [
    ["0000:01:00.0", [{ pid: 10, command: "spdk_tgt" }, { pid: 14, command: "bargate" }]],
    ["0000:02:00.0", [{ pid: 11 }]],
  ]);
  assert.deepEqual(found.unreadable, []);
  assert.deepEqual(found.findings.map(({ path }) => path), ["/proc/11/comm"]);
  const { functions } = withOpeners(HOST, found);
  assert.deepEqual(functions.map(({ openBy }) => openBy?.length), [2, 1, undefined]);
});

Deno.test("processes that may not be looked at are counted, and those that end are nobody", () => {
  const files = new class extends MemoryFiles {
    override list(path: string): string[] {
      if (path.startsWith("/proc/10/task/") || path === "/proc/12/task/12/fd") {
        throw new FilesError(path, "forbidden", `Cannot list ${path}`);
      }
      if (path === "/proc/14/task") throw new FilesError(path, "forbidden", `Cannot list ${path}`);
      if (path === "/proc/11/task/11/fd") throw new FilesError(path, "gone", `Cannot list ${path}`);
      return super.list(path);
    }
  }(TREE);
  const found = readOpeners(files, HOST.functions);
  assert.deepEqual(found.openers.size, 0);
  assert.deepEqual(found.unreadable, [
    { field: "openBy, of 3 processes", right: "CAP_SYS_PTRACE" },
  ]);
  assert.deepEqual(withOpeners(HOST, found).functions[0]?.openBy, []);
});

Deno.test("a process with more descriptors than are looked at is told", () => {
  const many = Object.fromEntries(
    Array.from({ length: 65_537 }, (_, fd) => [`/proc/9/task/9/fd/${fd}`, "->/dev/null"]),
  );
  const { findings } = readOpeners(new MemoryFiles(many), HOST.functions);
  assert.match(findings[0]?.why ?? "", /received 65537/);
});
