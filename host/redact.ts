/**
 * A snapshot for others to read: serial numbers and names that people gave are replaced by aliases.
 * The same value has the same alias throughout one snapshot, so that what belongs together still
 * does. Ids, addresses, drivers and sizes stay, for decisions are made by them.
 *
 * @module
 */
import { redactConfig } from "./redact_config.ts";
import type {
  HostSnapshot,
  NamedDevice,
  NodeAccess,
  Opener,
  SnapshotFunction,
  Unreadable,
} from "./snapshot.ts";

/** What a redacted snapshot says of itself. */
const DESCRIPTION = "Redacted: names, numbers of accounts and serial numbers are aliases.";
/** Users and groups but root's are counted from here. */
const FIRST_ID = 1000;
/** Aliases sort as their numbers do. */
const DIGITS = 3;

/**
 * Replaces what only the host itself should know.
 *
 * @param snapshot to be shown to others
 * @returns a snapshot of the same form
 *
 * @example
 * ```ts
 * import { redactSnapshot } from "./redact.ts";
 *
 * const kernel = { release: "7.3.4-secret" };
 * const rdma = [{ name: "secret0" }];
 * const redacted = redactSnapshot({ kernel, pageSize: 4096, iommu: [], functions: [], rdma });
 * if (JSON.stringify(redacted).includes("secret")) throw new Error("a name is left");
 * ```
 */
export function redactSnapshot(snapshot: HostSnapshot): HostSnapshot {
  return new Redaction(snapshot).snapshot();
}

/** Aliases of one snapshot. */
class Redaction {
  readonly #names = new Map<string, Map<unknown, number>>();
  readonly #release: string;

  constructor(private readonly original: HostSnapshot) {
    this.#release = numericRelease(original.kernel.release);
  }

  snapshot(): HostSnapshot {
    const { functions, rdma, unreadable } = this.original;
    return {
      ...this.original,
      description: DESCRIPTION,
      kernel: { ...this.original.kernel, release: this.#release },
      functions: functions.map((entry) => this.#function(entry)),
      ...(rdma === undefined ? {} : { rdma: rdma.map((device) => this.#rdma(device)) }),
      ...(unreadable === undefined ? {} : { unreadable: this.#unreadable(unreadable) }),
    };
  }

  #function(entry: SnapshotFunction): SnapshotFunction {
    const { slot, cdevAccess, groupAccess, openBy, config, unreadable } = entry;
    return {
      ...entry,
      ...(slot === undefined ? {} : { slot: this.#text("slot", slot) }),
      ...(cdevAccess === undefined ? {} : { cdevAccess: this.#access(cdevAccess) }),
      ...(groupAccess === undefined ? {} : { groupAccess: this.#access(groupAccess) }),
      ...(openBy === undefined ? {} : { openBy: openBy.map((each) => this.#opener(each)) }),
      config: redactConfig(config, (serial) => BigInt(this.#number("serial", serial))),
      unreadable: this.#unreadable(unreadable),
    };
  }

  /** DRM nodes and NVMe controllers have numbers of the kernel's; RDMA devices can be renamed. */
  #rdma(device: NamedDevice): NamedDevice {
    return { ...device, name: this.#text("rdma", device.name) };
  }

  #access({ uid, gid, mode }: NodeAccess): NodeAccess {
    return { uid: this.#id("uid", uid), gid: this.#id("gid", gid), mode };
  }

  #opener({ pid, command }: Opener): Opener {
    return {
      pid: this.#number("pid", pid),
      ...(command === undefined ? {} : { command: this.#text("process", command) }),
    };
  }

  /** Files are named after the release. */
  #unreadable(all: readonly Unreadable[]): readonly Unreadable[] {
    const { release } = this.original.kernel;
    return all.map(({ field, right }) => {
      return { field: field.replaceAll(release, this.#release), right };
    });
  }

  #id(kind: string, id: number): number {
    return id === 0 ? 0 : FIRST_ID - 1 + this.#number(kind, id);
  }

  #text(kind: string, name: string): string {
    return `${kind}${String(this.#number(kind, name)).padStart(DIGITS, "0")}`;
  }

  /** From 1, in the order in which values come. */
  #number(kind: string, value: unknown): number {
    const known = this.#names.get(kind) ?? new Map<unknown, number>();
    this.#names.set(kind, known);
    const number = known.get(value) ?? known.size + 1;
    known.set(value, number);
    return number;
  }
}

/** What is behind the numbers can be the name of whoever built the kernel. */
function numericRelease(release: string): string {
  const number = /^[0-9]+(?:\.[0-9]+)*(?:-rc[0-9]+)?/.exec(release)?.[0];
  if (number === release) return release;
  return `${number ?? "0"}-local`;
}
