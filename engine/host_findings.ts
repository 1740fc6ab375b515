/**
 * The one place where findings about a host are made.
 *
 * @module
 */
import { HOST_CODES, type HostCode } from "../policy/host_codes.ts";
import type { Diagnostic, Related } from "../policy/diagnostic.ts";
import type { Span } from "../policy/position.ts";
import { withWritten } from "../policy/report.ts";

/** A diagnostic, and whether it is a refusal by policy (exit status 1) or a fact of the host (4). */
export interface Finding {
  readonly diagnostic: Diagnostic;
  readonly denied: boolean;
  /** PCI address of the function that it is about, where somebody must know it by more than words. */
  readonly about?: string;
}

/** Takes a finding: what {@linkcode hostFinding} makes one of. */
export type AddFinding = (...found: Parameters<typeof hostFinding>) => void;

/**
 * Makes a finding.
 *
 * @param code from the closed list
 * @param at the rule's place in the policy; absent when no rule is to blame
 * @param message what is wrong, with the fact on the host that decides
 * @param related other places
 * @param about PCI address of the one function that it is about
 */
export function hostFinding(
  code: HostCode,
  at: Span | undefined,
  message: string,
  related: readonly Related[] = [],
  about?: string,
): Finding {
  const entry = HOST_CODES[code];
  const places = withWritten(at, related);
  return {
    diagnostic: {
      code,
      severity: entry.severity,
      message,
      ...at,
      ...(places === undefined ? {} : { related: places }),
      fix: entry.fix,
      help: `docs/diagnostics.md#${code}`,
    },
    denied: entry.denied,
    ...(about === undefined ? {} : { about }),
  };
}
