/**
 * Whether the sysfs that is watched is the one through which the host's processes act. Every network
 * namespace has a sysfs of its own, with files of its own: who watches one of them is told nothing of
 * what is done through another.
 *
 * @module
 */
import { type Files, FilesError } from "../../host/files.ts";

const OWN_NETWORK = "/proc/self/ns/net";
/** Of the namespace that the host begins with: NET_NS_INIT_INO of include/uapi/linux/nsfs.h. */
const FIRST_NETWORK = "net:[4026531833]";

/**
 * Looks whether this process is where the host's processes are.
 *
 * @param files procfs
 * @returns why what the host's processes do through sysfs may not be seen; absent: it is
 */
export function whyNotTheHosts(files: Files): string | undefined {
  try {
    const own = files.readLink(OWN_NETWORK);
    if (own === FIRST_NETWORK) return undefined;
    return `Bargate is in a network namespace of its own (${own}): a /sys that was mounted for it is another than the host's, and what is done through that one is not seen`;
  } catch (error) {
    if (!(error instanceof FilesError)) throw error;
    // A kernel without network namespaces has one sysfs.
    return error.reason === "absent" ? undefined : error.message;
  }
}
