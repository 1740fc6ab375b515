/** What is read of a host besides the functions that are wanted, for the topology. */
import assert from "node:assert/strict";
import { FieldReader } from "../../host/field_reader.ts";
import { FilesError } from "../../host/files.ts";
import { readCpu } from "../../host/read_cpu.ts";
import { readSnapshot } from "../../host/read_snapshot.ts";
import { LinuxFiles } from "../../ffi/linux_files.ts";
import "../../ffi/preload.ts";
import { SnapshotFiles } from "../../sim/snapshot_files.ts";
import { MemoryFiles } from "../support/memory_files.ts";
import { hostOf } from "./topology/support.ts";

function cpuOf(text: string) {
  return readCpu(new FieldReader(new MemoryFiles({ "/proc/cpuinfo": text })));
}

Deno.test("readCpu takes the first processor's vendor and family, and knows other architectures", () => {
  const amd = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\n";
  const second = amd.replace("Authentic", "Other").replace("25", "26");
  assert.deepEqual(cpuOf(`${amd}\n${second}`), { vendor: "AuthenticAMD", family: 25 });
  assert.deepEqual(cpuOf("processor\t: 0\nCPU implementer\t: 0x41\n"), {});
  assert.deepEqual(cpuOf("vendor_id       : IBM/S390\n"), {}, "no family: not x86");
  assert.deepEqual(cpuOf("vendor_id\t: \u202e\ncpu family\t: 6\n"), {});
  assert.equal(readCpu(new FieldReader(new MemoryFiles({}))), undefined);
  const failing = new MemoryFiles({});
  failing.readText = () => {
    throw new FilesError("/proc/cpuinfo", "other", "Cannot read: EIO");
  };
  const fields = new FieldReader(failing);
  assert.equal(readCpu(fields), undefined);
  assert.deepEqual(fields.findings, [{ path: "/proc/cpuinfo", why: "Cannot read: EIO" }]);
});

Deno.test("with a wanted function its group and the first function of its root bus are read", () => {
  const bus = "pci0000:00";
  const host = hostOf([
    { address: "0000:00:00.0", parent: bus },
    { address: "0000:00:01.0", parent: bus },
    { address: "0000:00:02.0", parent: bus },
    { address: "0000:00:03.0", parent: bus },
    { address: "0000:01:00.0", parent: "0000:00:02.0", group: 4 },
    { address: "0000:02:00.0", parent: "0000:00:03.0", group: 4 },
    { address: "0000:80:00.0", parent: "pci0000:80" },
  ]);
  const files = new SnapshotFiles(host, new LinuxFiles());
  const { snapshot } = readSnapshot(
    files,
    { release: "7.3.4", pageSize: 4096 },
    (address) => address === "0000:01:00.0",
  );
  assert.deepEqual(snapshot.functions.map(({ address }) => address), [
    "0000:00:00.0",
    "0000:00:02.0",
    "0000:00:03.0",
    "0000:01:00.0",
    "0000:02:00.0",
  ]);
  assert.deepEqual(snapshot.cpu, host.cpu);
});

Deno.test("a function's power state is read before its configuration space, which would wake it", () => {
  const host = hostOf([{ address: "0000:00:00.0", parent: "pci0000:00" }]);
  const functions = host.functions.map((fn) => ({
    ...fn,
    driver: "vfio-pci",
    powerState: "D3cold",
  }));
  const files = new SnapshotFiles({ ...host, functions }, new LinuxFiles());
  const read: string[] = [];
  const [bytes, text] = [files.read.bind(files), files.readText.bind(files)];
  files.read = (path, limit) => (read.push(path), bytes(path, limit));
  files.readText = (path, limit) => (read.push(path), text(path, limit));
  const { snapshot } = readSnapshot(files, { release: "7.3.4", pageSize: 4096 });
  assert.equal(snapshot.functions[0]?.powerState, "D3cold");
  const at = (name: string) => read.findIndex((path) => path.endsWith(`/0000:00:00.0/${name}`));
  assert.ok(at("power_state") >= 0 && at("power_state") < at("config"), read.join("\n"));
});
