/**
 * Asks a policy set the questions of its tests.
 *
 * @module
 */
import { Decider, type Decision } from "./decide.ts";
import type { Diagnostic } from "./diagnostic.ts";
import { ExpectedDiagnostics } from "./expected_diagnostics.ts";
import type { LoadResult } from "./load.ts";
import type { DenyRule, ExportRule, PolicySet } from "./model.ts";
import type { Expectation, PolicyTest, TestCase } from "./policy_test.ts";
import { certainDenies, type DenyOf, possibleDenies } from "./request_denies.ts";
import { resolveRequest } from "./request.ts";

/** What became of one case. */
export interface CaseResult {
  readonly test: string;
  readonly case: TestCase;
  /** Why it failed, "Cannot" left out; absent: it passed. */
  readonly failure?: string;
}

/** A rule that no case has made decide. */
export type UncoveredRule =
  | { readonly kind: "export"; readonly rule: ExportRule }
  | { readonly kind: "deny"; readonly policy: string; readonly rule: DenyRule };

/** What became of all. */
export interface TestRun {
  readonly results: readonly CaseResult[];
  /** Whether the set is valid; of one that is not, no rule can decide, and nothing is covered. */
  readonly valid: boolean;
  /** Rules of the set, and those of them that decided a case. */
  readonly rules: number;
  readonly covered: number;
  readonly uncovered: readonly UncoveredRule[];
}

/**
 * Runs tests.
 *
 * @param loaded policies with their tests; where they are invalid, only expected diagnostics can pass
 * @param wanted which cases, by `test/case`
 */
export function runTests(loaded: LoadResult, wanted: (name: string) => boolean): TestRun {
  const runner = new Runner(loaded);
  const results = loaded.tests.flatMap((test) =>
    test.cases.filter(({ name }) => wanted(`${test.name}/${name}`))
      .map((one) => runner.run(test, one))
  );
  const uncovered = allRules(loaded.set).filter(({ rule }) => !runner.decided.has(rule));
  const rules = allRules(loaded.set).length;
  const covered = rules - uncovered.length;
  return { results, valid: loaded.set !== undefined, rules, covered, uncovered };
}

function allRules(set: PolicySet | undefined): readonly UncoveredRule[] {
  return (set?.policies ?? []).flatMap((policy) => [
    ...policy.exports.map((rule) => ({ kind: "export" as const, rule })),
    ...policy.deny.map((rule) => ({ kind: "deny" as const, policy: policy.name, rule })),
  ]);
}

class Runner {
  /** Rules that decided a case: of several denies each does, for without the others it would. */
  readonly decided = new Set<ExportRule | DenyRule>();
  readonly #set: PolicySet | undefined;
  readonly #decider: Decider | undefined;
  readonly #diagnostics: readonly Diagnostic[];
  readonly #expected: ExpectedDiagnostics;

  constructor(loaded: LoadResult) {
    const { set, diagnostics } = loaded;
    this.#expected = new ExpectedDiagnostics(loaded);
    this.#set = set;
    this.#decider = set === undefined ? undefined : new Decider(set);
    this.#diagnostics = diagnostics;
  }

  run(test: PolicyTest, one: TestCase): CaseResult {
    const failure = one.request === undefined
      ? this.#missingDiagnostic(one)
      : this.#wrongDecision(one);
    return { test: test.name, case: one, ...(failure === undefined ? {} : { failure }) };
  }

  #missingDiagnostic(one: TestCase): string | undefined {
    if (this.#expected.of(one).length > 0) return undefined;
    const { diagnostic, file } = one.expect;
    const here = this.#diagnostics.filter((each) => file === undefined || each.file === file);
    const codes = [...new Set(here.map(({ code }) => code))].join(", ");
    const where = file === undefined ? "" : ` in ${file}`;
    const elsewhere = here.some(({ code }) => code === diagnostic)
      ? `; those of ${diagnostic} are in files that other cases name`
      : "";
    return `expected the diagnostic ${diagnostic}${where} (received ${
      codes || "none"
    })${elsewhere}`;
  }

  #wrongDecision({ request, expect }: TestCase): string | undefined {
    if (this.#set === undefined || this.#decider === undefined || request === undefined) {
      return "nothing can be decided: the policies are invalid";
    }
    const resolved = resolveRequest(this.#set, request);
    if (!resolved.ok) return resolved.why;
    const decision = this.#decider.decide(resolved.request);
    const denies = decision.outcome === "denied"
      ? certainDenies(this.#set, resolved.request).map(({ rule }) => rule)
      : [];
    denies.forEach((rule) => this.decided.add(rule));
    if (decision.outcome === "allowed") decision.rules.forEach((rule) => this.decided.add(rule));
    const failure = compareDecision(decision, expect, denies);
    if (failure === undefined || decision.outcome !== "allowed") return failure;
    return `${failure}${unlessText(possibleDenies(this.#set, resolved.request))}`;
  }
}

/**
 * That a deny does not hold on every host is easily overlooked. Each is looked at by itself: that
 * several hold on every host together, one on some and another on the others, is not known here.
 */
function unlessText(denies: readonly DenyOf[]): string {
  const [first, ...others] = denies;
  if (first === undefined) return "";
  const { policy, rule: { device, at } } = first;
  const name = `${policy}/${device.value} (${at.file}:${at.line}:${at.column})`;
  const more = others.length === 0 ? "" : `, and ${others.length} more,`;
  return `; no single deny holds on every host: ${name}${more} denies it where its device is the same function`;
}

function compareDecision(
  decision: Decision,
  expect: Expectation,
  denies: readonly DenyRule[],
): string | undefined {
  if (expect.decision !== undefined && expect.decision !== decision.outcome) {
    return `expected ${expect.decision} (received ${decision.outcome})`;
  }
  const rules = decision.outcome === "allowed"
    ? decision.rules.map(({ qualifiedName }) => qualifiedName)
    : [];
  if (expect.rules !== undefined && expect.rules.join(", ") !== rules.join(", ")) {
    const received = rules.join(", ") || "none";
    return `expected to be allowed by ${expect.rules.join(", ")} (received ${received})`;
  }
  const reasons = [...new Set(denies.map(({ reason }) => JSON.stringify(reason)))];
  const { reason } = expect;
  if (reason !== undefined && !denies.some((rule) => rule.reason === reason)) {
    return `expected to be denied for ${JSON.stringify(reason)} (received ${
      reasons.join(", ") || "no deny"
    })`;
  }
  return undefined;
}
