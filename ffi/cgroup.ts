/**
 * Control groups of processes, and the systemd unit that one is of. Names in them are text of
 * whoever made them; only what stands above a delegated part is the system's.
 *
 * @module
 */

/**
 * The control group in `/proc/PID/cgroup` by which systemd keeps its units: the named hierarchy
 * where there is one (version 1 and hybrid), else the unified one.
 *
 * @param text the file
 * @returns a path that starts with `/`; absent: the file tells none
 *
 * @example
 * ```ts
 * import { cgroupIn } from "./cgroup.ts";
 *
 * if (cgroupIn("0::/system.slice/cron.service\n") !== "/system.slice/cron.service") {
 *   throw new Error("the unified one");
 * }
 * ```
 */
export function cgroupIn(text: string): string | undefined {
  const lines = text.split("\n");
  const path = pathAfter("name=systemd", lines) ?? pathAfter("", lines);
  return path === undefined || !path.startsWith("/") ? undefined : path;
}

/** A line is `hierarchy:controllers:path`; the path may have colons. */
function pathAfter(controllers: string, lines: readonly string[]): string | undefined {
  const pattern = /^[0-9]+:([^:]*):(.*)$/s;
  return lines.map((line) => pattern.exec(line)).find((it) => it?.[1] === controllers)?.[2];
}

/** systemd.unit(5): kinds that have processes of their own, or may hold them. */
const UNIT = /^(?:[\w:.\\-]+@[\w:.\\@-]*|[\w:.\\-]+)\.(?:service|scope|socket|mount|swap)$/;
const UNIT_LIMIT = 255;

/**
 * The system's unit that a control group belongs to, by systemd's own rule: the first part that is
 * no slice. What a user's manager or a container runs below is its text, not a unit of the system.
 *
 * @param cgroup `/system.slice/spdk_tgt.service/worker`
 * @returns `spdk_tgt.service`; absent: it is of none, or lies outside of what this process can see
 */
export function unitOf(cgroup: string): string | undefined {
  const parts = cgroup.split("/").filter((part) => part !== "");
  if (parts.includes("..") || cgroup.endsWith(DELETED)) return undefined;
  const first = parts.find((part) => !part.endsWith(".slice"));
  // systemd puts "_" before a name that would be taken for a file of the kernel's.
  const name = first?.replace(/^_/, "");
  return name !== undefined && name.length <= UNIT_LIMIT && UNIT.test(name) ? name : undefined;
}

/** What the kernel appends to the path of a control group that was removed. */
const DELETED = " (deleted)";
