/**
 * Accounts, groups and executables of this host.
 *
 * @module
 */
import { KernelError } from "../engine/kernel_error.ts";
import type { HostNames, Looked } from "../engine/preflight/importer_identity_findings.ts";
import { findAccount, findGroupId } from "../ffi/account.ts";
import { type Files, FilesError } from "../host/files.ts";

/** A number needs no entry in the host's tables: those of containers often have none. */
const NUMBER = /^(0|[1-9][0-9]{0,9})$/;

/**
 * @param files of this host
 * @returns what its names stand for, by the host's name service
 */
export function namesOfThisHost(files: Files): HostNames {
  return {
    user: (name) => looked(() => NUMBER.test(name) || findAccount(name) !== undefined),
    group: (name) => looked(() => NUMBER.test(name) || findGroupId(name) !== undefined),
    executable: (path) => looked(() => files.status(path) !== undefined),
  };
}

function looked(isThere: () => boolean): Looked {
  try {
    return isThere() ? "there" : "absent";
  } catch (error) {
    if (error instanceof FilesError) {
      return error.reason === "absent" ? "absent" : { unknown: error.message };
    }
    if (error instanceof KernelError) return { unknown: error.message };
    throw error;
  }
}
