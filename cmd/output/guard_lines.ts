/**
 * Differences of what guards two policy sets, their denies and manifests, as lines for people.
 *
 * @module
 */
import type { DenyDifference } from "../../policy/diff_denies.ts";
import type { ManifestDifference, ManifestFileDifference } from "../../policy/diff_manifests.ts";
import { rangeText } from "../../policy/range_text.ts";

/** How many BARs a function has. */
const BARS = 6;

/**
 * @param denies what is denied differently
 * @param others devices, as `policy/device`, whose names stand for another in the new set
 * @returns a line for each deny; BARs of one device with the same bytes are on one
 */
export function denyLines(
  denies: readonly DenyDifference[],
  others: ReadonlySet<string>,
): readonly string[] {
  const alike = Map.groupBy(
    denies,
    ({ kind, device, bytes, reasons, reachedBy = [] }) =>
      JSON.stringify([kind, device, bytes.map(rangeText), reasons, reachedBy]),
  );
  return [...alike.values()].flatMap((same) =>
    same[0] === undefined ? [] : [
      denyLine(same[0], same.map(({ bar }) => bar), others),
    ]
  );
}

function denyLine(
  { kind, device, bytes, reasons, reachedBy }: DenyDifference,
  bars: readonly number[],
  others: ReadonlySet<string>,
): string {
  const which = kind === "removed" || kind === "narrowed" ? "the old" : "the new";
  const name = others.has(device) ? `${which} ${device}` : device;
  const where = bars.length === BARS ? "every BAR" : `BAR ${bars.join(", ")}`;
  const why = reasons.length === 0 ? "" : ` (${reasons.join("; ")})`;
  const line = `deny ${kind}: ${name} ${where}: ${bytes.map(rangeText).join(", ")}${why}`;
  if (reachedBy === undefined) return line;
  return reachedBy.length === 0
    ? `${line}; nothing that the new set allows reaches it`
    : `${line}; what the new set allows of ${reachedBy.join(", ")} reaches it`;
}

/** @returns a line for the manifest, or for each file of which it says another thing */
export function manifestLines({ kind, files }: ManifestDifference): readonly string[] {
  if (kind === "changed") return files.map(fileLine);
  const what = `${files.length} file${files.length === 1 ? "" : "s"} with a sha256`;
  return kind === "added"
    ? [`manifest added: it lists ${what}`]
    : [`manifest removed: it listed ${what}; nothing tells any more whether the set is whole`];
}

function fileLine({ kind, path, old, new: now }: ManifestFileDifference): string {
  switch (kind) {
    case "unlisted":
      return `manifest changed: ${path} is listed no more`;
    case "listed":
      return `manifest changed: ${path} is listed, with the sha256 ${now}`;
    case "changed":
      return `manifest changed: the sha256 of ${path} is ${now}, not ${old}`;
  }
}
