/**
 * From a policy set and a host to exactly what would be done: which grants, of which ranges of which
 * device, or why not. Pure: the same inputs give the same plan.
 *
 * @module
 */
import type { HostSnapshot, SnapshotBar, SnapshotFunction } from "../host/snapshot.ts";
import { IntervalIndex } from "../policy/interval.ts";
import type {
  DenyRule,
  DeviceRule,
  ExportRule,
  ImporterRule,
  Placed,
  Policy,
  PolicySet,
  SliceRule,
} from "../policy/model.ts";
import type { Span } from "../policy/position.ts";
import type { Diagnostic } from "../policy/diagnostic.ts";
import { placeOf } from "./device_place.ts";
import type { Means } from "./end.ts";
import type { Route } from "./group_access.ts";
import type { HostCode } from "../policy/host_codes.ts";
import { type Finding, hostFinding } from "./host_findings.ts";
import { type ImporterFunction, importerFunction } from "./importer_device.ts";
import type { DmaRange } from "./kernel.ts";
import { kernelFindings } from "./kernel_version.ts";
import { type ProtectedRange, protectedRanges } from "./protected_ranges.ts";
import { type Neighbour, neighboursIn } from "./reset_domain.ts";
import { FunctionIndex, idOf } from "./resolve.ts";
import { holdKinds, holdsOver } from "./device_hold.ts";
import type { DeviceTarget } from "./device_target.ts";

/** One grant that would be made. */
export interface PlannedGrant {
  /** `policy/export` */
  readonly export: string;
  readonly rule: ExportRule;
  readonly importer: ImporterRule;
  /** `policy/importer` */
  readonly importerName: string;
  /** The PCI function that will do the DMA, where the policy declares it. */
  readonly importerFunction?: SnapshotFunction;
  readonly device: DeviceTarget;
  readonly iommuGroup: number | undefined;
  readonly bar: number;
  /** In buffer order; `rest` resolved. */
  readonly ranges: readonly DmaRange[];
  /** What can take it back, precise to blunt. */
  readonly revocation: readonly Means[];
}

/** All grants that would be made, or the reasons why none would. */
export interface Plan {
  readonly host: { readonly release: string; readonly pageSize: number };
  readonly policy: string;
  /** Empty if `diagnostics` has an error. */
  readonly grants: readonly PlannedGrant[];
  /** By the address of each device that has grants: what is reset together with it. */
  readonly neighbours: ReadonlyMap<string, readonly Neighbour[]>;
  readonly diagnostics: readonly Diagnostic[];
  /** Whether one of the errors is a refusal by policy, and not a fact of the host. */
  readonly denied: boolean;
}

/** What to plan for. */
export interface PlanOptions {
  /** Only grants of this importer, `name` or `policy/name`; absent: of all. */
  readonly importer?: string;
  /** Accept Linux 6.19 to 7.0, whose revoke does not wait until importers have unmapped. */
  readonly acceptUnwaitedRevoke?: boolean;
  /** Open devices this way; absent: by the character device where there is one. */
  readonly route?: Route;
}

/**
 * Plans the exports of a policy set on a host.
 *
 * @param set the policy set in force
 * @param host what is there
 * @param options what to plan for
 * @returns the plan; with any error in it, it has no grants
 */
export function makePlan(set: PolicySet, host: HostSnapshot, options: PlanOptions = {}): Plan {
  const planner = new Planner(inOrder(set), host, options);
  const findings = planner.run();
  const failed = findings.some((finding) => finding.diagnostic.severity === "error");
  return {
    host: { release: host.kernel.release, pageSize: host.pageSize },
    policy: set.digest,
    grants: failed ? [] : planner.grants,
    neighbours: failed ? new Map() : planner.neighbours(),
    diagnostics: findings.map((finding) => finding.diagnostic),
    denied: findings.some((finding) => finding.denied),
  };
}

