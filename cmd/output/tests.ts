/**
 * Results of policy tests.
 *
 * @module
 */
import type { CaseResult, TestRun, UncoveredRule } from "../../policy/run_tests.ts";
import { junitCases } from "./junit.ts";
import { visible } from "./visible.ts";

/** A line for each case that failed, for each rule that decided nothing, and the sum. */
export function humanTests(run: TestRun, threshold: number | undefined): string {
  const failed = run.results.filter(({ failure }) => failure !== undefined);
  const lines = [
    ...failed.flatMap((result) => [
      `FAILED ${nameOf(result)}: ${result.failure}`,
      `  --> ${placeOf(result.case)}`,
    ]),
    ...(threshold === undefined ? [] : run.uncovered.map(uncoveredLine)),
    `${
      run.results.length - failed.length
    } passed, ${failed.length} failed; ${run.covered} of ${run.rules} rules decided a case${
      threshold === undefined ? "" : ` (${percent(run)} %, at least ${threshold} % wanted)`
    }`,
  ];
  return `${lines.map(visible).join("\n")}\n`;
}

/** One JSON value. */
export function jsonTests(run: TestRun): string {
  const cases = run.results.map((result) => ({
    test: result.test,
    name: result.case.name,
    passed: result.failure === undefined,
    ...(result.failure === undefined ? {} : { failure: result.failure }),
    at: result.case.at,
  }));
  const { rules, covered } = run;
  const uncovered = run.uncovered.map((one) => ({ name: ruleName(one), at: one.rule.at }));
  return `${JSON.stringify({ cases, coverage: { rules, covered, uncovered } })}\n`;
}

/** A JUnit document with one case for each case. */
export function junitTests({ results }: TestRun): string {
  return junitCases(
    "bargate test",
    results.map((result) => ({
      group: result.test,
      name: result.case.name,
      ...(result.failure === undefined ? {} : {
        failure: { message: result.failure, text: visible(placeOf(result.case)) },
      }),
    })),
  );
}

function nameOf({ test, case: { name } }: CaseResult): string {
  return `${test}/${name}`;
}

function placeOf({ at }: CaseResult["case"]): string {
  return `${at.file}:${at.line}:${at.column}`;
}

function ruleName(one: UncoveredRule): string {
  return one.kind === "export" ? one.rule.qualifiedName : `a deny of ${one.policy}`;
}

function uncoveredLine(one: UncoveredRule): string {
  const { file, line, column } = one.rule.at;
  return `not covered: ${ruleName(one)} (${file}:${line}:${column})`;
}

/** Rounded down: 99.9 is not all. */
function percent({ rules, covered }: TestRun): number {
  return rules === 0 ? 100 : Math.floor(100 * covered / rules);
}
