/**
 * A kprobe on the kernel's revoke routine, by consent (`--trace-revokes`): every revoke and
 * un-revoke of a device's buffers, with the thread that caused it. Bargate's own are among them;
 * nothing ends by them, but each is a reason to look.
 *
 * @module
 */
import type { RevokeRecord } from "../kernel.ts";
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
  const watch = context.kernel.watch(trace.fd, () => {
    try {
      for (const record of trace.read()) context.tell(meaningOf(record));
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

function meaningOf(record: RevokeRecord): Observation {
  const source = "revoke-trace";
  if (record === "overrun") {
    return { devices: "all", kind: "look", cause: { source, detail: "records were lost" } };
  }
  const what = record.revoked ? "revoked" : "valid again";
  const detail = `all buffers ${what}, by thread ${record.pid} (${record.task})`;
  const devices = record.device === undefined ? "all" : [record.device];
  return { devices, kind: "look", cause: { source, detail } };
}
