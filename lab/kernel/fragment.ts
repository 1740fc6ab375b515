/** The kernel's options that the laboratory asks for. @module */

/** `CONFIG_X` and its value. */
export type Options = ReadonlyMap<string, string>;

/**
 * @param text of a fragment or of a `.config`
 * @returns the options that it sets; one that `is not set` is `n`
 *
 * @example
 * ```ts
 * import { parseOptions } from "./fragment.ts";
 * import assert from "node:assert/strict";
 *
 * assert.deepEqual([...parseOptions("CONFIG_PCI=y\n# CONFIG_NET is not set\n")], [
 *   ["CONFIG_PCI", "y"],
 *   ["CONFIG_NET", "n"],
 * ]);
 * ```
 */
export function parseOptions(text: string): Options {
  const options = new Map<string, string>();
  for (const line of text.split("\n")) {
    const set = /^(CONFIG_\w+)=(.*)$/.exec(line);
    const unset = /^# (CONFIG_\w+) is not set$/.exec(line);
    if (set?.[1] !== undefined && set[2] !== undefined) options.set(set[1], set[2]);
    else if (unset?.[1] !== undefined) options.set(unset[1], "n");
  }
  return options;
}

/** An option that did not come out as asked for. */
export interface LostOption {
  readonly option: string;
  readonly wanted: string;
  /** Absent: this kernel does not know the option, or something it depends on is off. */
  readonly got: string | undefined;
}

/**
 * @param fragment what was asked for
 * @param config the `.config` that came out
 * @returns the options that differ
 */
export function lostOptions(fragment: Options, config: Options): readonly LostOption[] {
  return [...fragment]
    .map(([option, wanted]) => ({ option, wanted, got: config.get(option) }))
    .filter(({ wanted, got }) => (got ?? "n") !== wanted);
}