/** By name: in which order files were given does not count. */
function inOrder(set: PolicySet): PolicySet {
  const policies = set.policies.toSorted((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  return { ...set, policies };
}

/** A deny rule as it falls on one BAR of a real device. */
interface Denied {
  readonly start: bigint;
  readonly end: bigint;
  readonly rule: DenyRule;
}

/** A device of a policy, found on the host. */
interface Resolved {
  readonly entry: SnapshotFunction;
  readonly target: DeviceTarget;
}

/** Beyond every BAR: BARs are less than 2^63 bytes. */
const BAR_END = 1n << 64n;
const VFIO_PCI = "vfio-pci";

class Planner {
  readonly grants: PlannedGrant[] = [];
  readonly #findings: Finding[] = [];
  readonly #index: FunctionIndex;
  readonly #page: bigint;
  readonly #denied = new Map<string, IntervalIndex<Denied>>();
  readonly #functions = new Map<ImporterRule, { readonly entry: SnapshotFunction | undefined }>();

  constructor(
    private readonly set: PolicySet,
    private readonly host: HostSnapshot,
    private readonly options: PlanOptions,
  ) {
    this.#index = new FunctionIndex(host);
    this.#page = BigInt(host.pageSize);
  }

  run(): readonly Finding[] {
    this.#findings.push(
      ...kernelFindings(this.host.kernel.release, this.options.acceptUnwaitedRevoke ?? false),
    );
    this.#collectDenials();
    const drafts = this.set.policies.flatMap((policy) => this.#planPolicy(policy));
    if (drafts.length === 0 && this.#findings.length === 0) this.#nothingAllowed();
    this.#settleRevocation(drafts);
    return this.#findings;
  }

  neighbours(): ReadonlyMap<string, readonly Neighbour[]> {
    const neighboursOf = neighboursIn(this.host);
    const addresses = new Set(this.grants.map(({ device }) => device.address));
    return new Map([...addresses].map((address) => {
      const entry = this.#index.at(address);
      return [address, entry === undefined ? [] : neighboursOf(entry)];
    }));
  }

  #nothingAllowed(): void {
    const importer = this.options.importer;
    this.#add(
      "BG2014",
      undefined,
      importer === undefined
        ? "no policy exports anything"
        : `no policy exports anything to importer ${JSON.stringify(importer)}`,
    );
  }

  /** A deny falls on every function that its device matches: more is safer than less. */
  #collectDenials(): void {
    const found = new Map<string, Denied[]>();
    for (const policy of this.set.policies) {
      for (const rule of policy.deny) {
        const device = policy.devices.get(rule.device.value);
        if (device === undefined) continue;
        for (const entry of this.#index.matching(device.match)) {
          for (const bar of rule.bar === undefined ? [0, 1, 2, 3, 4, 5] : [rule.bar]) {
            const key = barKey(entry.address, bar);
            const list = found.get(key) ?? [];
            list.push(...denials(rule));
            found.set(key, list);
          }
        }
      }
    }
    for (const [key, list] of found) this.#denied.set(key, new IntervalIndex(list));
  }

  /** Each importer's declaration is held against the host once, however many rules name it. */
  #importerFunction(importer: ImporterRule): SnapshotFunction | undefined {
    const known = this.#functions.get(importer);
    if (known !== undefined) return known.entry;
    const entry = this.#findFunction(importer);
    this.#functions.set(importer, { entry });
    return entry;
  }

  #findFunction(importer: ImporterRule): SnapshotFunction | undefined {
    const found = importerFunction(importer, this.host);
    if (found === undefined || found.is === "found") return found?.entry;
    const [code, why] = notFound(found);
    this.#add(code, importer.device?.at, `the device of importer ${importer.name} ${why}`);
    return undefined;
  }

  #planPolicy(policy: Policy): PlannedGrant[] {
    const resolved = new Map<string, Resolved | undefined>();
    const resolve = (device: DeviceRule): Resolved | undefined => {
      if (!resolved.has(device.name)) resolved.set(device.name, this.#resolve(device));
      return resolved.get(device.name);
    };
    return policy.exports.flatMap((rule) => {
      const importers = this.#importersOf(policy, rule)
        .map((importer) => ({ importer, dma: this.#importerFunction(importer) }));
      const device = policy.devices.get(rule.device.value);
      if (importers.length === 0 || device === undefined) return [];
      const found = resolve(device);
      const ranges = found === undefined ? undefined : this.#ranges(rule, found);
      if (found === undefined || ranges === undefined) return [];
      return importers.map(({ importer, dma }) => ({
        export: rule.qualifiedName,
        rule,
        importer,
        importerName: `${policy.name}/${importer.name}`,
        ...(dma === undefined ? {} : { importerFunction: dma }),
        device: found.target,
        iommuGroup: found.entry.iommuGroup,
        bar: rule.bar.value,
        ranges,
        revocation: [],
      }));
    });
  }

  #importersOf(policy: Policy, rule: ExportRule): ImporterRule[] {
    const wanted = this.options.importer;
    return rule.importers
      .filter(({ value }) =>
        wanted === undefined || wanted === value || wanted === `${policy.name}/${value}`
      )
      .flatMap(({ value }) => policy.importers.get(value) ?? []);
  }

  #resolve(device: DeviceRule): Resolved | undefined {
    const found = this.#index.matching(device.match);
    const [entry] = found;
    if (entry === undefined) {
      const there = (device.match.address ?? []).flatMap((a) => this.#index.at(a) ?? []);
      const instead = there.map((e) => `${e.address} is ${idOf(e)}, class ${e.class}`).join("; ");
      this.#add(
        "BG2001",
        device.match.at,
        `no PCI function of the host is device ${JSON.stringify(device.name)}${
          instead === "" ? "" : `: ${instead}`
        }`,
      );
      return undefined;
    }
    if (found.length > 1) {
      const some = found.slice(0, 4).map((e) => e.address).join(", ");
      this.#add(
        "BG2002",
        device.match.at,
        `device ${
          JSON.stringify(device.name)
        } is ${found.length} PCI functions of the host: ${some}${found.length > 4 ? ", …" : ""}`,
      );
      return undefined;
    }
    return this.#usable(device, entry);
  }

  #usable(device: DeviceRule, entry: SnapshotFunction): Resolved | undefined {
    if (entry.driver !== VFIO_PCI) {
      this.#add(
        "BG2003",
        device.at,
        `${entry.address} is bound to ${entry.driver ?? "no driver"} and not to ${VFIO_PCI}`,
      );
      return undefined;
    }
    const route = this.#route(entry);
    if (route === undefined) {
      this.#add("BG2004", device.at, `${entry.address} has no VFIO node to open it by`);
      return undefined;
    }
    const guarded = protectedRanges(entry.config, this.host.pageSize);
    if (guarded === undefined) {
      this.#add(
        "BG2011",
        device.at,
        `only ${entry.config.length} bytes of the configuration space of ${entry.address} could be read, so that its MSI-X pages are not known`,
      );
      return undefined;
    }
    const memory = entry.bars.filter((bar) => bar.kind !== "io");
    return {
      entry,
      target: {
        ...placeOf(entry, (address) => this.#index.at(address)),
        id: idOf(entry),
        ...route,
        subsystem: entry.subsystem,
        class: entry.class,
        protectedRanges: guarded,
        barSizes: new Map(memory.map((bar) => [bar.index, bar.size])),
        holds: device.owner === undefined
          ? holdKinds(entry.config, entry.physfn !== undefined)
          : [],
        ...(device.owner === undefined ? {} : { owner: device.owner }),
      },
    };
  }

  /** By its character device where there is one: a group is open to one process only. */
  #route(entry: SnapshotFunction): { route: Route; node: string } | undefined {
    const { cdev, groupNode } = entry;
    const wanted = this.options.route;
    if (cdev !== undefined && wanted !== "group") return { route: "cdev", node: cdev };
    if (groupNode !== undefined && wanted !== "cdev") return { route: "group", node: groupNode };
    return undefined;
  }

  #ranges(rule: ExportRule, device: Resolved): readonly DmaRange[] | undefined {
    const bar = this.#bar(rule.bar, device.entry);
    if (bar === undefined) return undefined;
    const guarded = device.target.protectedRanges;
    const ranges = rule.slices.map((slice) => this.#range(slice, rule, bar, device, guarded));
    return ranges.every((range) => range !== undefined) ? ranges : undefined;
  }

  #bar(bar: Placed<number>, entry: SnapshotFunction): SnapshotBar | undefined {
    const found = entry.bars.find(({ index }) => index === bar.value);
    if (found === undefined) {
      const below = entry.bars.find(({ index }) => index === bar.value - 1);
      const why = below?.kind === "memory64"
        ? `it is the upper half of 64-bit BAR ${below.index}`
        : "it is empty";
      this.#add(
        "BG2005",
        bar.at,
        `BAR ${bar.value} of ${entry.address} is not implemented: ${why}`,
      );
      return undefined;
    }
    if (found.kind === "io") {
      this.#add("BG2006", bar.at, `BAR ${bar.value} of ${entry.address} is I/O space`);
      return undefined;
    }
    if (found.size < this.#page) {
      this.#add(
        "BG2007",
        bar.at,
        `BAR ${bar.value} of ${entry.address} has ${found.size} bytes, less than a page (${this.#page})`,
      );
      return undefined;
    }
    return found;
  }

  #range(
    slice: SliceRule,
    rule: ExportRule,
    bar: SnapshotBar,
    device: Resolved,
    guarded: readonly ProtectedRange[],
  ): DmaRange | undefined {
    const length = slice.length === "rest" ? bar.size - slice.offset : slice.length;
    if (length <= 0n || slice.offset + length > bar.size) {
      this.#add(
        "BG2008",
        slice.at,
        `the slice ends at ${
          hex(slice.offset + (length > 0n ? length : 0n))
        }, past BAR ${bar.index} of ${device.entry.address}, which has ${hex(bar.size)} bytes`,
      );
      return undefined;
    }
    if (slice.offset % this.#page !== 0n || length % this.#page !== 0n) {
      this.#add(
        "BG2009",
        slice.at,
        `the slice (offset ${hex(slice.offset)}, length ${
          hex(length)
        }) is no whole number of this host's pages of ${this.#page} bytes`,
      );
      return undefined;
    }
    const range = { offset: slice.offset, length };
    const free = this.#checkGuarded(range, slice.at, rule, guarded);
    const allowed = this.#checkDenied(range, slice.at, device.entry.address, bar.index);
    return free && allowed ? range : undefined;
  }

  #checkGuarded(
    range: DmaRange,
    at: Span,
    rule: ExportRule,
    guarded: readonly ProtectedRange[],
  ): boolean {
    const hit = guarded.find((entry) =>
      entry.bar === rule.bar.value && range.offset < entry.offset + entry.length &&
      entry.offset < range.offset + range.length &&
      !rule.allowProtected.some((allowed) => allowed.range === entry.what)
    );
    if (hit === undefined) return true;
    const what = hit.what === "msix-table" ? "MSI-X table" : "MSI-X pending bit array";
    this.#add(
      "BG2010",
      at,
      `the slice touches the ${what} at ${hex(hit.offset)}, ${
        hex(hit.length)
      } bytes of BAR ${hit.bar}`,
    );
    return false;
  }

  #checkDenied(range: DmaRange, at: Span, address: string, bar: number): boolean {
    const hit = this.#denied.get(barKey(address, bar))
      ?.overlapping(range.offset, range.offset + range.length);
    if (hit === undefined) return true;
    this.#findings.push(
      hostFinding("BG2013", at, `the slice is denied on ${address}: ${hit.rule.reason}`, [
        { ...hit.rule.at, message: "denied here" },
      ]),
    );
    return false;
  }

  /** What can take each grant back depends on what else stands on its device. */
  #settleRevocation(drafts: readonly PlannedGrant[]): void {
    const byDevice = Map.groupBy(drafts, (draft) => draft.device.address);
    for (const draft of drafts) {
      const alone = (byDevice.get(draft.device.address)?.length ?? 0) < 2;
      const borrowed = draft.device.owner !== undefined;
      if (!alone && !borrowed && draft.rule.collateral !== "device") {
        this.#add(
          "BG2012",
          draft.rule.at,
          `ending a grant of ${draft.export} would end and renew the other grants of ${draft.device.address}`,
        );
      }
      this.grants.push({ ...draft, revocation: meansOf(draft, alone) });
    }
  }

  #add(code: HostCode, at: Span | undefined, message: string): void {
    this.#findings.push(hostFinding(code, at, message));
  }
}

