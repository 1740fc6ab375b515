/**
 * Decisions, for people and for programs.
 *
 * @module
 */
import type { Decision } from "../../policy/decide.ts";
import { rangeText } from "../../policy/range_text.ts";
import type { Lack, NearMiss } from "../../policy/near_misses.ts";
import type { DenyOf } from "../../policy/request_denies.ts";
import type { Span } from "../../policy/position.ts";
import { drawFrame, linesOf } from "./frame.ts";
import { visible } from "./visible.ts";
import { jsonText } from "./json_text.ts";

/** A decision with what came near. */
export interface Explained {
  readonly decision: Decision;
  /** Of a request that no rule allows. */
  readonly misses: readonly NearMiss[];
  /** Of one that is allowed: what denies it where two devices are one function. */
  readonly unless: readonly DenyOf[];
}

/** One JSON value; 64-bit numbers are hexadecimal text. */
export function jsonDecision({ decision, misses, unless }: Explained): string {
  const value = {
    decision: decision.outcome,
    ...(decision.outcome === "allowed"
      ? {
        rules: decision.rules.map((rule) => ({ name: rule.qualifiedName, at: rule.at })),
        unless: unless.map(jsonDeny),
      }
      : {}),
    ...(decision.outcome === "denied"
      ? {
        deny: { policy: decision.policy, reason: decision.rule.reason, at: decision.rule.at },
      }
      : {}),
    nearMisses: misses.map(({ rule, lacks }) => ({
      name: rule.qualifiedName,
      at: rule.at,
      lacks: lacks.map(jsonLack),
    })),
  };
  return `${jsonText(value)}\n`;
}

function jsonLack(lack: Lack): unknown {
  if (lack.what !== "bytes") return lack;
  const missing = lack.missing.map(({ start, end }) => ({
    offset: hex(start),
    length: hex(end - start),
  }));
  return { what: lack.what, missing };
}

/** The decision, the rules behind it with their places, and what came near. */
export function humanDecision(
  { decision, misses, unless }: Explained,
  textOf: (file: string) => string | undefined,
): string {
  const place = (at: Span) => placeLines(at, textOf);
  switch (decision.outcome) {
    case "allowed":
      return joined([
        visible(
          `allowed by ${decision.rules.map(({ qualifiedName }) => qualifiedName).join(", ")}`,
        ),
        ...decision.rules.flatMap((rule) => [...place(rule.at), ...labelLines(rule.labels)]),
        ...unless.flatMap((deny) => unlessLines(deny, textOf)),
      ]);
    case "denied":
      return joined([
        visible(`denied by a deny of ${decision.policy}: ${decision.rule.reason}`),
        ...place(decision.rule.at),
      ]);
    case "no-rule":
      return joined([
        "denied: no rule allows it, and no deny forbids it",
        ...misses.flatMap(({ rule, lacks }) => [
          visible(`near miss: ${rule.qualifiedName} ${lacks.map(lackText).join("; ")}`),
          ...place(rule.at),
        ]),
      ]);
  }
}

/** A deny of which only the host tells whether it holds, as JSON. */
export function jsonDeny({ policy, rule: { device, reason, at } }: DenyOf): unknown {
  return { policy, device: device.value, reason, at };
}

/** Where a deny would hold. */
export function unlessLines(
  { policy, rule }: DenyOf,
  textOf: (file: string) => string | undefined,
): readonly string[] {
  const other = `${policy}/${rule.device.value}`;
  return [
    visible(`unless on the host it is the same function as ${other}: then denied: ${rule.reason}`),
    ...placeLines(rule.at, textOf),
  ];
}

function labelLines(labels: ReadonlyMap<string, string> | undefined): readonly string[] {
  return [...labels ?? []].map(([name, text]) => visible(`  label ${name}: ${text}`));
}

function joined(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}

/** @returns where a rule stands, and its text */
export function placeLines(
  at: Span,
  textOf: (file: string) => string | undefined,
): readonly string[] {
  const frame = drawFrame(linesOf(textOf(at.file) ?? ""), at, "^");
  return [visible(`  --> ${at.file}:${at.line}:${at.column}`), ...frame];
}

function lackText(lack: Lack): string {
  switch (lack.what) {
    case "importer":
      return `is for ${lack.importers.join(", ")}`;
    case "device":
      return `is for device ${lack.device}`;
    case "bar":
      return `is for BAR ${lack.bar}`;
    case "access":
      return `allows ${lack.access} only`;
    case "region":
      return `allows ${lack.region}, and only the host knows which bytes that is (bargate plan)`;
    case "bytes":
      return `lacks ${lack.missing.map(rangeText).join(", ")}`;
  }
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
