import assert from "node:assert/strict";
import { observeRevokes } from "../../../engine/observers/revoke_trace.ts";
import { settle, SSD } from "../support.ts";
import { brief, seen } from "./support.ts";

Deno.test("observeRevokes tells who revoked what, and looks everywhere when it does not know", async () => {
  const { kernel, context, told } = seen();
  const observer = observeRevokes(context);
  for (const trace of kernel.revokeTraces) {
    trace.push({ device: SSD, revoked: true, pid: 7, task: "qemu" });
    trace.push({ revoked: false, pid: 7, task: "qemu" });
    trace.push("overrun");
  }
  await settle();
  assert.deepEqual(brief(told), [
    `revoke ${SSD}`,
    "unrevoke all",
    "revoke all",
    "unrevoke all",
  ]);
  assert.deepEqual(told.map(({ cause }) => cause.detail), [
    "all buffers revoked, by thread 7 (qemu)",
    "all buffers valid again, by thread 7 (qemu)",
    "records were lost, and with them perhaps a reset",
    "records were lost, and with them perhaps a reset",
  ]);
  observer.stop();
  assert.equal(kernel.revokeTraces.size, 0);
});
