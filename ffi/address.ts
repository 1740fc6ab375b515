/**
 * Addresses of memory, for structs that hold pointers.
 *
 * @module
 */

/**
 * Where memory lies.
 *
 * @param memory on an ArrayBuffer that was made as such: V8 does not move it. Who stores the
 * address keeps the memory referenced
 * @returns the address
 */
export function addressOf(memory: Uint8Array<ArrayBuffer> | DataView<ArrayBuffer>): bigint {
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory));
}
