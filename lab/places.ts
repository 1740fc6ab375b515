/** Where the laboratory finds and keeps things. @module */
import { fromFileUrl, join } from "./path.ts";

/** @returns the checkout's folder */
export function checkoutFolder(): string {
  return fromFileUrl(new URL("../", import.meta.url)).replace(/\/$/, "");
}

/**
 * @param environment the process's variables
 * @returns the folder outside the checkout that keeps kernels and compiled helpers
 */
export function cacheFolder(
  environment: Readonly<Record<string, string | undefined>> = Deno.env.toObject(),
): string {
  const base = environment["XDG_CACHE_HOME"];
  const home = environment["HOME"] ?? "/root";
  return join(base === undefined || base === "" ? join(home, ".cache") : base, "bargate/lab");
}
