/**
 * Files of executables as a policy names them: which file it is, and whether others could put
 * another one in its place.
 *
 * @module
 */
import type { FileIdentity, Kernel } from "./kernel.ts";
import { KernelError } from "./kernel_error.ts";

const ROOT = 0;
const GROUP_OR_OTHERS_WRITE = 0o022;
const STICKY = 0o1000;
const TYPE_MASK = 0o170000;
const TYPE_DIRECTORY = 0o040000;
const ABSENT: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR"]);

/**
 * Stat facts of a file that may not be there.
 *
 * @param kernel the port
 * @param path absolute; links are followed
 * @returns absent: there is no such file, or no such folder on the way
 * @throws {KernelError} for any other reason
 */
export function identifyIfThere(kernel: Kernel, path: string): FileIdentity | undefined {
  try {
    return kernel.identify(path);
  } catch (error) {
    const absent = error instanceof KernelError && ABSENT.has(error.errnoName);
    if (absent) return undefined;
    throw error;
  }
}

/**
 * Between a check and a start somebody could put another file there, unless every folder on the way
 * belongs to root or Bargate and nobody else can write to it.
 *
 * @param kernel the port
 * @param path absolute, with its links resolved
 * @returns the first part, from the file upwards, that others can write to; absent: none
 */
export function loosePart(kernel: Kernel, path: string): string | undefined {
  const parts = path.split("/");
  for (let length = parts.length; length >= 1; length--) {
    const part = parts.slice(0, length).join("/") || "/";
    const found = kernel.identify(part);
    const owned = found.uid === ROOT || found.uid === kernel.uid;
    const sticky = (found.mode & TYPE_MASK) === TYPE_DIRECTORY && (found.mode & STICKY) !== 0;
    if (!owned || ((found.mode & GROUP_OR_OTHERS_WRITE) !== 0 && !sticky)) return part;
  }
  return undefined;
}

/**
 * Whether two descriptions are of one file: names can change, device and inode tell.
 *
 * @param a of a file that is there
 * @param b of another, or the same
 */
export function isSameFile(
  a: Pick<FileIdentity, "device" | "inode">,
  b: Pick<FileIdentity, "device" | "inode">,
): boolean {
  return a.device === b.device && a.inode === b.inode;
}
