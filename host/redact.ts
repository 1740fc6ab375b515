/**
 * A snapshot for others to read: serial numbers and names that people gave are replaced by aliases.
 * The same value has the same alias throughout one snapshot, so that what belongs together still
 * does. Ids, addresses and sizes stay, for decisions are made by them, and so do texts that the kernel
 * can have written; text that anybody could have made up does not.
 *
 * @module
 */
import { CONFIG_CUT, isKernelWord, type WordKind } from "./kernel_words.ts";
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
/** Of aliases that would look like names of the kernel's. */
const STEMS: Readonly<Record<string, string>> = { nvme: "nvme-name", drm: "drm-name" };
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

/**
 * Whether a snapshot says of itself that it is redacted. Its aliases are its own: the same value can
 * have another alias in another one.
 *
 * @param snapshot of a host
 */
export function isRedacted({ description }: HostSnapshot): boolean {
  return description === DESCRIPTION;
}

/** Aliases of one snapshot. */
class Redaction {
  readonly #names = new Map<string, Map<unknown, number>>();
  readonly #release: string;
  readonly #bound: ReadonlySet<string | undefined>;

  constructor(private readonly original: HostSnapshot) {
    this.#release = numericRelease(original.kernel.release);
    this.#bound = new Set(original.functions.map(({ driver }) => driver));
  }

  snapshot(): HostSnapshot {
    const { functions, cpu, iommu, rdma, drm, nvme, unreadable } = this.original;
    return {
      ...this.original,
      description: DESCRIPTION,
      kernel: { ...this.original.kernel, release: this.#release },
      ...(cpu?.vendor === undefined
        ? {}
        : { cpu: { ...cpu, vendor: this.#word("processor", cpu.vendor) } }),
      iommu: iommu.map((name) => this.#word("iommu", name)),
      functions: functions.map((entry) => this.#function(entry)),
      ...(rdma === undefined ? {} : { rdma: named(rdma, (name) => this.#text("rdma", name)) }),
      ...(drm === undefined ? {} : { drm: named(drm, (name) => this.#word("drm", name)) }),
      ...(nvme === undefined ? {} : { nvme: named(nvme, (name) => this.#word("nvme", name)) }),
      ...(unreadable === undefined ? {} : { unreadable: this.#unreadable(unreadable) }),
    };
  }

  #function(entry: SnapshotFunction): SnapshotFunction {
    const { driver, driverOverride, slot, cdevAccess, groupAccess, openBy } = entry;
    const { resetMethods, powerState, runtimeStatus, unreadable } = entry;
    const config = redactConfig(entry.config, (serial) => BigInt(this.#number("serial", serial)));
    const cut = config.length < entry.config.length ? [CONFIG_CUT] : [];
    return {
      ...entry,
      ...(driver === undefined ? {} : { driver: this.#word("driver", driver) }),
      ...(driverOverride === undefined ? {} : { driverOverride: this.#override(driverOverride) }),
      resetMethods: resetMethods.map((method) => this.#word("reset", method)),
      ...(powerState === undefined ? {} : { powerState: this.#word("power", powerState) }),
      ...(runtimeStatus === undefined
        ? {}
        : { runtimeStatus: this.#word("runtime", runtimeStatus) }),
      ...(slot === undefined ? {} : { slot: this.#text("slot", slot) }),
      ...(cdevAccess === undefined ? {} : { cdevAccess: this.#access(cdevAccess) }),
      ...(groupAccess === undefined ? {} : { groupAccess: this.#access(groupAccess) }),
      ...(openBy === undefined ? {} : { openBy: openBy.map((each) => this.#opener(each)) }),
      config,
      unreadable: [...this.#unreadable(unreadable), ...cut],
    };
  }

  /** An administrator can write any text. What a function is bound to is a driver. */
  #override(name: string): string {
    return this.#bound.has(name) ? this.#word("driver", name) : this.#text("driver", name);
  }

  /** What the kernel can have written stays. */
  #word(kind: WordKind, text: string): string {
    return isKernelWord(kind, text) ? text : this.#text(kind, text);
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

  #unreadable(all: readonly Unreadable[]): readonly Unreadable[] {
    return all.map(({ field, right }) => {
      return {
        field: this.#configFile(field) ?? this.#word("field", field),
        right: this.#word("right", right),
      };
    });
  }

  /** Two of the files with the kernel's configuration are named after the release. */
  #configFile(field: string): string | undefined {
    const place = (release: string) => [
      `kernel.config in /boot/config-${release}`,
      `kernel.config in /lib/modules/${release}/config`,
    ];
    const at = place(this.original.kernel.release).indexOf(field);
    return place(this.#release)[at];
  }

  #id(kind: string, id: number): number {
    return id === 0 ? 0 : FIRST_ID - 1 + this.#number(kind, id);
  }

  #text(kind: string, name: string): string {
    return `${STEMS[kind] ?? kind}${String(this.#number(kind, name)).padStart(DIGITS, "0")}`;
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

/** Lists of names are sorted by them. */
function named(
  devices: readonly NamedDevice[],
  nameOf: (name: string) => string,
): readonly NamedDevice[] {
  return devices.map((device) => ({ ...device, name: nameOf(device.name) }))
    .sort((a, b) => a.name < b.name ? -1 : 1);
}

/** What is behind the numbers can be the name of whoever built the kernel. */
function numericRelease(release: string): string {
  const number = /^[0-9]+(?:\.[0-9]+)*(?:-rc[0-9]+)?/.exec(release)?.[0];
  if (number === release) return release;
  return `${number ?? "0"}-local`;
}
