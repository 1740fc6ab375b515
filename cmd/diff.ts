/**
 * `bargate diff OLD NEW`: what two policy sets allow differently.
 *
 * @module
 */
import { buildCommand } from "@stricli/core";
import { type Difference, diffPolicies, diffTerms, type TermDifference } from "../policy/diff.ts";
import { type ChangedName, changedNames } from "../policy/diff_names.ts";
import { QUANTITY_LIMIT } from "../policy/quantity.ts";
import type { Context } from "./context.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { loadFiles, showProblems, writeProblems } from "./load_valid.ts";
import { rangeText } from "./output/decision.ts";
import { visible } from "./output/visible.ts";
import { pathArgument } from "./path_argument.ts";
import { jsonText } from "./output/json_text.ts";

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
  const loaded = [await loadFiles(this, [old]), await loadFiles(this, [now])] as const;
  const [{ set: before }, { set: after }] = [loaded[0].result, loaded[1].result];
  if (before === undefined || after === undefined) {
    const invalid = loaded.filter(({ result }) => result.set === undefined);
    invalid.forEach((each) => showProblems(this, each));
    writeProblems(this, invalid, flags.format);
    return this.exitWith(ExitStatus.invalidPolicy);
  }
  const differences = [...diffPolicies(before, after), ...diffTerms(before, after)];
  const names = changedNames(before, after).filter(({ name, is }) =>
    differences.some((each) => each[is] === name)
  );
  const text = flags.format === "json" ? jsonOf(differences, names) : humanText(differences, names);
  this.process.stdout.write(text);
  const more = differences.some(({ kind }) => kind === "gained" || kind === "widened");
  this.exitWith(more ? ExitStatus.denied : ExitStatus.done);
}

function humanText(
  differences: readonly (Difference | TermDifference)[],
  names: readonly ChangedName[],
): string {
  if (differences.length === 0) return "both allow the same\n";
  const others = new Set(names.map(({ name, is }) => `${is} ${name}`));
  const lines = [
    ...names.map(nameLine),
    ...differences.map((each) => lineOf(each, others)),
  ];
  return lines.map((line) => `${visible(line)}\n`).join("");
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

function jsonOf(
  differences: readonly (Difference | TermDifference)[],
  names: readonly ChangedName[],
): string {
  const hex = (value: bigint) => `0x${value.toString(16)}`;
  const values = differences.map(({ bytes, ...rest }) => ({
    ...rest,
    slices: bytes.map(({ start, end }) => ({ offset: hex(start), length: hex(end - start) })),
  }));
  return `${jsonText({ differences: values, names })}\n`;
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
