/**
 * Environment variables that make a program load other code or read other files than its own.
 *
 * @module
 */

/** What glibc takes out of the environment of set-user-id programs (ld.so(8)), but for TMPDIR. */
const HEEDED = new Set([
  "GCONV_PATH",
  "GETCONF_DIR",
  "GLIBC_TUNABLES",
  "HOSTALIASES",
  "LOCALDOMAIN",
  "LOCPATH",
  "MALLOC_TRACE",
  "NIS_PATH",
  "NLSPATH",
  "RESOLV_HOST_CONF",
  "RES_OPTIONS",
  "TZDIR",
]);

/**
 * Whether the dynamic loader or the C library itself heeds a variable, in every program.
 *
 * @param name of the variable
 *
 * @example
 * ```ts
 * import { isLoaderVariable } from "./loader_variable.ts";
 *
 * if (!isLoaderVariable("LD_PRELOAD") || isLoaderVariable("LANG")) throw new Error("wrong");
 * ```
 */
export function isLoaderVariable(name: string): boolean {
  return name.startsWith("LD_") || HEEDED.has(name);
}
