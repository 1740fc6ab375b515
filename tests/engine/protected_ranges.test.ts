/** What may not be known of a function's MSI-X structures, and must not be taken for "none". */
import assert from "node:assert/strict";
import fc from "fast-check";
import { protectedRanges, whyNotKnown } from "../../engine/protected_ranges.ts";

const PAGE = 4096;

/** MSI-X at 0xb0, in BAR 2: table at 0, pending bits at 0x1000. */
function withMsix(bytes = 256): Uint8Array {
  const config = new Uint8Array(bytes);
  const view = new DataView(config.buffer);
  view.setUint16(0x06, 0x10, true);
  view.setUint8(0x34, 0xb0);
  view.setUint8(0xb0, 0x11);
  view.setUint16(0xb2, 31, true);
  view.setUint32(0xb4, 2, true);
  view.setUint32(0xb8, 2 | 0x1000, true);
  return config;
}

function patched(...bytes: readonly (readonly [at: number, value: number])[]): Uint8Array {
  const config = withMsix();
  for (const [at, value] of bytes) config[at] = value;
  return config;
}

Deno.test("the ranges are known from a whole list", () => {
  assert.deepEqual(protectedRanges(withMsix(), PAGE), [
    { what: "msix-table", bar: 2, offset: 0n, length: 4096n },
    { what: "msix-pba", bar: 2, offset: 0x1000n, length: 4096n },
  ]);
  assert.deepEqual(protectedRanges(patched([0xb0, 0x10]), PAGE), [], "a list without MSI-X");
  assert.deepEqual(protectedRanges(patched([0x06, 0]), PAGE), [], "no list");
});

Deno.test("configuration space that is cut off tells of no function that it has no MSI-X", () => {
  fc.assert(fc.property(fc.nat(255), fc.boolean(), (bytes, msix) => {
    const config = (msix ? withMsix() : new Uint8Array(256)).subarray(0, bytes);
    assert.equal(protectedRanges(config, PAGE), undefined);
    assert.match(whyNotKnown("0000:01:00.0", config), new RegExp(`^only ${bytes} bytes`));
  }));
});

Deno.test("nor does a function that does not answer, or a list that leads nowhere", () => {
  const wrong: Readonly<Record<string, Uint8Array>> = {
    "gone, 256 bytes": new Uint8Array(256).fill(0xff),
    "gone, 4096 bytes": new Uint8Array(4096).fill(0xff),
    "status of ones": patched([0x06, 0xff], [0x07, 0xff]),
    "ones in the list": patched([0xb0, 0xff], [0xb1, 0xff]),
    "a list into the header": patched([0x34, 0x20]),
    "a list in a circle": patched([0xb0, 0x05], [0xb1, 0xb0]),
    "MSI-X cut off": patched([0x34, 0xf8], [0xf8, 0x11]),
    "a BAR that no function has": patched([0xb4, 7]),
  };
  for (const [name, config] of Object.entries(wrong)) {
    assert.equal(protectedRanges(config, PAGE), undefined, name);
    assert.match(whyNotKnown("0000:01:00.0", config), /0000:01:00\.0/);
  }
});

Deno.test("a virtual function has no ids in its header, and can be known all the same", () => {
  const virtual = patched([0, 0xff], [1, 0xff], [2, 0xff], [3, 0xff]);
  assert.equal(protectedRanges(virtual, PAGE)?.length, 2);
});
