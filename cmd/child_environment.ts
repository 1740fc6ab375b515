/**
 * The environment of a program that Bargate starts: little of Bargate's own, for what is in that is
 * for another account.
 *
 * @module
 */
import type { Account } from "../engine/kernel.ts";
import { isLoaderVariable } from "../ffi/loader_variable.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";

/** A variable that is asked for on the command line; without a value it is passed on. */
export interface AskedVariable {
  readonly name: string;
  readonly value?: string;
}

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string>>;

/** Passed on where they are set: where programs are, and how to speak with people. */
const PASSED_ON: ReadonlySet<string> = new Set(["PATH", "LANG", "TERM", "TZ", "NO_COLOR"]);

/**
 * Reads what follows `--env`.
 *
 * @param text `NAME` or `NAME=VALUE`
 * @throws {Error} if it is neither, or a variable that only Bargate sets
 *
 * @example
 * ```ts
 * import { parseVariable } from "./child_environment.ts";
 * import assert from "node:assert/strict";
 *
 * assert.deepEqual(parseVariable("A=b=c"), { name: "A", value: "b=c" });
 * assert.deepEqual(parseVariable("A"), { name: "A" });
 * ```
 */
export function parseVariable(text: string): AskedVariable {
  const [, name, value] = /^([A-Za-z_][A-Za-z0-9_]*)(?:=(.*))?$/s.exec(text) ?? [];
  if (name === undefined) {
    throw new Error(`Cannot set a variable: write NAME or NAME=VALUE (received ${text})`);
  }
  if (name.startsWith("LISTEN_")) {
    throw new Error(`Cannot set ${name}: it tells the program of its descriptors`);
  }
  return value === undefined ? { name } : { name, value };
}

/**
 * Makes a program's environment.
 *
 * @param account that the program runs as
 * @param own Bargate's own environment
 * @param asked variables from the command line; of one name the last counts
 * @param changesAccount whether the account is another one than Bargate's
 * @throws {CommandError} usage: a variable is not there, or must not be passed
 */
export function childEnvironment(
  account: Account,
  own: Environment,
  asked: readonly AskedVariable[],
  changesAccount: boolean,
): Environment {
  const bad = asked.find(({ name }) => changesAccount && isLoaderVariable(name));
  if (bad !== undefined) throw loaderError(bad.name);
  const passed = Object.entries(own).filter(([name]) =>
    PASSED_ON.has(name) || name.startsWith("LC_")
  );
  return {
    ...Object.fromEntries(passed),
    ...accountVariables(account),
    ...Object.fromEntries(asked.map((variable) => [variable.name, valueOf(variable, own)])),
  };
}

function accountVariables({ name, home, shell }: Account): Environment {
  return {
    USER: name,
    LOGNAME: name,
    ...(home === undefined ? {} : { HOME: home }),
    // passwd(5): none means this one.
    SHELL: shell ?? "/bin/sh",
  };
}

function valueOf({ name, value }: AskedVariable, own: Environment): string {
  const found = value ?? own[name];
  if (found !== undefined) return found;
  throw new CommandError(
    `Cannot pass ${name} on: it is not set here; set it, or write --env ${name}=VALUE`,
    ExitStatus.usage,
  );
}

function loaderError(name: string): CommandError {
  return new CommandError(
    `Cannot pass ${name}: what changes to the importer's account would heed it too, and is privileged; start the program by env(1): --exec -- /usr/bin/env ${name}=… PROGRAM`,
    ExitStatus.usage,
  );
}
