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
 * @param pattern `*`, `?` and `[…]` within a name, `**` for any number of folders, linked ones too;
 * as in shells, names that start with a dot are found only by patterns that do. Unlike there, a
 * `.yaml` or `.yml` at the end stands for `.YAML` too: what is left out could be a deny
 * @returns paths in order of their names; none when nothing matches
 */
export function expandGlob(pattern: string): readonly string[] {
  const absolute = pattern.startsWith("/");
  const parts = pattern.split("/").filter((part) => part !== "");
  return [...new Set(new Expansion().expand(absolute ? "/" : "", parts))].sort();
}

class Expansion {
  /** What `**` has gone through, by real paths and what comes after it: links can lead round. */
  readonly #entered = new Set<string>();

  expand(base: string, [part, ...rest]: readonly string[]): readonly string[] {
    if (part === undefined) return base === "" ? [] : [base.replace(/\/$/, "")];
    if (part === "**") return this.#below(base, rest);
    if (!/[*?[]/.test(part)) return isThere(`${base}${part}`) ? this.#next(base, part, rest) : [];
    const matcher = nameMatcher(part);
    return entries(base).filter(({ name }) => matcher.test(name))
      .flatMap(({ name }) => this.#next(base, name, rest));
  }

  #below(base: string, rest: readonly string[]): readonly string[] {
    const folder = folderAt(base);
    const here = JSON.stringify([folder, ...rest]);
    if (folder === undefined || this.#entered.has(here)) return [];
    this.#entered.add(here);
    const folders = entries(base).filter(({ name, isDirectory, isSymlink }) =>
      !name.startsWith(".") && (isDirectory || isSymlink)
    );
    const deeper = folders.flatMap(({ name }) => this.#below(`${base}${name}/`, rest));
    return [...this.expand(base, rest), ...deeper];
  }

  #next(base: string, name: string, rest: readonly string[]): readonly string[] {
    return rest.length === 0 ? [`${base}${name}`] : this.expand(`${base}${name}/`, rest);
  }
}

/** What is in a folder, in order; nothing when it is none. */
function entries(base: string): readonly Deno.DirEntry[] {
  try {
    const found = [...Deno.readDirSync(base === "" ? "." : base)];
    return found.sort((a, b) => a.name < b.name ? -1 : 1);
  } catch (error) {
    if (isAbsence(error)) return [];
    throw error;
  }
}

/** The real path of a folder, or of what a link leads to; nothing when that is none. */
function folderAt(base: string): string | undefined {
  const path = base === "" ? "." : base;
  try {
    return Deno.statSync(path).isDirectory ? Deno.realPathSync(path) : undefined;
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

function isAbsence(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
}

/** The pattern of one name as a regular expression. */
function nameMatcher(part: string): RegExp {
  const [stem, ending] = apart(part);
  const text = stem.replace(/\[[!^]?\]?[^\]]*\]|[*?]|[.+^${}()|\\[\]]/g, (found) => {
    if (found === "*") return "[^/]*";
    if (found === "?") return "[^/]";
    return found.length === 1 ? `\\${found}` : oneOf(found);
  });
  const visible = part.startsWith(".") ? "" : "(?!\\.)";
  return new RegExp(`^${visible}${text}${ending}$`, "u");
}

/** A name's pattern, and behind it the ending of a policy whatever its case. */
function apart(part: string): readonly [string, string] {
  const [ending] = /\.ya?ml$/.exec(part) ?? [""];
  const either = ending.replace(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}]`);
  return [part.slice(0, part.length - ending.length), either.replace(".", "\\.")];
}

/**
 * `[…]`: a bracket first in it is a character; a range from back to front has none. `^` first says
 * "none of these", as `!` does: bash, ksh and zsh take it so.
 */
function oneOf(bracket: string): string {
  const [, not = "", inside = ""] = /^\[([!^]?)(.*)\]$/su.exec(bracket) ?? [];
  const code = (character = "") => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  const items = [...inside.matchAll(/(.)-(.)|./gsu)].map(([single, from, to]) => {
    if (from === undefined || to === undefined) return code(single);
    return (from.codePointAt(0) ?? 0) <= (to.codePointAt(0) ?? 0)
      ? `${code(from)}-${code(to)}`
      : "";
  }).join("");
  return not === "" ? `[${items}]` : `[^/${items}]`;
}
