/** Whether a controller has a persistent memory region, by the bytes of its registers. */
import assert from "node:assert/strict";
import { hasPersistentMemory, persistentMemoryOf } from "../../host/nvme_pmr.ts";

function registers(capabilities: number, control: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, capabilities, true);
  view.setUint32(4, control, true);
  return bytes;
}

Deno.test("a region is there if CAP says so", () => {
  const cap = new Uint8Array(8);
  assert.equal(hasPersistentMemory(cap), false);
  cap[7] = 1;
  assert.equal(hasPersistentMemory(cap), true);
});

Deno.test("a region is in the BAR that PMRCAP names, and enabled by PMRCTL", () => {
  // QEMU: BAR 4, reads and writes, write barriers by reading PMRSTS.
  assert.deepEqual(persistentMemoryOf(registers(0x0100_0898, 0)), { state: "disabled", bar: 4 });
  assert.deepEqual(persistentMemoryOf(registers(2 << 5, 1)), { state: "enabled", bar: 2 });
});

Deno.test("what no controller says is no answer", () => {
  assert.equal(persistentMemoryOf(registers(0xffff_ffff, 0xffff_ffff)), undefined);
  for (const bar of [0, 1, 6, 7]) {
    assert.equal(persistentMemoryOf(registers(bar << 5, 0)), undefined, `BAR ${bar}`);
  }
  assert.equal(persistentMemoryOf(new Uint8Array(7)), undefined);
});
