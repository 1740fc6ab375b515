import assert from "node:assert/strict";
import type { Fd } from "../../../engine/fd.ts";
import type { EventInterrupt } from "../../../engine/kernel.ts";
import { observeInterrupts } from "../../../engine/observers/interrupts.ts";
import { SimEventFd } from "../../../sim/vfio.ts";
import { settle, SSD } from "../support.ts";
import { brief, seen } from "./support.ts";

function source(refuses?: EventInterrupt) {
  const armed: [EventInterrupt, Fd][] = [];
  const reopened: (() => Promise<unknown>)[] = [];
  return {
    armed,
    reopened,
    session: {
      target: { address: SSD },
      arm(which: EventInterrupt, fd: Fd): Promise<boolean> {
        if (which === refuses) return Promise.reject(new RangeError("refused"));
        armed.push([which, fd]);
        return Promise.resolve(true);
      },
    },
    onReopen: (work: () => Promise<unknown>) => void reopened.push(work),
  };
}

Deno.test("observeInterrupts tells of a request and of an error", async () => {
  const { kernel, context, told } = seen();
  const device = source();
  const observer = await observeInterrupts(context, device);
  for (const [, fd] of device.armed) kernel.file(fd, SimEventFd).signal();
  await settle();
  assert.deepEqual(brief(told), [`removal ${SSD}`, `error ${SSD}`]);
  observer.stop();
  assert.deepEqual(kernel.table.open(), []);
});

Deno.test("observeInterrupts arms the same descriptors in each generation", async () => {
  const { context } = seen();
  const device = source();
  await observeInterrupts(context, device);
  for (const work of device.reopened) await work();
  assert.equal(device.armed.length, 4);
  assert.equal(device.armed[0]?.[1], device.armed[2]?.[1]);
});

Deno.test("observeInterrupts leaves nothing open when it is refused", async () => {
  const { kernel, context } = seen();
  await assert.rejects(observeInterrupts(context, source("error")), RangeError);
  assert.deepEqual(kernel.table.open(), []);
});
