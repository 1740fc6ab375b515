import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { sha256 } from "../../policy/sha256.ts";

function reference(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

Deno.test("sha256() agrees with the runtime's for every length around block borders", () => {
  for (let length = 0; length <= 260; length++) {
    const bytes = new Uint8Array(length).map((_, index) => index * 7 + length);
    assert.equal(sha256(bytes), reference(bytes), `${length} bytes`);
  }
});

Deno.test("sha256() agrees with the runtime's for any bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 1000 }), (bytes) => {
    assert.equal(sha256(bytes), reference(bytes));
  }));
});

Deno.test("sha256() of a megabyte is right", () => {
  const bytes = new Uint8Array(1 << 20).fill(0x61);
  assert.equal(sha256(bytes), reference(bytes));
});
