/**
 * Whether a packet is of the process that its connection belongs to: a socket can be inherited and
 * passed on, and then others can send on it too.
 *
 * @module
 */
import type { Fd } from "./fd.ts";
import type { Kernel, Packet } from "./kernel.ts";

/** The only process whose packets count. */
export interface Sender {
  readonly pid: number;
  readonly pidfd: Fd;
  /** Its account at the time it was checked; absent: any. */
  readonly uid?: number;
  /**
   * It is Bargate's own child and not reaped: no other process can have its pid. Of any other
   * process, every packet must bring a pidfd.
   */
  readonly ownChild: boolean;
}

/**
 * @param kernel the port
 * @param packet as it came
 * @param sender who must have sent it
 * @returns why the packet does not count; absent: it is the sender's
 */
export function strangerIn(kernel: Kernel, packet: Packet, sender: Sender): string | undefined {
  const { pid, uid } = packet.sender;
  const known = pid === sender.pid && (sender.uid === undefined || uid === sender.uid) &&
    isSameProcess(kernel, packet.pidfd, sender);
  if (known) return undefined;
  return `the packet came from process ${pid} of account ${uid}, which is not the importer`;
}

/**
 * The packet's pidfd is looked at first: a pid that it has while the importer, which is older than
 * the packet, still has it afterwards is one process's.
 */
function isSameProcess(kernel: Kernel, pidfd: Fd | undefined, sender: Sender): boolean {
  if (pidfd === undefined) return sender.ownChild;
  const pid = kernel.pidOf(pidfd);
  return pid !== undefined && pid === kernel.pidOf(sender.pidfd);
}
