/** By which descriptor a process has a device open. @module */
import assert from "node:assert/strict";
import { findOwner } from "../../engine/device_owner.ts";
import { deviceDescriptor, OpenDevice } from "../../engine/process_descriptors.ts";
import { Slices } from "../../engine/slices.ts";
import { MemoryFiles } from "../support/memory_files.ts";
import { owned, OWNER, OWNER_PID } from "./owner_scene.ts";
import { SSD } from "./support.ts";

/** Process 9 with a table of this size, and the device open by this number. */
function tree(size: number, number: number): MemoryFiles {
  return new MemoryFiles({
    "/proc/9/status": `Name:\tx\nFDSize:\t${size}\nGroups:\t\n`,
    "/proc/9/fd/0": "->/dev/null",
    [`/proc/9/fd/${number}`]: "->/dev/vfio/devices/vfio0",
    [`/proc/9/fdinfo/${number}`]: `vfio-device-syspath: /sys/devices/pci0000:00/${SSD}\n`,
  });
}

Deno.test("a large table of descriptors is never listed, and others get their turns meanwhile", async () => {
  const files = tree(2048, 1500);
  files.list = () => assert.fail("was listed");
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  assert.equal(await deviceDescriptor(files, 9, SSD, new Slices()), 1500);
  clearInterval(timer);
  assert.ok(turns > 5, `${turns} turns`);
  assert.equal(await deviceDescriptor(files, 9, SSD, new Slices(), 1000), undefined);
});

Deno.test("the number by which a device was open is looked at first", async () => {
  const files = tree(64, 40);
  const open = new OpenDevice(files, 9, SSD);
  assert.equal(await open.isOpen(), true);
  const { readLink } = files;
  const looked: string[] = [];
  files.readLink = (path) => {
    looked.push(path);
    return readLink.call(files, path);
  };
  assert.equal(await open.isOpen(), true);
  assert.deepEqual(looked, ["/proc/9/fd/40"]);
  delete files.tree["/proc/9/fd/40"];
  assert.equal(await open.isOpen(), false);
});

Deno.test("descriptors of others are not looked at where the owner is found", async () => {
  const { scene, end } = await owned();
  const { kernel, files } = scene;
  kernel.addProcess({ pid: 88, uid: 1000, gid: 1000, unit: "other.service" });
  const { list } = files;
  files.list = (path) => {
    assert.notEqual(path, "/proc/88/fd");
    return list.call(files, path);
  };
  const { pid, pidfd } = await findOwner({ kernel, files }, SSD, { ...OWNER });
  assert.equal(pid, OWNER_PID);
  kernel.close(pidfd);
  end();
});
