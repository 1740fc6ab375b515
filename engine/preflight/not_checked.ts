/**
 * What nobody could look at beforehand. It is told, and never taken for good.
 *
 * @module
 */
import type { HostSnapshot } from "../../host/snapshot.ts";
import type { Diagnostic } from "../../policy/diagnostic.ts";
import type { PlannedGrant } from "../plan.ts";
import { neededOptions } from "./kernel_option_findings.ts";

/** Something that nobody could look at. */
export interface NotChecked {
  readonly what: string;
  readonly why: string;
}

/** Where facts of a host are from. */
export type FactSource = "this-host" | "simulated" | "inventory";

/** Facts of the process that will export; those that are absent are not known. */
export type ProcessFact = "account" | "limits";

/** What decides what could be looked at. */
export interface Looking {
  /** Absent: a file. */
  readonly source?: FactSource;
  readonly known: ReadonlySet<ProcessFact>;
  /** Why something of this process could not be read. */
  readonly unread?: Partial<Readonly<Record<ProcessFact, string>>>;
  /** Devices are opened and asked afterwards. */
  readonly live?: boolean;
}

const WHAT: Readonly<Record<ProcessFact, string>> = {
  account: "whether the account that exports may open the devices",
  limits: "limits of the exporting process",
};

const WHY: Readonly<Record<Exclude<FactSource, "this-host">, Record<ProcessFact, string>>> = {
  inventory: {
    account: "an inventory does not say which account that will be; root may",
    limits: "an inventory does not have them",
  },
  simulated: {
    account: "nodes of simulated devices have no owner",
    limits: "a simulated host does not have them",
  },
};

/**
 * @param host what is there
 * @param grants that would be made
 * @param looking what could be looked at
 * @returns what could not
 */
export function notChecked(
  host: HostSnapshot,
  grants: readonly PlannedGrant[],
  looking: Looking,
): readonly NotChecked[] {
  return [...ofOptions(host, grants), ...ofProcess(grants, looking), ...ofDevices(grants, looking)];
}

/** What a configuration does not name is neither on nor off. */
function ofOptions({ kernel: { config } }: HostSnapshot, grants: readonly PlannedGrant[]) {
  const what = "kernel options";
  if (config === undefined) {
    return [{ what, why: "the kernel's configuration could not be read" }];
  }
  const missing = neededOptions(grants).filter(({ option }) => config[option] === undefined);
  if (missing.length === 0) return [];
  const names = [...new Set(missing.map(({ option }) => option))].join(", ");
  return [{ what, why: `the inventory does not say how these are set: ${names}` }];
}

/**
 * Warnings by which something could not be judged.
 *
 * @param diagnostics of a plan
 */
export function unjudged(diagnostics: readonly Diagnostic[]): readonly NotChecked[] {
  return diagnostics.flatMap(({ code, message }) => {
    const what = UNJUDGED[code];
    return what === undefined ? [] : [{ what, why: message }];
  });
}

const UNJUDGED: Readonly<Record<string, string>> = {
  BG2205: "the path between importer and device",
  BG2206: "whether VFIO can own an IOMMU group",
};

function ofProcess(
  grants: readonly PlannedGrant[],
  { source = "inventory", known, unread }: Looking,
): readonly NotChecked[] {
  const opened = grants.some(({ device }) => device.owner === undefined);
  const facts = [...(opened ? ["account" as const] : []), "limits" as const];
  return facts.filter((fact) => !known.has(fact)).map((fact) => ({
    what: WHAT[fact],
    why: source === "this-host"
      ? unread?.[fact] ?? "procfs does not have the form that is known"
      : WHY[source][fact],
  }));
}

function ofDevices(
  grants: readonly PlannedGrant[],
  { source = "inventory", live = false }: Looking,
): readonly NotChecked[] {
  const own = grants.some(({ device }) => device.owner === undefined);
  const asked = own && !live
    ? [{
      what: "whether the devices can export",
      why: source === "inventory"
        ? "devices of an inventory cannot be asked"
        : "no device is opened without --live",
    }]
    : [];
  const borrowed = new Set(
    grants.filter(({ device }) => device.owner !== undefined).map(({ device }) => device.address),
  );
  return [
    ...asked,
    ...[...borrowed].map((address) => ({ what: `whether ${address} can export`, why: BORROWED })),
  ];
}

/** Why a device of another process is not asked. */
export const BORROWED = "it is borrowed, and only its owner may open it";
