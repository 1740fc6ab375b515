/**
 * `bargate diff OLD NEW`: what two policy sets allow differently.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { type Difference, diffPolicies, diffTerms, type TermDifference } from "../policy/diff.ts";
import { type DenyDifference, diffDenies } from "../policy/diff_denies.ts";
import { diffManifests, type ManifestDifference } from "../policy/diff_manifests.ts";
import { type ChangedName, changedNames } from "../policy/diff_names.ts";
import type { Interval } from "../policy/interval.ts";
import { loadPolicySet } from "../policy/load.ts";
import { QUANTITY_LIMIT } from "../policy/quantity.ts";
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { type Loaded, showProblems, writeProblems } from "./load_valid.ts";
import { rangeText } from "../policy/range_text.ts";
import { denyLines, manifestLines } from "./output/guard_lines.ts";
import { visible } from "./output/visible.ts";
import { pathArgument } from "./path_argument.ts";
import { jsonText } from "./output/json_text.ts";
import { readPolicyFiles } from "./policy_input.ts";

/** Devices named on one line. */
const MOST_NAMED = 4;

interface Flags {
  readonly format: "human" | "json";
}

async function diff(this: Context, flags: Flags, old: string, now: string): Promise<void> {
  if (old === "-" && now === "-") {
    throw new CommandError(
      "Cannot compare standard input with itself (received - twice)",
      ExitStatus.usage,
    );
  }
  const loaded = [await loadOrNothing(this, old), await loadOrNothing(this, now)] as const;
  const [{ set: before }, { set: after }] = [loaded[0].result, loaded[1].result];
  if (before === undefined || after === undefined) {
    const invalid = loaded.filter(({ result }) => result.set === undefined);
    invalid.forEach((each) => showProblems(this, each));
    writeProblems(this, invalid, flags.format);
    return this.exitWith(ExitStatus.invalidPolicy);
  }
  const differences = [...diffPolicies(before, after), ...diffTerms(before, after)];
  const denies = diffDenies(before, after);
  const names = changedNames(before, after).filter(({ name, is }) =>
    differences.some((each) => each[is] === name) ||
    (is === "device" && denies.some(({ device }) => device === name))
  );
  const manifest = diffManifests(loaded[0].result.manifest, loaded[1].result.manifest);
  const all: Compared = { differences, names, denies, ...(manifest && { manifest }) };
  this.process.stdout.write(flags.format === "json" ? jsonOf(all) : humanText(all));
  const more = differences.some(({ kind }) => kind === "gained" || kind === "widened");
  this.exitWith(more ? ExitStatus.denied : ExitStatus.done);
}

/** All that is told of two sets. */
interface Compared {
  readonly differences: readonly (Difference | TermDifference)[];
  readonly names: readonly ChangedName[];
  readonly denies: readonly DenyDifference[];
  readonly manifest?: ManifestDifference;
}

/**
 * Reads one of the two sets. Where there is no policy yet, or none any more, the set allows nothing.
 * An empty standard input is no such set: mostly it is a program that failed.
 */
async function loadOrNothing(context: Context, path: string): Promise<Loaded> {
  const files = await readPolicyFiles([path], context.readStdin, true);
  const isNothing = files.every(({ file, bytes }) => file !== "-" && bytes.length === 0);
  if (!isNothing || files.length > 1) return { files, result: loadPolicySet(files) };
  context.process.stderr.write(
    `${visible(path)} holds no policy: it is compared as a set that allows nothing\n`,
  );
  return { files: [], result: loadPolicySet([]) };
}

function humanText({ differences, names, denies, manifest }: Compared): string {
  const others = new Set(names.map(({ name, is }) => `${is} ${name}`));
  const devices = new Set(names.flatMap(({ name, is }) => is === "device" ? [name] : []));
  const guards = [
    ...denyLines(denies, devices),
    ...(manifest === undefined ? [] : manifestLines(manifest)),
  ];
  const lines = [
    ...names.map(nameLine),
    ...differences.map((each) => lineOf(each, others)),
    ...guards,
  ];
  const same = guards.length === 0
    ? "both allow the same"
    : "both allow the same; what guards it differs:";
  return [...(differences.length === 0 ? [same] : []), ...lines]
    .map((line) => `${visible(line)}\n`).join("");
}

function nameLine({ name, is, fields }: ChangedName): string {
  const what = fields.map(({ field, old = "none", new: now = "none" }) =>
    `${field} is ${now}, not ${old}`
  );
  return `another ${is}: ${name}, whose ${what.join("; whose ")}`;
}

function lineOf(each: Difference | TermDifference, others: ReadonlySet<string>): string {
  const { kind, importer, device, bar } = each;
  const what = bytesText(each);
  if ("term" in each) {
    const may = each.level === undefined ? "" : `, to ${each.level},`;
    return `${kind}: ${importer} has ${device} BAR ${bar}${may} with ${each.term} ${each.new}, not ${each.old}: ${what}`;
  }
  const which = kind === "gained" || kind === "widened" ? "the new" : "the old";
  const who = others.has(`importer ${importer}`) ? `${which} ${importer}` : importer;
  const ofWhat = others.has(`device ${device}`) ? `${which} ${device}` : device;
  return `${kind}: ${who} may ${each.level} ${ofWhat} BAR ${bar}${whereText(each)}: ${what}`;
}

function bytesText({ region, bytes }: Difference | TermDifference): string {
  const ranges = bytes.map(rangeText).join(", ");
  if (region === undefined) return ranges;
  const anywhere = bytes.every(({ start, end }) => start === 0n && end === QUANTITY_LIMIT);
  return anywhere ? `its ${region}` : `what its ${region} has of ${ranges}`;
}

function whereText({ where = [] }: Difference): string {
  if (where.length === 0) return "";
  const [named, rest] = [where.slice(0, MOST_NAMED).join(" or "), where.length - MOST_NAMED];
  return ` on a host where it is the same function as ${named}${
    rest > 0 ? ` or ${rest} more` : ""
  }`;
}

function jsonOf({ differences, names, denies, manifest }: Compared): string {
  const withSlices = <T extends { readonly bytes: readonly Interval[] }>(
    { bytes, ...rest }: T,
  ) => ({
    ...rest,
    slices: bytes.map(({ start, end }) => ({ offset: hex(start), length: hex(end - start) })),
  });
  return `${
    jsonText({
      differences: differences.map(withSlices),
      names,
      denies: denies.map(withSlices),
      ...(manifest && { manifest }),
    })
  }\n`;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

/** The verb. */
export const command = buildCommand<Flags, [string, string], Context>({
  func: diff,
  parameters: {
    flags: {
      format: {
        kind: "enum",
        values: ["human", "json"],
        default: "human",
        brief: "How to print the differences",
      },
    },
    positional: {
      kind: "tuple",
      parameters: [
        {
          brief: "The policy set before: a file, a folder, a pattern, or -",
          parse: pathArgument,
          placeholder: "old",
        },
        { brief: "The policy set after", parse: pathArgument, placeholder: "new" },
      ],
    },
  },
  docs: { brief: "Say what two policy sets allow differently; exit with 1 if it is more" },
});
