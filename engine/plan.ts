/**
 * From a policy set and a host to exactly what would be done: which grants, of which ranges of which
 * device, or why not. Pure: the same inputs give the same plan.
 *
 * @module
 */
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import type { Diagnostic } from "../policy/diagnostic.ts";
import type { HostCode } from "../policy/host_codes.ts";
import type { DeviceRule, ExportRule, ImporterRule, Policy, PolicySet } from "../policy/model.ts";
import type { Span } from "../policy/position.ts";
import { holdsOver } from "./device_hold.ts";
import type { DeviceTarget } from "./device_target.ts";
import type { Means } from "./end.ts";
import { exportName } from "./export_name.ts";
import type { Route } from "./group_access.ts";
import { type AddFinding, type Finding, hostFinding } from "./host_findings.ts";
import type { DmaRange } from "./kernel.ts";
import { kernelFindings } from "./kernel_version.ts";
import { nvmeFindings } from "./nvme_findings.ts";
import { conflicts } from "./plan_conflicts.ts";
import { planNotes } from "./plan_notes.ts";
import { type PlannedMemory, plannedMemory, togetherPlanned } from "./planned_memory.ts";
import { Denials, type InertDeny } from "./plan_denials.ts";
import { DeviceFinder, type Resolved } from "./plan_device.ts";
import { ImporterFinder } from "./plan_importer.ts";
import { RangeFinder } from "./plan_ranges.ts";
import { domainsIn } from "./reset_domain.ts";
import { FunctionIndex } from "./resolve.ts";
import { topologyFindings } from "./topology_findings.ts";

/** One grant that would be made. */
export interface PlannedGrant {
  /** `policy/export`, or `policy/export@ADDRESS` where the device is one of many. */
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
  readonly domains: ReadonlyMap<string, readonly SnapshotFunction[]>;
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
  const found = planner.run();
  const failed = found.some((finding) => finding.diagnostic.severity === "error");
  const notes = failed
    ? []
    : planNotes(planner.grants, host.kernel.release, options.acceptUnwaitedRevoke);
  const findings = [...found, ...notes];
  return {
    host: { release: host.kernel.release, pageSize: host.pageSize },
    policy: set.digest,
    grants: failed ? [] : planner.grants,
    domains: failed ? new Map() : planner.domains(),
    diagnostics: findings.map((finding) => finding.diagnostic),
    denied: findings.some((finding) => finding.denied),
  };
}

/** What a host and a policy set come to, also where not everything can be had. */
export interface Examined {
  readonly findings: readonly Finding[];
  /** Those in whose own way nothing stands. */
  readonly grants: readonly PlannedGrant[];
  /** Denies of devices of which the host has not even the kind. */
  readonly inertDenies: readonly InertDeny[];
}

/**
 * Does what {@linkcode makePlan} does, and keeps the grants that could be made when others cannot.
 *
 * @param set the policy set
 * @param host what is there
 * @param options what to plan for
 */
export function examine(set: PolicySet, host: HostSnapshot, options: PlanOptions = {}): Examined {
  const planner = new Planner(inOrder(set), host, options);
  const findings = planner.run();
  return { findings, grants: planner.grants, inertDenies: planner.inertDenies() };
}

/** By name: the order in which files and rules were written does not count. */
function inOrder(set: PolicySet): PolicySet {
  const policies = set.policies.map((policy) => ({
    ...policy,
    exports: byKey(policy.exports, ({ name }) => name),
  }));
  return { ...set, policies: byKey(policies, ({ name }) => name) };
}

/** By code units: the same on every machine. */
function byKey<T>(list: readonly T[], keyOf: (item: T) => string): readonly T[] {
  return list.toSorted((a, b) => {
    const [x, y] = [keyOf(a), keyOf(b)];
    return x < y ? -1 : x > y ? 1 : 0;
  });
}

const ADD_EXPORT =
  "write one, with its importer; where a file by `bargate init` has an example as a comment, uncomment and correct that";

/** A grant, and the device by whose name its rule goes. */
interface DraftedGrant {
  readonly grant: PlannedGrant;
  readonly named: DeviceRule;
  /** It is planned for; others are there to be seen beside it. */
  readonly wanted: boolean;
  /** The memory buffer that it is of. */
  readonly memory: PlannedMemory | undefined;
}

/** What finds a rule's devices and their ranges. */
interface Finders {
  readonly devices: DeviceFinder;
  readonly ranges: RangeFinder;
  readonly resolved: Map<DeviceRule, readonly Resolved[]>;
}

/** An importer that a rule names. */
interface NamedImporter {
  readonly importer: ImporterRule;
  /** It is planned for. */
  readonly wanted: boolean;
  /** Of those that are planned for: the function that its policy declares, if that is there. */
  readonly dma: SnapshotFunction | undefined;
}

class Planner {
  readonly grants: PlannedGrant[] = [];
  readonly #findings: Finding[] = [];
  readonly #index: FunctionIndex;
  readonly #denials: Denials;
  readonly #importers: ImporterFinder;
  /** For rules that are planned for. */
  readonly #telling: Finders;
  /** For rules of other importers, about which nobody asked. */
  readonly #silent: Finders;

