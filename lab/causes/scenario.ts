/** What a round consists of, decided by its seed: policies, importers, causes. @module */
import type { Devices } from "../guest/setup.ts";
import type { Role } from "../machine/topology.ts";
import { Random } from "./random.ts";

/** A device that exports. */
export type Exporter = Extract<Role, "nvme" | "nvme2">;

/** One export of a policy. */
export interface ExportSpec {
  readonly name: string;
  readonly device: Exporter;
  /** In BAR 2, bytes. */
  readonly offset: number;
  readonly onReset: "revoke" | "restore";
  readonly graceMs: number;
  readonly expiresMs?: number;
}

/**
 * What an importer does of itself. `polite` lets go when it is told to, `slow` after a while, and
 * `hostile` keeps everything and tries all the time to import what was taken from it.
 */
export type Manners = "polite" | "slow" | "hostile";

/** A guardian and its importer: one after another, of the same policy. */
export interface PartySpec {
  readonly name: "A" | "B";
  readonly devices: readonly Exporter[];
  readonly exports: readonly ExportSpec[];
  /** Whether its importer has the DMA engine; the other one maps and moves nothing. */
  readonly engine: boolean;
  readonly way: "send" | "exec";
  readonly mapping: "importer" | "bargate";
  readonly manners: Manners;
  /** How its last life is ended. */
  readonly last: "shutdown" | "kill" | "exit" | "hang-up";
}

/** Something that happens. */
export interface Cause {
  /** When, ms from the beginning. */
  readonly atMs: number;
  readonly kind: CauseKind;
  readonly device: Exporter;
  readonly party: "A" | "B";
  /** Decides what the cause leaves open: which buffer, how long. */
  readonly choice: number;
}

/** A round. */
export interface Scenario {
  readonly seed: number;
  readonly parties: readonly PartySpec[];
  readonly causes: readonly Cause[];
  /** Whether the causes begin before the first grants are made. */
  readonly early: boolean;
}

/** How often each cause comes, beside the others. */
const WEIGHTS = {
  "sysfs-reset": 3,
  "bus-reset": 2,
  "memory-off": 2,
  "config-same": 1,
  "power-state": 1,
  "power-control": 1,
  "operator-function": 3,
  "operator-decode": 2,
  "release": 3,
  "ack": 1,
  "close": 2,
  "dup": 1,
  "copy": 2,
  "unmap": 1,
  "map": 2,
  "request": 1,
  "list": 1,
  "junk": 1,
  "stop-importer": 1,
  "kill": 1,
  "exit": 1,
  "hang-up": 1,
  "unbind": 2,
  "remove": 1,
  "driver-override": 1,
  "uevents": 1,
  "other-open": 1,
  "shutdown": 1,
} as const;

/** What can happen. `lab/causes/acts.ts` does it. */
export type CauseKind = keyof typeof WEIGHTS;

const DECK: readonly CauseKind[] = (Object.keys(WEIGHTS) as CauseKind[])
  .flatMap((kind) => new Array<CauseKind>(WEIGHTS[kind]).fill(kind));

/** Bytes of a slice. */
export const SLICE_BYTES = 0x2000;
const CAUSES = 20;
/** Causes fall into this time, ms. */
const SPAN_MS = 500;
/** Some come right after another one. */
const CLUSTERED = 0.4;

/**
 * @param seed any integer
 * @returns the same round for the same seed
 */
export function scenarioOf(seed: number): Scenario {
  const random = new Random(seed);
  const parties = partiesOf(random);
  return { seed, parties, causes: causesOf(random, parties), early: random.chance(0.2) };
}

function partiesOf(random: Random): readonly PartySpec[] {
  if (random.chance(0.5)) return [partyOf(random, "A", ["nvme", "nvme2"], true)];
  const engine = random.chance(0.5);
  return [partyOf(random, "A", ["nvme"], engine), partyOf(random, "B", ["nvme2"], !engine)];
}

function partyOf(
  random: Random,
  name: PartySpec["name"],
  devices: readonly Exporter[],
  engine: boolean,
): PartySpec {
  return {
    name,
    devices,
    exports: devices.flatMap((device) => exportsOf(random, device)),
    engine,
    way: random.pick(["send", "send", "exec"]),
    mapping: random.pick(["importer", "importer", "bargate"]),
    manners: random.pick(["polite", "slow", "hostile", "hostile"]),
    last: random.pick(["shutdown", "shutdown", "kill", "exit", "hang-up"]),
  };
}

function exportsOf(random: Random, device: Exporter): readonly ExportSpec[] {
  return Array.from({ length: 1 + random.below(3) }, (_, index): ExportSpec => {
    const expiresMs = random.pick([undefined, undefined, undefined, 300, 900]);
    return {
      name: `${device}-${index}`,
      device,
      offset: 0x10000 * (index + 1),
      onReset: random.pick(["revoke", "restore"]),
      graceMs: random.pick([1, 50, 300]),
      ...(expiresMs === undefined ? {} : { expiresMs }),
    };
  });
}

function causesOf(random: Random, parties: readonly PartySpec[]): readonly Cause[] {
  let last = 0;
  const causes = Array.from({ length: CAUSES }, (): Cause => {
    last = random.chance(CLUSTERED) ? last + random.below(4) : random.below(SPAN_MS);
    const party = random.maybePick(parties);
    const device = random.maybePick(party?.devices ?? []) ?? "nvme";
    return {
      atMs: last,
      kind: random.maybePick(DECK) ?? "list",
      device,
      party: party?.name ?? "A",
      choice: random.below(1 << 20),
    };
  });
  return causes.toSorted((a, b) => a.atMs - b.atMs);
}

/**
 * @param devices of the laboratory
 * @param party whose policy it is
 * @returns the policy, as YAML
 */
export function policyOf(devices: Devices, party: PartySpec): string {
  const deviceLines = party.devices.map((role) =>
    `  ${role}: { match: { id: "${devices[role].id}", address: "${devices[role].address}" } }`
  );
  return `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: causes }
devices:
${deviceLines.join("\n")}
importers:
  engine: { identity: { user: nobody }, driver: iommufd, mapping: ${party.mapping} }
exports:
${party.exports.map(exportText).join("")}`;
}

function exportText(spec: ExportSpec): string {
  const expires = spec.expiresMs === undefined ? "" : `    expires: ${spec.expiresMs}ms\n`;
  return `  - name: ${spec.name}
    device: ${spec.device}
    bar: 2
    slices: [{ offset: ${spec.offset}, length: ${SLICE_BYTES} }]
    importers: [engine]
    onReset: ${spec.onReset}
    grace: ${spec.graceMs}ms
    collateral: device
${expires}`;
}

/**
 * @param scenario a round
 * @returns what is needed to understand what happened in it, a line each
 */
export function describe({ seed, parties, causes, early }: Scenario): string {
  const lines = [
    `seed ${seed}${early ? ", causes begin before the first grants" : ""}`,
    ...parties.map(({ exports: _, ...party }) => JSON.stringify(party)),
    ...parties.flatMap(({ exports }) => exports.map((each) => `  ${JSON.stringify(each)}`)),
    ...causes.map(({ atMs, kind, device, party, choice }) =>
      `  ${atMs} ms: ${kind} ${device} ${party} ${choice}`
    ),
  ];
  return lines.join("\n");
}
