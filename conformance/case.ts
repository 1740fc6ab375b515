/**
 * What a conformance case is.
 *
 * @module
 */
import type { Bench } from "./bench.ts";
import type { Role, Side } from "./world.ts";

/** A rule of the kernel's. It holds when `run` returns. */
export interface ConformanceCase {
  /** A sentence, unique. */
  readonly name: string;
  /** Where it cannot be run, and why. */
  readonly only?: { readonly side: Side; readonly why: string };
  /** Devices without which it cannot be run. */
  readonly needs?: readonly Role[];
  run(bench: Bench): Promise<void>;
}

/** Cases of one subject. */
export interface Subject {
  readonly title: string;
  readonly cases: readonly ConformanceCase[];
}
