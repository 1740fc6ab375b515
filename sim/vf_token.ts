/**
 * Tokens of physical functions, by the rules of `vfio_pci_core_match_token_uuid`.
 *
 * @module
 */
import type { SimErrno } from "./errno.ts";

/** The token of a physical function: a random one, until somebody opens the function with one. */
export class SimVfToken {
  value: string = crypto.randomUUID();
  /** Virtual functions that are open: the token stays while there are any. */
  users = 0;

  /** Of a virtual function that is opened with this. */
  refusal(given: string | undefined): SimErrno | undefined {
    return given?.toLowerCase() === this.value ? undefined : "EACCES";
  }

  /** Of a function that is no virtual one, by its own token, where it has one. */
  static ownRefusal(own: SimVfToken | undefined, given: string | undefined): SimErrno | undefined {
    if (own === undefined) return given === undefined ? undefined : "EINVAL";
    if (own.users > 0) return own.refusal(given);
    if (given !== undefined) own.value = given.toLowerCase();
    return undefined;
  }
}
