/**
 * What a part of the runs with faults is asked for, and what it answers.
 *
 * @module
 */
import { parseArgs } from "node:util";

/** What is to be run. */
export interface Asked {
  /** Only stories whose name has it. */
  readonly only: string;
  /** Only so many-th single faults. */
  readonly every: number;
  /** How many random pairs. */
  readonly pairs: number;
  /** Of the pairs. */
  readonly seed: number;
  /** Which part, of how many. */
  readonly part: number;
  readonly parts: number;
}

/** How it came out. */
export interface PartResult {
  /** Calls of the stories without a fault. */
  calls: number;
  runs: number;
  readonly broken: Broken[];
}

/** What did not hold. */
export interface Broken {
  readonly story: string;
  /** The fault. */
  readonly where: string;
  readonly violation: string;
}

/** @returns what is asked for */
export function askedIn(args: readonly string[]): Asked {
  const { values, positionals: [only = ""] } = parseArgs({
    args: [...args],
    options: {
      every: { type: "string", default: "1" },
      pairs: { type: "string", default: "20000" },
      seed: { type: "string", default: "1" },
      part: { type: "string", default: "0" },
      parts: { type: "string", default: "1" },
    },
    allowPositionals: true,
  });
  const numbers = Object.entries(values).map(([key, text]) => [key, Number(text)]);
  return { only, ...Object.fromEntries(numbers) };
}
