/**
 * Reading and writing C structs by the layout table. Both architectures are little-endian.
 *
 * @module
 */

/** How a field is stored; `bytes` is an array or the flexible end of a struct, and is only located. */
export type FieldType = "u8" | "u16" | "u32" | "i16" | "i32" | "u64" | "i64" | "pointer" | "bytes";

/** One field of a struct. */
export interface Field<T extends FieldType = FieldType> {
  /** Bytes from the start of the struct. */
  readonly offset: number;
  readonly type: T;
  /** The C expression of the member where it is not the field's own name. */
  readonly c?: string;
}

/** One struct. */
export interface Layout<F extends Record<string, Field> = Record<string, Field>> {
  /** The C type: `struct vfio_device_info`. */
  readonly c: string;
  /** The header that declares it. */
  readonly header: string;
  /** Bytes. */
  readonly size: number;
  readonly fields: F;
}

/** What a field's value is in TypeScript. */
export type FieldValue<T extends FieldType> = T extends "u64" | "i64" | "pointer" ? bigint : number;

type NumberField = Field<"u8" | "u16" | "u32" | "i16" | "i32">;
type BigField = Field<"u64" | "i64" | "pointer">;

/**
 * Zeroed memory for a struct.
 *
 * @param layout the struct
 * @param extra bytes behind it, for a flexible array
 */
export function allocate(layout: Layout, extra = 0): DataView<ArrayBuffer> {
  return new DataView(new ArrayBuffer(layout.size + extra));
}

/**
 * Reads a field of 8 to 32 bits.
 *
 * @param view memory
 * @param field from the layout table
 * @param at where the struct starts in it, bytes
 */
export function getNumber(view: DataView, field: NumberField, at = 0): number {
  const offset = at + field.offset;
  switch (field.type) {
    case "u8":
      return view.getUint8(offset);
    case "u16":
      return view.getUint16(offset, true);
    case "u32":
      return view.getUint32(offset, true);
    case "i16":
      return view.getInt16(offset, true);
    case "i32":
      return view.getInt32(offset, true);
  }
}

/**
 * Reads a field of 64 bits.
 *
 * @param view memory
 * @param field from the layout table
 * @param at where the struct starts in it, bytes
 */
export function getBig(view: DataView, field: BigField, at = 0): bigint {
  const offset = at + field.offset;
  return field.type === "i64" ? view.getBigInt64(offset, true) : view.getBigUint64(offset, true);
}

/**
 * Writes a field of 8 to 32 bits.
 *
 * @param view memory
 * @param field from the layout table
 * @param value taken modulo the field's size
 * @param at where the struct starts in it, bytes
 */
export function setNumber(view: DataView, field: NumberField, value: number, at = 0): void {
  const offset = at + field.offset;
  switch (field.type) {
    case "u8":
      return view.setUint8(offset, value);
    case "u16":
      return view.setUint16(offset, value, true);
    case "u32":
      return view.setUint32(offset, value, true);
    case "i16":
      return view.setInt16(offset, value, true);
    case "i32":
      return view.setInt32(offset, value, true);
  }
}

/**
 * Writes a field of 64 bits.
 *
 * @param view memory
 * @param field from the layout table
 * @param value taken modulo 2^64
 * @param at where the struct starts in it, bytes
 */
export function setBig(view: DataView, field: BigField, value: bigint, at = 0): void {
  view.setBigUint64(at + field.offset, BigInt.asUintN(64, value), true);
}

/** Values of the fields that have one. */
export type Values<F extends Record<string, Field>> = {
  -readonly [K in keyof F as F[K]["type"] extends "bytes" ? never : K]: FieldValue<F[K]["type"]>;
};

/**
 * Writes some fields of a struct; the others stay as they are.
 *
 * @param layout the struct
 * @param values by field
 * @param view memory; absent: fresh and zeroed
 * @param at where the struct starts in it, bytes
 * @returns the memory
 * @throws {RangeError} if a value is no number of the field's kind
 *
 * @example
 * ```ts
 * import { encode } from "./struct.ts";
 * import { STRUCTS } from "./layouts.ts";
 *
 * const view = encode(STRUCTS.iommu_ioas_unmap, { size: 24, length: 1n << 63n });
 * if (view.getBigUint64(16, true) !== 1n << 63n) throw new Error("length is at 16");
 * ```
 */
export function encode<F extends Record<string, Field>>(
  layout: Layout<F>,
  values: Partial<Values<F>>,
  view: DataView<ArrayBuffer> = allocate(layout),
  at = 0,
): DataView<ArrayBuffer> {
  for (const [name, value] of Object.entries<unknown>(values)) {
    const field = layout.fields[name];
    if (field === undefined) throw new RangeError(`Cannot encode ${layout.c}: no field ${name}`);
    encodeField(layout.c, name, field, value, view, at);
  }
  return view;
}

function encodeField(
  c: string,
  name: string,
  field: Field,
  value: unknown,
  view: DataView,
  at: number,
): void {
  if (isBig(field) && typeof value === "bigint") return setBig(view, field, value, at);
  if (isNumber(field) && typeof value === "number") return setNumber(view, field, value, at);
  throw new RangeError(
    `Cannot encode ${c}.${name}: it is a ${field.type} (received a ${typeof value})`,
  );
}

/**
 * Reads all fields of a struct.
 *
 * @param layout the struct
 * @param view memory
 * @param at where the struct starts in it, bytes
 * @returns values by field, without the fields of type `bytes`
 */
export function decode<F extends Record<string, Field>>(
  layout: Layout<F>,
  view: DataView,
  at = 0,
): Values<F> {
  const values: Record<string, number | bigint> = {};
  for (const [name, field] of Object.entries<Field>(layout.fields)) {
    if (isBig(field)) values[name] = getBig(view, field, at);
    else if (isNumber(field)) values[name] = getNumber(view, field, at);
  }
  return values as Values<F>;
}

function isBig(field: Field): field is BigField {
  return field.type === "u64" || field.type === "i64" || field.type === "pointer";
}

function isNumber(field: Field): field is NumberField {
  return field.type !== "bytes" && !isBig(field);
}
