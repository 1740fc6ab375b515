import assert from "node:assert/strict";
import { findTrouble, LogTail } from "../../lab/machine/kernel_log.ts";

const TROUBLE: readonly (readonly [string, string, boolean])[] = [
  ["[  9.1] Kernel panic - not syncing: Fatal exception", "panic", true],
  ["[  9.1] Oops: 0000 [#1] SMP", "oops", true],
  ["[  9.1] BUG: unable to handle page fault for address: 00000001", "oops", true],
  ["[  9.1] kernel BUG at mm/slab.c:1!", "bug", true],
  ["[  9.1] BUG: scheduling while atomic: deno/1/0x00000002", "bug", true],
  ["[ 99.1] INFO: task deno:77 blocked for more than 20 seconds.", "hung task", true],
  ["bargate-lab: init failed: overlay", "init", true],
  ["[  9.1] WARNING: CPU: 0 PID: 1 at drivers/vfio/x.c:1 f+0x1/0x2", "warning", false],
  ["[  9.1] WARNING: drivers/vfio/x.c:1 at f+0x1/0x2, CPU#0: deno/1", "warning", false],
];

for (const [line, what, fatal] of TROUBLE) {
  Deno.test(`findTrouble() sees a ${what} in: ${line}`, () => {
    assert.deepEqual(findTrouble(line), { what, fatal, line });
  });
}

for (
  const line of [
    "[    0.9] Run /init as init process",
    "[    3.5] clocksource: Watchdog remote CPU 1 read timed out",
    "[    5.0] DMAR: [DMA Write NO_PASID] Request device [00:14.0] fault addr 0x100000",
  ]
) {
  Deno.test(`findTrouble() sees none in: ${line}`, () => {
    assert.equal(findTrouble(line), undefined);
  });
}

Deno.test("LogTail keeps the newest lines, oldest first", () => {
  const tail = new LogTail(3);
  for (const line of ["a", "b", "c", "d"]) tail.add(line);
  assert.deepEqual(tail.last(), ["b", "c", "d"]);
  assert.deepEqual(tail.last(2), ["c", "d"]);
});
