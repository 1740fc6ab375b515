import assert from "node:assert/strict";
import "../../../ffi/preload.ts";
import { LinuxKernel } from "../../../ffi/linux_kernel.ts";
import type { DeviceFile } from "../../../engine/observers/device_files.ts";
import type { Observation } from "../../../engine/observers/observation.ts";
import { SysfsFiles } from "../../../engine/observers/sysfs_files.ts";
import { settle } from "../support.ts";
import { brief, seen } from "./support.ts";

const [A, B] = ["0000:01:00.0", "0000:02:00.0"];
const RESET: DeviceFile = { path: "/a/reset", event: "modify", kind: "reset" };
const REMOVE: DeviceFile = { path: "/a/remove", event: "open", kind: "removal" };

Deno.test("SysfsFiles tells each device that a file hits, once for what came at once", async () => {
  const { kernel, context, told } = seen();
  const files = new SysfsFiles(context);
  files.add(A, [RESET, REMOVE]);
  files.add(B, [RESET]);
  kernel.fileWatches.tell(RESET.path, "modify");
  kernel.fileWatches.tell(RESET.path, "modify");
  kernel.fileWatches.tell(RESET.path, "open");
  kernel.fileWatches.tell(REMOVE.path, "open");
  await settle();
  assert.deepEqual(brief(told), [`reset ${A} ${B}`, `removal ${A}`]);
  assert.equal(told[0]?.cause.detail, "/a/reset was written to");
  files.stop();
  assert.deepEqual(kernel.table.open(), []);
});

Deno.test("SysfsFiles knows that one file can mean different things for two devices", async () => {
  const { kernel, context, told } = seen();
  const files = new SysfsFiles(context);
  const path = "/a/config";
  files.add(A, [{ path, event: "modify", kind: "config-write" }]);
  files.add(B, [{ path, event: "modify", kind: "reset" }]);
  kernel.fileWatches.tell(path, "modify");
  await settle();
  assert.deepEqual(brief(told), [`config-write ${A}`, `reset ${B}`]);
});

Deno.test("SysfsFiles takes lost events for a reset of everything", async () => {
  const { kernel, context, told } = seen();
  new SysfsFiles(context).add(A, [RESET]);
  kernel.fileWatches.overrun();
  await settle();
  assert.deepEqual(brief(told), ["reset all"]);
});

Deno.test("SysfsFiles leaves out files that a host does not have, and says which it may not watch", async () => {
  const { kernel, context, told } = seen();
  const files = new SysfsFiles(context);
  kernel.failNext("inotify_add_watch", "ENOENT");
  assert.deepEqual(files.add(A, [RESET]), []);
  kernel.failNext("inotify_add_watch", "EACCES");
  const refusals = files.add(A, [RESET, REMOVE]);
  assert.deepEqual(refusals.map(({ errnoName }) => errnoName), ["EACCES"]);
  kernel.fileWatches.tell(REMOVE.path, "open");
  await settle();
  assert.deepEqual(brief(told), [`removal ${A}`], "what can be watched is");
});

Deno.test("SysfsFiles sees files of the real kernel, and forgets one that has gone", async () => {
  const folder = await Deno.makeTempDir();
  const kernel = new LinuxKernel();
  const told: Observation[] = [];
  let seenOne = Promise.withResolvers<void>();
  const files = new SysfsFiles({
    kernel,
    tell: (observation) => {
      told.push(observation);
      seenOne.resolve();
    },
    failed: (error) => seenOne.reject(error),
  });
  try {
    const [reset, gone] = [`${folder}/reset`, `${folder}/gone`];
    await Deno.writeTextFile(reset, "");
    await Deno.writeTextFile(gone, "");
    files.add(A, [
      { path: reset, event: "modify", kind: "reset" },
      { path: gone, event: "open", kind: "removal" },
      { path: `${folder}/absent`, event: "modify", kind: "reset" },
    ]);
    await Deno.remove(gone);
    await Deno.readTextFile(reset);
    await Deno.writeTextFile(reset, "1", { append: true });
    await seenOne.promise;
    assert.deepEqual(brief(told), [`reset ${A}`]);
    seenOne = Promise.withResolvers();
    await Deno.writeTextFile(reset, "1", { append: true });
    await seenOne.promise;
    assert.equal(told.length, 2);
  } finally {
    files.stop();
    await Deno.remove(folder, { recursive: true });
  }
});
