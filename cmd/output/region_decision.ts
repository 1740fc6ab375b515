/**
 * Decisions about a region, for people and for programs.
 *
 * @module
 */
import type { RegionRequest, RegionRule } from "../../policy/decide_region.ts";
import type { DenyOf } from "../../policy/request_denies.ts";
import { jsonDeny, placeLines, unlessLines } from "./decision.ts";
import { jsonText } from "./json_text.ts";
import { visible } from "./visible.ts";

/** Denies told to people; a program gets all. */
const MOST_DENIES = 8;

/**
 * @param rules that allow it
 * @returns one JSON value
 */
export function jsonRegion(rules: readonly RegionRule[]): string {
  const value = {
    decision: rules.length === 0 ? "no-rule" : "allowed",
    rules: rules.map(({ rule, unless, perhaps }) => ({
      name: rule.qualifiedName,
      bar: rule.bar.value,
      at: rule.at,
      unless: unless.map(jsonDeny),
      perhaps: perhaps.map(jsonDeny),
    })),
  };
  return `${jsonText(value)}\n`;
}

/**
 * @param request who asked
 * @param rules that allow it
 * @param textOf the text of a policy file
 * @returns the rules with their places, and what may yet forbid it
 */
export function humanRegion(
  { importer, device, region }: RegionRequest,
  rules: readonly RegionRule[],
  textOf: (file: string) => string | undefined,
): string {
  if (rules.length === 0) {
    return `${visible(`denied: no rule exports ${region} of ${device} to ${importer}`)}\n`;
  }
  const lines = rules.flatMap(({ rule, unless, perhaps }) => [
    visible(
      `allowed by ${rule.qualifiedName}, wherever in BAR ${rule.bar.value} the host has it (bargate plan --probe)`,
    ),
    ...placeLines(rule.at, textOf),
    ...touchLines(unless, textOf),
    ...perhaps.flatMap((deny) => unlessLines(deny, textOf)),
  ]);
  return `${lines.join("\n")}\n`;
}

/** Denies that the region could touch. */
function touchLines(
  denies: readonly DenyOf[],
  textOf: (file: string) => string | undefined,
): readonly string[] {
  const more = denies.length - MOST_DENIES;
  return [
    ...denies.slice(0, MOST_DENIES).flatMap(({ policy, rule }) => [
      visible(`unless it touches what is denied by ${policy}: ${rule.reason}`),
      ...placeLines(rule.at, textOf),
    ]),
    ...(more > 0 ? [`and ${more} more denies of parts of the BAR (--format=json names all)`] : []),
  ];
}