/**
 * A hold serves in a reset, which would validate the buffers again; elsewhere the close is enough. A
 * borrowed device is its owner's to close, and there is nothing but the importer's help.
 */
function meansOf({ importer, device, rule }: PlannedGrant, alone: boolean): readonly Means[] {
  const precise: Means = importer.mapping === "bargate" ? "unmap" : "release";
  if (device.owner !== undefined) return [precise];
  const overReset = holdsOver(device.holds, "reset").length > 0;
  return [
    precise,
    ...(overReset && rule.onReset === "revoke" ? ["hold" as const] : []),
    alone ? "close" : "new-generation",
  ];
}

function notFound(found: Exclude<ImporterFunction, { is: "found" }>): [HostCode, string] {
  switch (found.is) {
    case "none":
      return ["BG2017", `is no PCI function of the host: ${found.why}`];
    case "several":
      return ["BG2018", `is ${found.entries.length} PCI functions of the host`];
    case "unknown":
      return [
        "BG2020",
        `has a name (${found.field}) that cannot be looked up: the inventory says nothing of such names`,
      ];
    case "other-driver": {
      const { entry: { address, driver }, wanted } = found;
      return [
        "BG2019",
        `is ${address}, which is bound to ${driver ?? "no driver"} and not to ${
          wanted.join(" or ")
        }`,
      ];
    }
  }
}

function denials(rule: DenyRule): Denied[] {
  if (rule.slices === undefined) return [{ start: 0n, end: BAR_END, rule }];
  return rule.slices.map((slice) => ({
    start: slice.offset,
    end: slice.length === "rest" ? BAR_END : slice.offset + slice.length,
    rule,
  }));
}

function barKey(address: string, bar: number): string {
  return `${address} ${bar}`;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
