/**
 * Diagnostic v1: the one shape in which anything wrong with a policy or a host is told.
 *
 * @module
 */
import type { Span, WRITTEN } from "./position.ts";

/** How bad it is. Errors make a policy invalid, or a host not ready. */
export type Severity = "error" | "warning" | "note";

/** Another place that takes part in what is wrong. */
export interface Related extends Partial<Span> {
  readonly message: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** Diagnostic v1. The place is absent only when no policy text is to blame (a host's fact, say). */
export interface Diagnostic {
  /** `BG` and four digits, from the closed list in `codes.ts`. */
  readonly code: string;
  readonly severity: Severity;
  /** What is wrong, with the value received. */
  readonly message: string;
  /** Which host it is about, where several are looked at. */
  readonly host?: string;
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  readonly endLine?: number;
  readonly endColumn?: number;
  /** See {@link Span}. */
  readonly [WRITTEN]?: Span;
  /** JSON pointer (RFC 6901) of the value, in a file that is JSON. */
  readonly pointer?: string;
  readonly related?: readonly Related[];
  /** What to do about it. */
  readonly fix?: string;
  /** Where the code is documented. */
  readonly help: string;
}
