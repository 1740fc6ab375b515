/**
 * libc, opened once per thread, and not before something is called: a verb that only reads policies
 * may load this module without the right to load libraries.
 *
 * @module
 */
import { type RawCall, withErrno } from "./errno.ts";
import { LIBC, READING_SYMBOLS, SYMBOLS } from "./symbols.ts";

/** The functions of the symbol table. One that fails answers `-errno`, never -1 with `errno`. */
export type Libc = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** Those of them that reading takes. */
export type ReadingLibc = Deno.DynamicLibrary<typeof READING_SYMBOLS>["symbols"];

let opened: Libc | undefined;
let openedToRead: ReadingLibc | undefined;

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
  return opened ??= open(SYMBOLS) as Libc;
}

/**
 * The same for who only reads, which a verb does that opens no device: the whole table takes the
 * runtime ten milliseconds to load.
 *
 * @returns its functions
 * @throws {Deno.errors.NotCapable} without `--allow-ffi`
 * @throws {Error} where there is no glibc
 */
export function readingLibc(): ReadingLibc {
  return opened ?? (openedToRead ??= open(READING_SYMBOLS) as ReadingLibc);
}

function open(definitions: Deno.ForeignLibraryInterface): unknown {
  const symbols = load(definitions);
  const errno = errnoView(symbols);
  const wrapped = Object.entries(definitions).map(([name, definition]) => {
    const call = symbols[name] as RawCall;
    if ("nonblocking" in definition) return [name, call] as const;
    const arity = "parameters" in definition ? definition.parameters.length : 0;
    return [name, withErrno(call, arity, errno)] as const;
  });
  return Object.fromEntries(wrapped);
}

function load(definitions: Deno.ForeignLibraryInterface): Readonly<Record<string, unknown>> {
  try {
    return Deno.dlopen(LIBC, definitions).symbols;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) throw cause;
    throw new Error(`Cannot load ${LIBC}: Bargate needs glibc 2.34 or later`, { cause });
  }
}

function errnoView(symbols: Readonly<Record<string, unknown>>): Int32Array {
  const location = (symbols["__errno_location"] as () => Deno.PointerValue)();
  if (location === null) throw new Error("Cannot find errno: __errno_location answered NULL");
  return new Int32Array(Deno.UnsafePointerView.getArrayBuffer(location, 4));
}
