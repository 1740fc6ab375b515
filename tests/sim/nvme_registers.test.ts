/** Registers of a simulated controller: what they refuse. */
import assert from "node:assert/strict";
import { SimNvmeRegisters } from "../../sim/nvme_registers.ts";

Deno.test("no access of a controller's registers may span two of them", () => {
  const registers = new SimNvmeRegisters({ controllerMemory: { state: "none" } });
  for (const [offset, length] of [[0x00n, 8], [0x38n, 8], [0x3an, 4], [0xe00n, 8]] as const) {
    assert.throws(() => registers.read(offset, length), /span two registers/);
    assert.throws(() => registers.write(offset, new Uint8Array(length)), /span two registers/);
  }
  for (const [offset, length] of [[0x38n, 4], [0x3cn, 4], [0x3an, 2], [0x1000n, 8]] as const) {
    assert.equal(registers.read(offset, length).length, length);
  }
});
