/**
 * Which controllers a plan must have asked before it can be made: those whose memory buffers are
 * exported. Opening a device resets it, and so no other is asked.
 *
 * @module
 */
import type { HostSnapshot, SnapshotFunction } from "../host/snapshot.ts";
import type { Diagnostic } from "../policy/diagnostic.ts";
import type { DeviceRule, ExportRule, PolicySet } from "../policy/model.ts";
import type { PlanOptions } from "./plan.ts";
import { FunctionIndex } from "./resolve.ts";

/** A controller to ask. */
export interface ControllerToAsk {
  readonly entry: SnapshotFunction;
  /** A policy lets Bargate enable its buffer. */
  readonly mayEnable: boolean;
}

/** Class of NVM Express controllers: base class and subclass. */
const NVME = "0108";

/** Where a buffer is was not known; all else may be well. */
const UNANSWERED: ReadonlySet<string> = new Set(["BG2025"]);

/** A rule, and the functions that its device is. */
interface OnFunctions {
  readonly rule: ExportRule;
  readonly device: DeviceRule;
  readonly wanted: boolean;
  readonly found: readonly SnapshotFunction[];
}

/**
 * Whether a function can be asked: an NVMe controller that is bound to vfio-pci.
 *
 * @param entry of a snapshot
 */
export function canBeProbed({ class: code, driver, cdev, groupNode }: SnapshotFunction): boolean {
  return code.startsWith(NVME) && driver === "vfio-pci" && (cdev ?? groupNode) !== undefined;
}

/**
 * @param set the policy set
 * @param host what is there
 * @param options what is planned for
 * @returns the controllers of which a rule exports the buffer: a rule that is planned for, or one that
 *   could be in its way. Not those that others have open, nor those that have been asked
 */
export function controllersToAsk(
  set: PolicySet,
  host: HostSnapshot,
  { importer }: PlanOptions,
): readonly ControllerToAsk[] {
  if (!namesMemory(set)) return [];
  const index = new FunctionIndex(host);
  const rules = set.policies.flatMap(({ name, devices, exports }) =>
    exports.flatMap((rule): readonly OnFunctions[] => {
      const device = devices.get(rule.device.value);
      if (device === undefined) return [];
      const wanted = importer === undefined ||
        rule.importers.some(({ value }) => value === importer || `${name}/${value}` === importer);
      return [{ rule, device, wanted, found: index.matching(device.match).found }];
    })
  );
  const touched = functionsOf(rules.filter(({ wanted }) => wanted));
  const borrowed = borrowedFunctions(set, index);
  const about = rules.filter(({ rule }) => rule.region?.value === "nvme.cmb");
  const mayEnable = functionsOf(about.filter(({ device }) => device.enableCmb === true));
  return [...functionsOf(about)]
    .filter((entry) => touched.has(entry) && !borrowed.has(entry))
    .filter((entry) => canBeProbed(entry) && entry.controllerMemory === undefined)
    .map((entry) => ({ entry, mayEnable: mayEnable.has(entry) }));
}

/**
 * Whether it is worth while to open devices: a plan that fails by something else would fail all the
 * same, and devices would have been reset for nothing.
 *
 * @param diagnostics of a plan that was made without asking
 */
export function onlyAnswersLack(diagnostics: readonly Diagnostic[]): boolean {
  return diagnostics.every(({ code, severity }) => severity !== "error" || UNANSWERED.has(code));
}

/**
 * @param diagnostics of a plan that was made without asking
 * @returns those that would stay if controllers had answered
 */
export function withoutUnanswered(diagnostics: readonly Diagnostic[]): readonly Diagnostic[] {
  return diagnostics.filter(({ code }) => !UNANSWERED.has(code));
}

/** By whatever name, and also where it cannot be judged: it is its owner's to open. */
function borrowedFunctions(
  { policies }: PolicySet,
  index: FunctionIndex,
): ReadonlySet<SnapshotFunction> {
  const devices = policies.flatMap(({ devices }) => [...devices.values()]);
  const borrowed = devices.filter(({ acquire }) => acquire === "borrow");
  return new Set(borrowed.flatMap(({ match }) => {
    const { found, unjudged } = index.matching(match);
    return [...found, ...unjudged];
  }));
}

function namesMemory({ policies }: PolicySet): boolean {
  return policies.some(({ exports }) => exports.some(({ region }) => region?.value === "nvme.cmb"));
}

function functionsOf(rules: readonly OnFunctions[]): ReadonlySet<SnapshotFunction> {
  return new Set(rules.flatMap(({ found }) => found));
}
