/** Folders that the laboratory writes to. @module */
import { fileTrouble } from "../cmd/file_trouble.ts";
import { LabError } from "./lab_error.ts";

/** How to have the laboratory keep its things elsewhere. */
export const OTHER_CACHE = "name a folder that this account may write to with XDG_CACHE_HOME";
/** The same of what is there for one run only. */
export const OTHER_TEMPORARY = "name a folder that this account may write to with TMPDIR";

/**
 * Makes a folder of the laboratory's cache, unless it is there, and tries whether files can be made
 * in it.
 *
 * @param path of the folder
 * @param what what it is for: "keep the kernel"
 * @throws LabError when it cannot be used
 */
export async function usableFolder(path: string, what: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true });
    await Deno.remove(await Deno.makeTempFile({ dir: path, prefix: ".try-" }));
  } catch (cause) {
    throw new LabError(`Cannot ${what} in ${path}: ${why(cause)}`, { fix: OTHER_CACHE });
  }
}

/**
 * @param prefix of its name
 * @returns a fresh folder for one run
 * @throws LabError when there can be none
 */
export async function temporaryFolder(prefix: string): Promise<string> {
  try {
    return await Deno.makeTempDir({ prefix });
  } catch (cause) {
    const place = Deno.env.get("TMPDIR") || "/tmp";
    throw new LabError(`Cannot make a folder in ${place}: ${why(cause)}`, { fix: OTHER_TEMPORARY });
  }
}

/** What is to be done is in the error's own fix, which knows what the folder is for. */
function why(cause: unknown): string {
  return fileTrouble(cause, "write").split(";")[0] ?? "";
}
