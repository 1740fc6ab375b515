/**
 * The first policy of a host, as text: devices, and what of them must never leave. It allows nothing.
 * Examples stand in it as comments: `#` before a line takes it out, `##` is for people. It is in the
 * form that `fmt` gives it, with the examples and without.
 *
 * Names on a host are of other people's making: they are in comments only, and nothing in them can end
 * a comment.
 *
 * @module
 */
import { kernelFindings } from "../../engine/kernel_version.ts";
import type { HostSnapshot, SnapshotBar } from "../../host/snapshot.ts";
import { formatQuantity } from "../../policy/quantity.ts";
import { type FirstDeny, type FirstDevice, type FirstExample } from "./first_device.ts";

/** Longest text from a host in a comment, characters. */
const LONGEST = 200;
/** An account that no host has: an example that nobody has looked at gives nothing to anybody. */
const NOBODY_YET = "change-me";

/** Where the policy was written from. */
export interface Origin {
  /** For a comment: `this host`, or a file. */
  readonly from: string;
  readonly host: HostSnapshot;
}

/**
 * Writes a policy.
 *
 * @param origin where it is from
 * @param devices of it, one at least
 * @returns a policy file that is valid and allows nothing
 */
export function firstPolicy(origin: Origin, devices: readonly FirstDevice[]): string {
  const examples = devices.flatMap((device) =>
    device.examples.map((example) => exampleLines(device, example, origin.host))
  );
  const lines = [
    ...headLines(origin, examples.length > 0),
    "apiVersion: bargate/v1",
    "kind: ExportPolicy",
    "metadata:",
    "  name: first",
    "  description: Devices of a host, and what of them must never leave. Allows nothing yet",
    "",
    "devices:",
    ...devices.flatMap((device) => deviceLines(device)),
    "",
    ...(examples.length === 0 ? [] : [...importerLines(), "", "#exports:", ...examples.flat(), ""]),
    "deny:",
    ...devices.flatMap((device) => device.denies.flatMap((deny) => denyLines(device, deny))),
  ];
  return `${lines.join("\n")}\n`;
}

function headLines({ from, host }: Origin, hasExamples: boolean): readonly string[] {
  const { release } = host.kernel;
  const kernel = kernelFindings(release, false).map(({ diagnostic }) =>
    `in the way: ${diagnostic.message} (${diagnostic.code})`
  );
  const uncomment = [
    "Lines with one # are examples: take the # away and they count. First give the importer its",
    "account and its driver, and each export what the importer needs and no more. Then:",
    "  bargate validate FILE; bargate plan FILE",
  ];
  return [
    `Written by bargate init from ${from}: Linux ${release}, pages of ${host.pageSize} bytes.`,
    "It declares devices and denies what should never leave them. It allows nothing.",
    ...(hasExamples ? uncomment : ["No BAR is taken for memory, so that there is no example."]),
    ...kernel,
  ].map((text) => comment("", text));
}

function deviceLines({ name, entry, remarks, inTheWay, notes }: FirstDevice): readonly string[] {
  const { address, vendor, device, subsystem, class: code, iommuGroup, physfn, slot } = entry;
  const place = [
    `class ${code}`,
    ...(physfn === undefined ? [] : [`virtual function of ${physfn}`]),
    ...(slot === undefined ? [] : [`slot ${slot}`]),
    iommuGroup === undefined ? "no IOMMU group" : `IOMMU group ${iommuGroup}`,
    `driver ${entry.driver ?? "none"}`,
  ].join(", ");
  const bars = entry.bars.map((bar) => {
    const remark = remarks.get(bar.index);
    return `BAR ${bar.index}: ${barText(bar)}${remark === undefined ? "" : `; ${remark}`}`;
  });
  const match = [
    `id: "${vendor}:${device}"`,
    `address: "${address}"`,
    ...(subsystem === undefined ? [] : [`subsystem: "${subsystem}"`]),
  ].join(", ");
  return [
    ...[place, ...bars, ...notes, ...inTheWay.map((why) => `in the way: ${why}`)]
      .map((text) => comment("  ", text)),
    `  ${name}:`,
    `    match: { ${match} }`,
  ];
}

function barText({ kind, size, prefetchable }: SnapshotBar): string {
  if (kind === "io") return `${size} I/O ports`;
  const bits = kind === "memory64" ? 64 : 32;
  return `${sizeText(size)}, ${bits}-bit${prefetchable ? ", prefetchable" : ""}`;
}

function sizeText(size: bigint): string {
  const text = formatQuantity(size);
  return /^[0-9]+$/.test(text) ? `${text} bytes` : text;
}

/** Longest mapping that `fmt` leaves in braces, characters that are not blank. */
const LONGEST_FLOW = 80;

function denyLines(
  { name }: FirstDevice,
  { bar, range, reason }: FirstDeny,
): readonly string[] {
  const fields = [
    `device: ${name}`,
    `bar: ${bar}`,
    ...(range === undefined ? [] : [`slices: [${sliceText(range)}]`]),
    `reason: "${reason}"`,
  ];
  const flow = `{ ${fields.join(", ")} }`;
  return flow.replaceAll(/\s+/g, "").length <= LONGEST_FLOW
    ? [`  - ${flow}`]
    : fields.map((field, at) => `${at === 0 ? "  - " : "    "}${field}`);
}

function sliceText(
  { offset, length }: { readonly offset: bigint; readonly length: bigint },
): string {
  return `{ offset: 0x${offset.toString(16)}, length: ${formatQuantity(length)} }`;
}

function importerLines(): readonly string[] {
  return [
    "#importers:",
    "#  importer:",
    comment("#    ", "who the program is: its account, and better its executable too"),
    `#    identity: { user: ${NOBODY_YET} }`,
    comment(
      "#    ",
      "the kernel driver that will attach to the buffer (docs/policy.md lists them)",
    ),
    "#    driver: iommufd",
  ];
}

function exampleLines(
  { name, inTheWay }: FirstDevice,
  { bar, offset, by }: FirstExample,
  { pageSize }: HostSnapshot,
): readonly string[] {
  const what = `one page of BAR ${bar.index}, which has ${sizeText(bar.size)}`;
  const why = inTheWay.length === 0 ? "" : "; not as the host is now, see the device";
  return [
    comment("#  ", `taken for memory, for ${by}`),
    comment("#  ", `${what}${why}`),
    `#  - name: ${name}-bar${bar.index}`,
    `#    device: ${name}`,
    `#    bar: ${bar.index}`,
    `#    slices: [${sliceText({ offset, length: BigInt(pageSize) })}]`,
    "#    importers: [importer]",
  ];
}

/** Nothing of a host's can be more than a part of one comment. */
function comment(indent: string, text: string): string {
  const plain = text.slice(0, LONGEST).replaceAll(/[^\x20-\x7e]/gu, (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    return `<U+${code}>`;
  });
  return `${indent}## ${plain}`;
}
