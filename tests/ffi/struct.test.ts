import { deepEqual, equal, throws } from "node:assert/strict";
import { allocate, decode, encode, type Field, type Layout } from "../../ffi/struct.ts";

const layout = {
  c: "struct sample",
  header: "sample.h",
  size: 40,
  fields: {
    a: { offset: 0, type: "u8" },
    b: { offset: 2, type: "u16" },
    c: { offset: 4, type: "u32" },
    d: { offset: 8, type: "i32" },
    e: { offset: 16, type: "u64" },
    f: { offset: 24, type: "i64" },
    g: { offset: 32, type: "pointer" },
    tail: { offset: 40, type: "bytes" },
  },
} as const satisfies Layout;

const values = {
  a: 255,
  b: 0xfffe,
  c: 0xfffffffd,
  d: -2,
  e: 0xffffffff_ffffffffn,
  f: -3n,
  g: 0x7fff_00000000n,
};

Deno.test("decode reads what encode wrote, at any place", () => {
  deepEqual(decode(layout, encode(layout, values)), values);
  const view = new DataView(new ArrayBuffer(100));
  encode(layout, values, view, 13);
  deepEqual(decode(layout, view, 13), values);
});

Deno.test("encode is little-endian and leaves other fields alone", () => {
  const view = encode(layout, { c: 0x01020304 });
  deepEqual([...new Uint8Array(view.buffer, 4, 4)], [4, 3, 2, 1]);
  encode(layout, { d: -1 }, view);
  equal(decode(layout, view).c, 0x01020304);
});

Deno.test("encode refuses what is not in the table, or of another kind", () => {
  const loose: Layout<Record<string, Field>> = layout;
  throws(() => encode(loose, { absent: 1 }), /no field absent/);
  throws(() => encode(loose, { e: 1 }), /sample\.e: it is a u64 \(received a number\)/);
  throws(() => encode(loose, { c: 1n }), RangeError);
  throws(() => encode(loose, { tail: 1 }), RangeError);
});

Deno.test("encode refuses a struct that does not fit", () => {
  throws(() => encode(layout, values, new DataView(new ArrayBuffer(39))), RangeError);
});

Deno.test("allocate gives zeroes, and room behind", () => {
  const view = allocate(layout, 5);
  equal(view.byteLength, 45);
  equal(new Uint8Array(view.buffer).every((byte) => byte === 0), true);
});
