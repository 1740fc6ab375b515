/**
 * Results of policy tests.
 *
 * @module
 */
import type { CaseResult, TestRun, UncoveredRule } from "../../policy/run_tests.ts";
import { type JunitCase, junitCases } from "./junit.ts";
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
    `${run.results.length - failed.length} passed, ${failed.length} failed; ${
      coverageText(run, threshold)
    }`,
  ];
  return `${lines.map(visible).join("\n")}\n`;
}

/**
 * Whether enough of the rules have decided a case.
 *
 * @param threshold percent of them; absent: whatever they are is enough
 */
export function isCovered(
  { valid, rules, covered }: TestRun,
  threshold: number | undefined,
): boolean {
  return threshold === undefined || (valid && 100 * covered >= threshold * rules);
}

function coverageText(run: TestRun, threshold: number | undefined): string {
  const wanted = threshold === undefined ? "" : `, at least ${threshold} % wanted`;
  if (!run.valid) return `no rule decided a case, for the policies are invalid${wanted}`;
  const share = threshold === undefined ? "" : ` (${percent(run)} %${wanted})`;
  return `${run.covered} of ${run.rules} rules decided a case${share}`;
}

/** One JSON value. */
export function jsonTests(run: TestRun, threshold: number | undefined): string {
  const cases = run.results.map((result) => ({
    test: result.test,
    name: result.case.name,
    passed: result.failure === undefined,
    ...(result.failure === undefined ? {} : { failure: result.failure }),
    at: result.case.at,
  }));
  const { rules, covered } = run;
  const uncovered = run.uncovered.map((one) => ({ name: ruleName(one), at: one.rule.at }));
  const met = isCovered(run, threshold);
  const wanted = threshold === undefined ? {} : { wanted: threshold, met };
  return `${JSON.stringify({ cases, coverage: { rules, covered, uncovered, ...wanted } })}\n`;
}

/** A JUnit document with one case for each case, and one for the coverage that is wanted. */
export function junitTests(run: TestRun, threshold: number | undefined): string {
  const cases = run.results.map((result): JunitCase => ({
    group: result.test,
    name: result.case.name,
    ...(result.failure === undefined ? {} : {
      failure: { message: result.failure, text: visible(placeOf(result.case)) },
    }),
  }));
  const coverage = threshold === undefined ? [] : [coverageCase(run, threshold)];
  return junitCases("bargate test", [...cases, ...coverage]);
}

function coverageCase(run: TestRun, threshold: number): JunitCase {
  const message = coverageText(run, threshold);
  const name = { group: "bargate test", name: "coverage" };
  if (isCovered(run, threshold)) return { ...name, output: message };
  return { ...name, failure: { message, text: run.uncovered.map(uncoveredLine).join("\n") } };
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
