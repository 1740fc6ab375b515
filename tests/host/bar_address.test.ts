/** Where BARs are on the bus, by their registers. */
import assert from "node:assert/strict";
import { barAddress } from "../../host/bar_address.ts";

function registers(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(24);
  values.forEach((value, index) => new DataView(bytes.buffer).setUint32(4 * index, value, true));
  return bytes;
}

Deno.test("a BAR is where its registers say, without their flags", () => {
  const all = registers(0xfe80_0004, 0x38, 0xfc00_000c, 0, 0xfeb0_0008, 0xc001);
  assert.equal(barAddress(all, 0), 0x38_fe80_0000n);
  assert.equal(barAddress(all, 2), 0xfc00_0000n, "64-bit, below 4 GiB");
  assert.equal(barAddress(all, 4), 0xfeb0_0000n, "32-bit: the next one is another's");
  assert.equal(barAddress(all, 5), undefined, "I/O space");
});

Deno.test("what has no address has none", () => {
  assert.equal(barAddress(registers(), 2), undefined, "as of a virtual function");
  assert.equal(barAddress(registers(0, 0, 0xc), 2), undefined);
  assert.equal(barAddress(new Uint8Array(16), 2), undefined);
  for (const bar of [-1, 6]) assert.equal(barAddress(registers(0xfe80_0000), bar), undefined);
});
