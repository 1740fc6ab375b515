/**
 * A kprobe on the kernel's revoke routine, by consent (`--trace-revokes`): every revoke and
 * un-revoke of a device's buffers, with the thread that caused it. Of an own device they are
 * Bargate's doing, and no more than a reason to look; of a borrowed one they are its owner's, and
 * nothing else tells of them.
 *
 * @module
 */
import type { Kernel, RevokeRecord, RevokeTrace, Watch } from "../kernel.ts";
import type { Observation, Observer, ObserverContext } from "./observation.ts";

/**
 * Puts the probe.
 *
 * @param context takes what is seen
 * @returns the watching; its stop removes the probe
 * @throws {KernelError} without root or tracefs, or where the routine is not there
 */
export function observeRevokes(context: ObserverContext): Observer {
  const trace = context.kernel.openRevokeTrace();
  const watch = watchOrRemove(context.kernel, trace, () => {
    try {
      for (const record of trace.read()) meaningsOf(record).forEach(context.tell);
    } catch (error) {
      context.failed(error);
    }
  });
  return {
    stop() {
      watch.stop();
      trace.close();
    },
  };
}

function watchOrRemove(kernel: Kernel, trace: RevokeTrace, onReady: () => void): Watch {
  try {
    return kernel.watch(trace.fd, onReady);
  } catch (error) {
    trace.close();
    throw error;
  }
}

/** What was lost may have been a revoke with its un-revoke, of which no probe tells afterwards. */
function meaningsOf(record: RevokeRecord): readonly Observation[] {
  const source = "revoke-trace";
  if (record === "overrun") {
    const cause = { source, detail: "records were lost, and with them perhaps a reset" };
    return (["revoke", "unrevoke"] as const).map((kind) => ({ devices: "all", kind, cause }));
  }
  const what = record.revoked ? "revoked" : "valid again";
  const detail = `all buffers ${what}, by thread ${record.pid} (${record.task})`;
  const devices = record.device === undefined ? "all" : [record.device];
  return [{ devices, kind: record.revoked ? "revoke" : "unrevoke", cause: { source, detail } }];
}
