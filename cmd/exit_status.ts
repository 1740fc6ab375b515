/**
 * What the exit status of `bargate` means. Scripts rely on it.
 *
 * @module
 */

/** Exit status of `bargate`, by what it means. With `export --exec` it is the child's own instead. */
export const ExitStatus = {
  /** What was asked is allowed, valid or done. */
  done: 0,
  /** The answer is no: denied, a policy test failed, or `diff` found that something is gained. */
  denied: 1,
  /** The command line is wrong, or a file it names cannot be read. */
  usage: 2,
  /** A policy is invalid (with `--deny-warnings` also: has warnings). */
  invalidPolicy: 3,
  /** The host lacks something that the policy or the verb needs. */
  hostNotReady: 4,
  /** The kernel or a peer refused at run time, or something failed that should not. */
  refused: 5,
  /** A revoke was late or failed: something may still reach a slice that it should not. */
  revokeFailed: 6,
} as const;

/** One of the values of {@linkcode ExitStatus}. */
export type ExitStatus = typeof ExitStatus[keyof typeof ExitStatus];
