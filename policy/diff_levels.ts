/**
 * What can be held of bytes: reading, writing, and pages of interrupt tables. Whoever may do two of
 * these by two rules has two buffers; only by one rule has it both at once, as it takes to write to a
 * table.
 *
 * @module
 */
import type { ExportRule } from "./model.ts";

/**
 * What a rule gives at once, in the order in which it is told: what is less comes first. Who may write
 * may read.
 */
export const LEVELS = [
  "read",
  "write",
  "msix-table",
  "msix-pba",
  "write+msix-table",
  "write+msix-pba",
  "msix-table+msix-pba",
  "write+msix-table+msix-pba",
] as const;
/** One of {@linkcode LEVELS}. */
export type Level = typeof LEVELS[number];

const RIGHTS: ReadonlyMap<Level, readonly string[]> = new Map(
  LEVELS.map((level) => [level, level === "read" ? [] : level.split("+")]),
);

/** @returns levels that a rule gives */
export function levelsOf({ access, allowProtected }: ExportRule): readonly Level[] {
  const rights = new Set<string>(allowProtected.map(({ range }) => range));
  if (access === "read-write") rights.add("write");
  return LEVELS.filter((level) => RIGHTS.get(level)?.every((right) => rights.has(right)));
}

/** @returns levels that are part of a level, itself left out */
export function partsOf(level: Level): readonly Level[] {
  const rights = RIGHTS.get(level) ?? [];
  return LEVELS.filter((part) =>
    part !== level && RIGHTS.get(part)?.every((right) => rights.includes(right))
  );
}
