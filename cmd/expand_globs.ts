/**
 * Patterns on a command line, for shells and hooks that do not expand them. Not for want of
 * libraries: the runtime's own reads the environment, which a check of policies has no right to.
 *
 * @module
 */
import { isThere } from "./is_there.ts";

/**
 * The files and folders that a pattern stands for.
 *
 * @param pattern `*`, `?` and `[…]` within a name, `**` for any number of folders; as in shells, names
 * that start with a dot are found only by patterns that do
 * @returns paths in order of their names; none when nothing matches
 */
export function expandGlob(pattern: string): readonly string[] {
  const absolute = pattern.startsWith("/");
  const parts = pattern.split("/").filter((part) => part !== "");
  return [...new Set(expand(absolute ? "/" : "", parts))].sort();
}

function expand(base: string, [part, ...rest]: readonly string[]): readonly string[] {
  if (part === undefined) return base === "" ? [] : [base.replace(/\/$/, "")];
  if (part === "**") {
    const folders = entries(base).filter(({ isDirectory, name }) =>
      isDirectory && !name.startsWith(".")
    );
    const deeper = folders.flatMap(({ name }) => expand(`${base}${name}/`, ["**", ...rest]));
    return [...expand(base, rest), ...deeper];
  }
  if (!/[*?[]/.test(part)) return isThere(`${base}${part}`) ? next(base, part, rest) : [];
  const matcher = nameMatcher(part);
  return entries(base).filter(({ name }) => matcher.test(name))
    .flatMap(({ name }) => next(base, name, rest));
}

function next(base: string, name: string, rest: readonly string[]): readonly string[] {
  return rest.length === 0 ? [`${base}${name}`] : expand(`${base}${name}/`, rest);
}

/** What is in a folder; nothing when it is none. */
function entries(base: string): readonly Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(base === "" ? "." : base)];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return [];
    }
    throw error;
  }
}

/** The pattern of one name as a regular expression. */
function nameMatcher(part: string): RegExp {
  const text = part.replace(/\[!?\]?[^\]]*\]|[*?]|[.+^${}()|\\[\]]/g, (found) => {
    if (found === "*") return "[^/]*";
    if (found === "?") return "[^/]";
    if (found.length === 1) return `\\${found}`;
    return found.replace(/^\[!/, "[^").replaceAll("\\", "\\\\");
  });
  const visible = part.startsWith(".") ? "" : "(?!\\.)";
  return new RegExp(`^${visible}${text}$`, "u");
}
