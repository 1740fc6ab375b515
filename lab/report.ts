/** How the results of cases are shown. @module */
import type { LabOutput, Paint } from "./output.ts";
import type { CaseResult, CaseState, StoryStyle } from "./protocol/message.ts";

const MARKS: Readonly<Record<CaseState, readonly [string, Paint]>> = {
  passed: ["ok  ", "green"],
  failed: ["FAIL", "red"],
  skipped: ["skip", "yellow"],
};

/**
 * @param result of a case
 * @param output the person's
 * @returns a line for the case; more where it failed or measured something
 */
export function caseLines(result: CaseResult, output: LabOutput): readonly string[] {
  const [mark, paint] = MARKS[result.state];
  const time = output.paint("dim", `(${(result.ms / 1000).toFixed(1)} s)`);
  const why = result.message === undefined ? [] : [`     ${result.message}`];
  const detail = result.state !== "failed" || result.detail === undefined
    ? []
    : result.detail.split("\n").map((line) => `     | ${line}`);
  const figures = Object.entries(result.figures ?? {})
    .map(([name, value]) => `     ${name}: ${output.paint("bold", `${value}`)}`);
  return [`${output.paint(paint, mark)} ${result.name} ${time}`, ...why, ...detail, ...figures];
}

/**
 * @param results of all cases
 * @returns the closing line: `12 passed, 0 failed`
 */
export function countLine(results: readonly CaseResult[]): string {
  const { passed, failed, skipped } = countStates(results);
  return `${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`;
}

/**
 * @param results of all cases
 * @returns how many ended how
 */
export function countStates(results: readonly CaseResult[]): Readonly<Record<CaseState, number>> {
  const count = (state: CaseState) => results.filter((result) => result.state === state).length;
  return { passed: count("passed"), failed: count("failed"), skipped: count("skipped") };
}

const STYLES: Readonly<Record<StoryStyle, readonly [string, Paint | undefined]>> = {
  title: ["\n", "bold"],
  step: ["\n> ", "cyan"],
  say: ["  ", undefined],
  done: ["  ok ", "green"],
  warn: ["  !  ", "yellow"],
  data: ["     ", "dim"],
};

/**
 * @param style how the guest wants it shown
 * @param text what it says; may have several lines
 * @param output the person's
 * @returns the lines
 */
export function storyText(style: StoryStyle, text: string, output: LabOutput): string {
  const [lead, paint] = STYLES[style];
  const indent = " ".repeat(lead.replace("\n", "").length);
  const lines = text.split("\n").map((line, index) => `${index === 0 ? lead : indent}${line}`);
  return lines.map((line) => paint === undefined ? line : output.paint(paint, line)).join("\n");
}
