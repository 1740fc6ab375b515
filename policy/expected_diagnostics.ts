/**
 * Diagnostics of a policy set that its tests expect, and errors that none of them does.
 *
 * @module
 */
import type { Diagnostic } from "./diagnostic.ts";
import type { LoadResult } from "./load.ts";
import type { TestCase } from "./policy_test.ts";
import { plainName } from "./source_names.ts";

/**
 * Which case accounts for what. A case accounts for the diagnostics of its code in the file that it
 * names. One that names none accounts for those that no case names; of errors, only where they are
 * all in a single file: where there are several, nobody can tell which one it means, and an error
 * that nobody thought of must not pass for it.
 */
export class ExpectedDiagnostics {
  readonly #diagnostics: readonly Diagnostic[];
  readonly #byCode: ReadonlyMap<string, readonly Diagnostic[]>;
  readonly #cases: readonly TestCase[];
  /** Files that cases name, by the code that they expect there. */
  readonly #named: ReadonlyMap<string | undefined, ReadonlySet<string>>;

  /** @param loaded a set with all its tests, whichever of them are run */
  constructor({ tests, diagnostics }: Pick<LoadResult, "tests" | "diagnostics">) {
    this.#diagnostics = diagnostics;
    this.#byCode = Map.groupBy(diagnostics, ({ code }) => code);
    this.#cases = tests.flatMap(({ cases }) => cases);
    const byCode = Map.groupBy(this.#cases, ({ expect }) => expect.diagnostic);
    const filesOf = (cases: readonly TestCase[]) =>
      new Set(cases.flatMap(({ expect: { file } }) => file === undefined ? [] : plainName(file)));
    this.#named = new Map([...byCode].map(([code, cases]) => [code, filesOf(cases)]));
  }

  /** @returns the diagnostics that a case accounts for; none: what it expects is not there */
  of({ expect: { diagnostic = "", file } }: TestCase): readonly Diagnostic[] {
    const found = this.#byCode.get(diagnostic) ?? [];
    if (file !== undefined) return found.filter((each) => fileOf(each) === plainName(file));
    const named = this.#named.get(diagnostic);
    const rest = found.filter((each) => !named?.has(fileOf(each)));
    const errors = rest.filter(({ severity }) => severity === "error");
    return new Set(errors.map(fileOf)).size > 1 ? [] : rest;
  }

  /** @returns the errors that no case accounts for, in order */
  unexpectedErrors(): readonly Diagnostic[] {
    const expected = new Set(this.#cases.flatMap((one) => this.of(one)));
    return this.#diagnostics.filter((each) => each.severity === "error" && !expected.has(each));
  }
}

function fileOf({ file = "" }: Diagnostic): string {
  return plainName(file);
}
