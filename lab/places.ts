/** Where the laboratory finds and keeps things. @module */
import { LabError } from "./lab_error.ts";
import { fromFileUrl, join } from "./path.ts";

/** @returns the checkout's folder */
export function checkoutFolder(): string {
  return fromFileUrl(new URL("../", import.meta.url)).replace(/\/$/, "");
}

/**
 * @param environment the process's variables
 * @returns the folder outside the checkout that keeps kernels and compiled helpers
 * @throws LabError when XDG_CACHE_HOME is no absolute path
 */
export function cacheFolder(
  environment: Readonly<Record<string, string | undefined>> = Deno.env.toObject(),
): string {
  const base = environment["XDG_CACHE_HOME"];
  // what is kept must not depend on where a command was given
  if (base !== undefined && base !== "" && !base.startsWith("/")) {
    throw new LabError(`Cannot keep kernels in XDG_CACHE_HOME: it is no absolute path (${base})`, {
      fix: "begin it with /, or leave it out for ~/.cache",
    });
  }
  const home = environment["HOME"] ?? "/root";
  return join(base === undefined || base === "" ? join(home, ".cache") : base, "bargate/lab");
}
