/**
 * Exit statuses in the help of verbs.
 *
 * @module
 */

const USAGE = "2 wrong command line, or a file that cannot be read";
const INVALID = "3 a policy is invalid";

/** What each verb's status can mean; verbs that are not here say it themselves. */
const STATUSES: Readonly<Record<string, readonly string[]>> = {
  validate: [
    "0 valid",
    USAGE,
    "3 invalid, or there are warnings and --deny-warnings",
  ],
  fmt: ["0 done", "1 --check: a file is not in its canonical form", USAGE, "3 not to be formatted"],
  test: ["0 all answers are as expected", "1 some are not", USAGE, INVALID],
  explain: ["0 allowed, or told", "1 not allowed", USAGE, INVALID],
  diff: ["0 nothing is gained", "1 something is allowed that was not", USAGE, INVALID],
  schema: ["0 done", "2 wrong command line"],
  inventory: ["0 done", "1 diff: something differs", USAGE, "4 no PCI here, or no such device"],
  preflight: [
    "0 every host is ready",
    "1 on some host the policy denies it, or exports nothing",
    USAGE,
    INVALID,
    "4 some host is not ready, or there are warnings and --deny-warnings",
  ],
  init: ["0 done", USAGE, "4 no device to write a policy of"],
  lab: [
    "The shell's own with --shell. Else:",
    "0 told, or all cases passed or were skipped",
    "1 a case failed",
    USAGE,
    "4 something is missing here, or a wait was in vain: the message says what, and what to do",
  ],
  plan: [
    "0 it could be done",
    "1 the policy denies it, or exports nothing",
    USAGE,
    INVALID,
    "4 the host is not ready",
  ],
  export: [
    "The program's own with --exec, once it runs. Else:",
    "0 all grants have ended as they should",
    "1 the policy denies it, or exports nothing",
    USAGE,
    INVALID,
    "4 the host is not ready",
    "5 the kernel or a peer refused",
    "6 a revoke was late or failed (also instead of the program's own)",
  ],
};

/**
 * The part of a verb's help that is about its exit status.
 *
 * @param verb its name
 * @returns lines of text; empty where the verb says it itself, or there is no such verb
 */
export function statusHelp(verb: string): string {
  const lines = Object.hasOwn(STATUSES, verb) ? STATUSES[verb] ?? [] : [];
  return lines.length === 0
    ? ""
    : ["", "EXIT STATUS", ...lines.map((line) => `  ${line}`), ""].join("\n");
}
