/**
 * Tokens for virtual functions: where vfio-pci has the physical function, it asks whoever opens one of
 * its virtual functions for the token that its own owner has set. A token is a secret: it is no part of
 * any message, event or plan.
 *
 * @module
 */
import type { KernelError } from "./kernel_error.ts";

/** A function to open, as far as tokens are concerned. */
export interface TokenTarget {
  readonly address: string;
  /** Address of the physical function if this is a virtual one. */
  readonly physfn?: string;
}

/** @returns the token to open a function with; absent: there is none for it */
export type VfTokenSource = (target: TokenTarget) => string | undefined;

/**
 * What a refusal to open means where a token may be the reason.
 *
 * @param error the kernel's answer
 * @param target what was opened
 * @param given whether a token was given
 * @returns the cause, with what to do; absent: the token has nothing to do with it
 */
export function tokenCause(
  { errnoName }: KernelError,
  { physfn }: TokenTarget,
  given: boolean,
): string | undefined {
  const owner = physfn === undefined ? "its virtual functions are in use" : `${physfn} is its PF`;
  if (errnoName === "EACCES" && !given) {
    return `it asks for a VF token, for ${owner} under vfio-pci; write the token that the PF was opened with into a file and name it by --vf-token-file`;
  }
  if (errnoName === "EACCES") {
    return `the VF token is not the one that the PF was opened with (${owner}, under vfio-pci); correct it in the file of --vf-token-file`;
  }
  if (errnoName === "EINVAL" && given) {
    return "no VF token is asked for, for no PF of it is bound to vfio-pci, and then none may be given: take it out of the file of --vf-token-file; or the device is already open in another process";
  }
  return undefined;
}
