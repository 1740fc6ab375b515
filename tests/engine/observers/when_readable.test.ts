import assert from "node:assert/strict";
import { whenReadable } from "../../../engine/observers/when_readable.ts";
import { SimEventFd } from "../../../sim/vfio.ts";
import { settle } from "../support.ts";
import { seen } from "./support.ts";

Deno.test("whenReadable tells of a throw, goes on, and closes its descriptor", async () => {
  const { kernel, context, errors } = seen();
  const fd = kernel.eventFd("test");
  const event = kernel.file(fd, SimEventFd);
  let calls = 0;
  const observer = whenReadable(context, fd, () => {
    calls++;
    throw new RangeError("broken");
  });
  event.signal();
  await settle();
  event.signal();
  await settle();
  assert.deepEqual([calls, errors.length], [2, 2]);
  observer.stop();
  event.signal();
  await settle();
  assert.equal(calls, 2);
  assert.deepEqual(kernel.table.open(), []);
});
