/**
 * What is found below a folder, or by a pattern, and is not meant: a link that somebody put there can
 * lead to any file of the machine, whose text would then stand in a message.
 *
 * @module
 */

/**
 * Why something that nobody has named is not read.
 *
 * @param realPath of it, without links
 * @param info of the same
 * @param given the paths and patterns on the command line
 * @returns what it is, and what to do; undefined: it may be read
 */
export function whyStray(
  realPath: string,
  { isFile, isDirectory }: Pick<Deno.FileInfo, "isFile" | "isDirectory">,
  given: readonly string[],
): string | undefined {
  if (!isFile && !isDirectory) {
    return "it is neither a file nor a folder; take it away, or name it if it is meant";
  }
  const isMeant = [".", ...given].some((path) => {
    const root = realPathOfBase(path);
    return root !== undefined && root !== "/" && isWithin(realPath, root);
  });
  if (isMeant) return undefined;
  return `a link leads to ${realPath}, which is neither below the current folder nor below what is given; name that path too if it is meant`;
}

function isWithin(path: string, root: string): boolean {
  return path === root || path.startsWith(`${root}/`);
}

/** Of a pattern: the folder that it begins in. */
function realPathOfBase(path: string): string | undefined {
  const parts = path.split("/");
  const wild = parts.findIndex((part) => /[*?[]/.test(part));
  const base = wild < 0 ? path : parts.slice(0, wild).join("/");
  const start = base !== "" ? base : path.startsWith("/") ? "/" : ".";
  try {
    return Deno.realPathSync(start);
  } catch (error) {
    // Not there, or not to be read by this run: nothing can be below it that is.
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable) {
      return undefined;
    }
    throw error;
  }
}
