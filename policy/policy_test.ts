/**
 * Tests of policies: questions, and the answers that a policy set must give.
 *
 * @module
 */
import type { Report } from "./draft.ts";
import type { LineMap } from "./lines.ts";
import { asScalar, get, itemsOf, type Node } from "./node.ts";
import type { Span } from "./position.ts";
import { parseQuantity } from "./quantity.ts";
import { checkDecimal } from "./scalar_type.ts";

/** Who asks for which bytes, in the names of the policies. */
export interface NamedRequest {
  /** `policy/importer`, or the importer alone where only one policy has it. */
  readonly importer: string;
  readonly device: string;
  readonly bar: number;
  readonly offset: bigint;
  readonly length: bigint;
  readonly access: "read-only" | "read-write";
}

/** What a case expects; what is absent is not looked at. */
export interface Expectation {
  readonly decision?: "allowed" | "denied" | "no-rule";
  readonly rules?: readonly string[];
  readonly reason?: string;
  readonly diagnostic?: string;
  /**
   * Of the diagnostic: its file. {@linkcode readTest} has it by its path from the test's folder, a
   * loaded set by its name in diagnostics.
   */
  readonly file?: string;
}

/** One question and its answer. */
export interface TestCase {
  readonly name: string;
  /** Absent: a diagnostic is expected of the set. */
  readonly request?: NamedRequest;
  readonly expect: Expectation;
  readonly at: Span;
}

/** One `PolicyTest` document. */
export interface PolicyTest {
  readonly name: string;
  readonly cases: readonly TestCase[];
  readonly at: Span;
}

/**
 * Reads a document of kind PolicyTest.
 *
 * @param report takes what the schema cannot say
 * @param sound whether the schema found nothing wrong; otherwise nothing is read
 */
export function readTest(
  root: Node,
  lines: LineMap,
  report: Report,
  sound: boolean,
): { readonly test?: PolicyTest } {
  if (!sound) return {};
  const reader = new TestReader(lines, report);
  const name = text(get(get(root, "metadata"), "name")) ?? "";
  const cases = itemsOf(get(root, "cases")).flatMap((node) => reader.case(node));
  return { test: { name, cases, at: reader.span(root) } };
}

class TestReader {
  readonly #lines: LineMap;
  readonly #report: Report;

  constructor(lines: LineMap, report: Report) {
    this.#lines = lines;
    this.#report = report;
  }

  span(node: Node): Span {
    return this.#lines.spanOf(node);
  }

  case(node: Node): readonly TestCase[] {
    const nameNode = get(node, "name") ?? node;
    const at = this.span(nameNode);
    const asked = get(node, "request");
    const expect = expectation(get(node, "expect"));
    const request = asked === undefined ? undefined : this.#request(asked);
    if ((asked === undefined) === (expect.diagnostic === undefined)) {
      const message = asked === undefined
        ? "Cannot test a case that asks nothing: it has neither a request nor a diagnostic"
        : "Cannot test a case that asks two things: it has a request and a diagnostic";
      this.#report("BG1805", at, message);
      return [];
    }
    if (asked !== undefined && request === undefined) return [];
    const name = text(nameNode) ?? "";
    return [{ name, ...(request === undefined ? {} : { request }), expect, at }];
  }

  #request(node: Node): NamedRequest | undefined {
    const offset = this.#quantity(get(node, "offset"));
    const length = this.#quantity(get(node, "length"));
    const bar = asScalar(get(node, "bar"));
    if (bar !== undefined) checkDecimal(bar, this.span(bar), this.#report);
    if (offset === undefined || length === undefined) return undefined;
    if (length === 0n) {
      const at = this.span(get(node, "length") ?? node);
      this.#report("BG1403", at, "Cannot ask for no bytes: every answer would be right");
    }
    return {
      importer: text(get(node, "importer")) ?? "",
      device: text(get(node, "device")) ?? "",
      bar: Number(bar?.text),
      offset,
      length,
      access: text(get(node, "access")) === "read-only" ? "read-only" : "read-write",
    };
  }

  #quantity(node: Node | undefined): bigint | undefined {
    const result = parseQuantity(text(node) ?? "");
    if (result.ok || node === undefined) return result.ok ? result.value : undefined;
    const message = `Cannot accept the number of bytes: ${result.why} (received ${
      JSON.stringify(text(node))
    })`;
    const code = result.problem === "range" ? "BG1202" : "BG1201";
    this.#report(code, this.span(node), message, { fix: result.fix });
    return undefined;
  }
}

function text(node: Node | undefined): string | undefined {
  return asScalar(node)?.text;
}

const DECISIONS = ["allowed", "denied", "no-rule"] as const;

function expectation(node: Node | undefined): Expectation {
  const decision = DECISIONS.find((word) => word === text(get(node, "decision")));
  const rules = get(node, "rules");
  const reason = text(get(node, "reason"));
  const diagnostic = text(get(node, "diagnostic"));
  const file = text(get(node, "file"));
  return {
    ...(decision === undefined ? {} : { decision }),
    ...(rules === undefined ? {} : { rules: itemsOf(rules).flatMap((rule) => text(rule) ?? []) }),
    ...(reason === undefined ? {} : { reason }),
    ...(diagnostic === undefined ? {} : { diagnostic }),
    ...(file === undefined ? {} : { file }),
  };
}
