/**
 * Paths within a folder that stands for `/`.
 *
 * @module
 */
import { KernelError } from "../engine/kernel_error.ts";
import { ERRNO, kernelError } from "./errno.ts";
import { readLink } from "./read_file.ts";

/** As many links as the kernel follows in one path. */
const LINKS_LIMIT = 40;

/**
 * Follows links and `..` as if the root were `/`: neither leads out of it.
 *
 * @param root folder without a slash at its end; empty for the real root
 * @param path within it
 * @returns the path within it, without links; a name that is not there is taken as it is
 * @throws {KernelError} ELOOP
 */
export function resolveBelow(root: string, path: string): string {
  const left = namesOf(path).reverse();
  const done: string[] = [];
  let links = 0;
  for (let name = left.pop(); name !== undefined; name = left.pop()) {
    if (name === "..") {
      done.pop();
      continue;
    }
    const target = linkText(`${root}/${[...done, name].join("/")}`);
    if (target === undefined) {
      done.push(name);
      continue;
    }
    if (++links > LINKS_LIMIT) throw kernelError("readlink", -ERRNO.ELOOP, path);
    if (target.startsWith("/")) done.length = 0;
    left.push(...namesOf(target).reverse());
  }
  return `/${done.join("/")}`;
}

function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}

/** The text of a link; absent where it is none, or cannot be looked at. */
function linkText(path: string): string | undefined {
  try {
    return readLink(path);
  } catch (error) {
    if (error instanceof KernelError) return undefined;
    throw error;
  }
}
