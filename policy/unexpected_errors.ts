/**
 * Errors of a policy set that its tests do not expect.
 *
 * @module
 */
import type { Diagnostic } from "./diagnostic.ts";
import type { LoadResult } from "./load.ts";
import { fileBeside, plainName } from "./manifest.ts";
import type { TestCase } from "./policy_test.ts";

/**
 * A case accounts for the errors of its code in the file that it names. One that names none accounts
 * for those of a single file: where several that no case names have errors of that code, nobody can
 * tell which one it means, and an error that nobody thought of must not pass for it.
 *
 * @returns the errors that no case accounts for, in order
 */
export function unexpectedErrors(
  { tests, diagnostics }: Pick<LoadResult, "tests" | "diagnostics">,
): readonly Diagnostic[] {
  const expected = tests.flatMap(({ cases }) => cases);
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  const byCode = Map.groupBy(errors, ({ code }) => code);
  const left = [...byCode].flatMap(([code, found]) => {
    const cases = expected.filter(({ expect }) => expect.diagnostic === code);
    return unaccounted(found, cases);
  });
  return errors.filter((error) => left.includes(error));
}

/** @param errors of one code */
function unaccounted(
  errors: readonly Diagnostic[],
  cases: readonly TestCase[],
): readonly Diagnostic[] {
  const named = new Set(
    cases.flatMap(({ expect: { file }, at }) =>
      file === undefined ? [] : fileBeside(at.file, file)
    ),
  );
  const rest = errors.filter(({ file = "" }) => !named.has(plainName(file)));
  const open = cases.some(({ expect }) => expect.file === undefined);
  return open && new Set(rest.map(({ file }) => file)).size === 1 ? [] : rest;
}
