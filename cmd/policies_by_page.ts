/**
 * Policy files as they are on hosts of different page sizes: what is whole pages on one may be parts of
 * pages on another.
 *
 * @module
 */
import type { Diagnostic } from "../policy/diagnostic.ts";
import { loadPolicySet, type LoadResult } from "../policy/load.ts";
import type { PolicyFile } from "./policy_input.ts";

/** What is wrong with pages of this size is wrong on every host, for every page is made of such. */
const SMALLEST_PAGE = 4096;

/** Policy files, loaded once for each page size. */
export class PoliciesByPage {
  /** As they are on every host. */
  readonly loaded: LoadResult;
  readonly #told: ReadonlySet<string>;
  readonly #bySize = new Map<number, Pick<LoadResult, "set" | "diagnostics">>();

  /** @param files all of the set */
  constructor(private readonly files: readonly PolicyFile[]) {
    this.loaded = loadPolicySet(files, { pageSize: SMALLEST_PAGE });
    this.#told = new Set(this.loaded.diagnostics.map(keyOf));
    this.#bySize.set(SMALLEST_PAGE, { ...this.loaded, diagnostics: [] });
  }

  /**
   * @param pageSize of a host, bytes
   * @returns the set, if it is valid there, and what is not said of it on every host
   */
  on(pageSize: number): Pick<LoadResult, "set" | "diagnostics"> {
    const known = this.#bySize.get(pageSize);
    if (known !== undefined) return known;
    const { set, diagnostics } = loadPolicySet(this.files, { pageSize });
    const untold = diagnostics.filter((found) => !this.#told.has(keyOf(found)));
    const here = { ...(set === undefined ? {} : { set }), diagnostics: untold };
    this.#bySize.set(pageSize, here);
    return here;
  }
}

function keyOf({ code, file, line, column, message }: Diagnostic): string {
  return JSON.stringify([code, file, line, column, message]);
}
