/** The independent importer in C: what the cases about Bargate rely on. @module */
import assert from "node:assert/strict";
import type { LabCase } from "../guest/case.ts";
import { IMPORTER_ACCOUNT } from "../guest/setup.ts";

/** Cases about the importer. */
export const cases: readonly LabCase[] = [
  {
    name: "importer: drives the DMA engine as another user",
    async run({ devices, importer, program, start, vfioNode }) {
      const control = importer();
      const { uid, gid } = IMPORTER_ACCOUNT;
      start([program("importer"), control.socketPath], { uid, gid });
      const ids = await control.must("ids");
      assert.deepEqual([ids["uid"], ids["gid"], ids["capabilities"]], [uid, gid, "0x0"]);
      await control.must(`setup-edu ${await vfioNode(devices.edu.address)}`);
      const unmapped = await control.ask("unmap 0x100000 0x1000");
      assert.equal(unmapped.error, "ENOENT");
    },
  },
  {
    name: "importer: DMA to an address that is not mapped faults and is logged",
    async run({ devices, importer, program, start, vfioNode, kernelLog, logStart }) {
      const control = importer();
      start([program("importer"), control.socketPath]);
      await control.must(`setup-edu ${await vfioNode(devices.edu.address)}`);
      assert.equal(await kernelLog.faultsSince(logStart), 0);
      await control.must("dma-read 0x100000 64");
      assert.match(await kernelLog.waitForFault(logStart), /00:14\.0/);
    },
  },
  {
    name: "guest: bytes written to a BAR through sysfs are read back",
    async run({ devices, readBar, writeBar }) {
      const bytes = Uint8Array.from([0xba, 0x26, 0xa7, 0xe0]);
      await writeBar(devices.nvme.address, 2, 0x1000, bytes);
      assert.deepEqual(await readBar(devices.nvme.address, 2, 0x1000, 4), bytes);
      assert.notDeepEqual(await readBar(devices.nvme2.address, 2, 0x1000, 4), bytes);
    },
  },
  {
    name: "guest: one export and its close, in C",
    async run({ devices, program, run, vfioNode, figure }) {
      const node = await vfioNode(devices.nvme.address);
      const ran = await run([program("export_bench"), node, "2", "7", "100"]);
      assert.equal(ran.status, 0, ran.stderr);
      figure("one export and close in C, ns", JSON.parse(ran.stdout).nsPerExport);
    },
  },
];
