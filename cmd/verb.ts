/**
 * What a verb is to the command line.
 *
 * @module
 */
import type { Command, RouteMap } from "@stricli/core";
import type { Context } from "./context.ts";

/** A verb: its line in the help, and where it is. */
export interface Verb {
  /** The same text as in the command's own documentation. */
  readonly brief: string;
  readonly load: () => Promise<{ readonly command: Command<Context> | RouteMap<Context> }>;
  /** What follows `--` is a program and its arguments. */
  readonly takesCommand?: true;
  /** Its second words; the first of them is meant where none is given. */
  readonly subverbs?: readonly [string, ...string[]];
}
