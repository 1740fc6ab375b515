/**
 * libc, opened once per thread, and not before something is called: a verb that only reads policies
 * may load this module without the right to load libraries.
 *
 * @module
 */
import { type RawCall, withErrno } from "./errno.ts";
import { LIBC, SYMBOLS } from "./symbols.ts";

type Library = Deno.DynamicLibrary<typeof SYMBOLS>;

/** The functions of the symbol table. One that fails answers `-errno`, never -1 with `errno`. */
export type Libc = Library["symbols"];

let opened: Libc | undefined;

/**
 * The C library of this thread (`errno` belongs to a thread, and so does this).
 *
 * @returns its functions
 * @throws {Deno.errors.NotCapable} without `--allow-ffi`
 * @throws {Error} where there is no glibc
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { libc } from "./libc.ts";
 *
 * if (libc().close(-1) !== -9) throw new Error("EBADF is 9");
 * ```
 */
export function libc(): Libc {
  return opened ??= open();
}

function open(): Libc {
  const { symbols } = load();
  const errno = errnoView(symbols);
  const wrapped = Object.entries(SYMBOLS).map(([name, definition]) => {
    const call = symbols[name as keyof Libc] as RawCall;
    if ("nonblocking" in definition) return [name, call] as const;
    return [name, withErrno(call, definition.parameters.length, errno)] as const;
  });
  return Object.fromEntries(wrapped) as unknown as Libc;
}

function load(): Library {
  try {
    return Deno.dlopen(LIBC, SYMBOLS);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) throw cause;
    throw new Error(`Cannot load ${LIBC}: Bargate needs glibc 2.34 or later`, { cause });
  }
}

function errnoView(symbols: Libc): Int32Array {
  const location = symbols.__errno_location();
  if (location === null) throw new Error("Cannot find errno: __errno_location answered NULL");
  return new Int32Array(Deno.UnsafePointerView.getArrayBuffer(location, 4));
}
