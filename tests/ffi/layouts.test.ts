import { deepEqual, equal, match } from "node:assert/strict";
import checkedFile from "../../ffi/layouts.checked.json" with { type: "json" };
import { ERRNO } from "../../ffi/errno.ts";
import {
  type CheckedLayouts,
  checkedLayoutsFile,
  layoutProbeSource,
} from "../../ffi/generate_layout_probe.ts";
import { C, CONSTANTS_BY_HEADER, epollEventLayout, STRUCTS } from "../../ffi/layouts.ts";
import type { Field, FieldType, Layout } from "../../ffi/struct.ts";

const checked: CheckedLayouts = checkedFile;

const SIZES: Readonly<Record<FieldType, number>> = {
  u8: 1,
  u16: 2,
  u32: 4,
  i16: 2,
  i32: 4,
  u64: 8,
  i64: 8,
  pointer: 8,
  bytes: 0,
};

function factsOf(field: Field) {
  if (field.type === "bytes") return { offset: field.offset };
  return {
    offset: field.offset,
    size: SIZES[field.type],
    signed: field.type.startsWith("i"),
  };
}

function asChecked(struct: Layout) {
  const fields = Object.entries(struct.fields).map(([name, field]) => [name, factsOf(field)]);
  return { size: struct.size, fields: Object.fromEntries(fields) };
}

Deno.test("every struct is as the compiler saw it in the headers", () => {
  const table = { ...STRUCTS, epoll_event: epollEventLayout(checked.arch) };
  const own = Object.entries<Layout>(table).map(([name, struct]) => [name, asChecked(struct)]);
  deepEqual(checked.structs, Object.fromEntries(own));
});

Deno.test("every constant is as the compiler saw it in the headers", () => {
  deepEqual(checked.constants, { ...C, ...ERRNO });
});

Deno.test("the constants of no header are missing from C", () => {
  deepEqual(C, Object.assign({}, ...Object.values(CONSTANTS_BY_HEADER)));
});

Deno.test("the headers are of a kernel that exports, for an architecture that we run on", () => {
  match(checked.kernel, /^([7-9]|\d\d)\.\d+\.\d+$/);
  match(checked.arch, /^(x86_64|aarch64)$/);
});

Deno.test("epoll_event is packed on x86_64 only", () => {
  deepEqual([epollEventLayout("x86_64").size, epollEventLayout("aarch64").size], [12, 16]);
  deepEqual(epollEventLayout("x86_64").fields.data.offset, 4);
  deepEqual(epollEventLayout("aarch64").fields.data.offset, 8);
});

Deno.test("the C program asks for everything in the table", () => {
  const source = layoutProbeSource();
  for (const [name, struct] of Object.entries<Layout>(STRUCTS)) {
    equal(source.includes(`STRUCT("${name}", ${struct.c});`), true, name);
    equal(source.includes(`#include <${struct.header}>`), true, struct.header);
  }
  for (const name of Object.keys(checked.constants)) {
    equal(source.includes(`CONSTANT(${name});`), true, name);
  }
});

Deno.test("the checked-in file is what the C program printed, formatted", async () => {
  const text = await Deno.readTextFile(new URL("../../ffi/layouts.checked.json", import.meta.url));
  equal(checkedLayoutsFile(text), text);
});