  constructor(
    private readonly set: PolicySet,
    private readonly host: HostSnapshot,
    private readonly options: PlanOptions,
  ) {
    this.#index = new FunctionIndex(host);
    const add: AddFinding = (...found) => this.#findings.push(hostFinding(...found));
    this.#denials = new Denials(set, this.#index);
    const findersWith = (add: AddFinding): Finders => ({
      devices: new DeviceFinder(host, this.#index, options.route, add),
      ranges: new RangeFinder(BigInt(host.pageSize), this.#denials, add),
      resolved: new Map(),
    });
    this.#importers = new ImporterFinder(host, this.#index, add);
    this.#telling = findersWith(add);
    this.#silent = findersWith(() => {});
  }

  run(): readonly Finding[] {
    this.#findings.push(
      ...kernelFindings(this.host.kernel.release, this.options.acceptUnwaitedRevoke ?? false),
    );
    const drafts = this.set.policies.flatMap((policy) => this.#planPolicy(policy));
    const grants = withMemories(drafts.filter(({ wanted }) => wanted));
    if (grants.length === 0 && this.#findings.length === 0) this.#nothingAllowed();
    this.#findings.push(...conflicts(drafts), ...this.#denials.missed());
    this.#settleRevocation(grants);
    this.#findings.push(
      ...topologyFindings(this.host, grants),
      ...this.#controllers(drafts),
    );
    return this.#findings;
  }

  #controllers(drafts: readonly DraftedGrant[]): readonly Finding[] {
    const devices = new Map(drafts.map(({ grant, named }) => [grant.rule, named]));
    return nvmeFindings(this.grants, {
      at: (address) => this.#index.at(address),
      deviceOf: (rule) => devices.get(rule),
    });
  }

  inertDenies(): readonly InertDeny[] {
    return this.#denials.inert();
  }

  domains(): ReadonlyMap<string, readonly SnapshotFunction[]> {
    const domainOf = domainsIn(this.host);
    const addresses = new Set(this.grants.map(({ device }) => device.address));
    return new Map([...addresses].flatMap((address) => {
      const entry = this.#index.at(address);
      return entry === undefined ? [] : [[address, domainOf(entry)]];
    }));
  }

  /** A file that `init` has just written exports nothing: there is no rule to add an importer to. */
  #nothingAllowed(): void {
    if (this.set.policies.every((policy) => policy.exports.length === 0)) {
      const none = hostFinding("BG2014", undefined, "no policy has an entry under `exports`");
      this.#findings.push({ ...none, diagnostic: { ...none.diagnostic, fix: ADD_EXPORT } });
      return;
    }
    const importer = this.options.importer;
    this.#add(
      "BG2014",
      undefined,
      importer === undefined
        ? "no policy exports anything"
        : `no policy exports anything to importer ${JSON.stringify(importer)}`,
    );
  }

  /** Of all importers: what two have between them does not hang on who is asked for. */
  #planPolicy(policy: Policy): DraftedGrant[] {
    return policy.exports.flatMap((rule) => {
      const importers = this.#importersOf(policy, rule);
      const device = policy.devices.get(rule.device.value);
      if (importers.length === 0 || device === undefined) return [];
      const finders = importers.some(({ wanted }) => wanted) ? this.#telling : this.#silent;
      return resolveOnce(finders, device).flatMap((found) => {
        const ranges = finders.ranges.ranges(rule, found);
        if (ranges === undefined) return [];
        return importers.map(({ importer, wanted, dma }) => ({
          named: device,
          wanted,
          memory: plannedMemory(rule, found.entry, device),
          grant: {
            export: exportName(rule, device, found.entry),
            rule,
            importer,
            importerName: `${policy.name}/${importer.name}`,
            ...(dma === undefined ? {} : { importerFunction: dma }),
            device: found.target,
            iommuGroup: found.entry.iommuGroup,
            bar: rule.bar.value,
            ranges,
            revocation: [],
          },
        }));
      });
    });
  }

  #importersOf(policy: Policy, rule: ExportRule): readonly NamedImporter[] {
    const only = this.options.importer;
    return byKey(rule.importers, ({ value }) => value).flatMap(({ value }) => {
      const importer = policy.importers.get(value);
      if (importer === undefined) return [];
      const wanted = only === undefined || only === value || only === `${policy.name}/${value}`;
      return [{ importer, wanted, dma: wanted ? this.#importers.functionOf(importer) : undefined }];
    });
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

/** What a device must be goes for all its grants, whichever of them is of its memory buffer. */
function withMemories(drafts: readonly DraftedGrant[]): readonly PlannedGrant[] {
  const byDevice = Map.groupBy(drafts, ({ grant }) => grant.device.address);
  const memories = new Map([...byDevice].map(([address, ofDevice]) => {
    return [address, togetherPlanned(ofDevice.flatMap(({ memory }) => memory ?? []))];
  }));
  return drafts.map(({ grant }) => {
    const controllerMemory = memories.get(grant.device.address);
    if (controllerMemory === undefined) return grant;
    return { ...grant, device: { ...grant.device, controllerMemory } };
  });
}

/** What is wrong with a device is told once, however many rules are about it. */
function resolveOnce({ devices, resolved }: Finders, device: DeviceRule): readonly Resolved[] {
  const known = resolved.get(device);
  if (known !== undefined) return known;
  const found = devices.resolve(device);
  resolved.set(device, found);
  return found;
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
