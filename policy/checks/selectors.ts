/**
 * Selectors of devices that are exported from: those that match too much, and those that could match
 * nothing that an export can be made of.
 *
 * @module
 */
import { type DeviceDraft, type ExportDraft, type MatchDraft, readSlices } from "../draft.ts";
import { formatQuantity } from "../quantity.ts";
import { related } from "../report.ts";
import { intervalOf } from "../slices.ts";
import { type CheckContext, deviceOf } from "./context.ts";

/** The driver of devices that can be exported from. */
const EXPORTER = "vfio-pci";

/** Checks devices that exports name. A deny may match as much as it likes. */
export function checkSelectors(context: CheckContext): void {
  for (const draft of context.drafts) {
    if (!draft.sound) continue;
    const exported = new Set<DeviceDraft>();
    for (const rule of draft.exports) {
      const device = deviceOf(draft, rule.device);
      if (device?.match === undefined) continue;
      exported.add(device);
      checkBarSize(rule, device, device.match, context);
    }
    for (const device of exported) checkMatch(device, context);
  }
}

function checkMatch({ name, match }: DeviceDraft, { report }: CheckContext): void {
  if (match === undefined) return;
  if (match.driver.length > 0 && !match.driver.includes(EXPORTER)) {
    const message = `Cannot export from ${name}: only ${EXPORTER} exports (received ${
      match.driver.join(", ")
    })`;
    report("BG1708", match.at, message);
  }
  if (match.id.length > 0) return;
  if (match.address.length > 0) {
    const message =
      `The address of ${name} names a slot: another card in it would be exported from as well`;
    report("BG1706", match.at, message);
  } else {
    report("BG1707", match.at, `Nothing says which model ${name} is: its match has no id`);
  }
}

function checkBarSize(
  rule: ExportDraft,
  device: DeviceDraft,
  match: MatchDraft,
  { report }: CheckContext,
): void {
  const sizes = rule.bar === undefined ? undefined : match.barSizes.get(rule.bar.value);
  if (sizes === undefined) return;
  const size = sizes.reduce((most, each) => each > most ? each : most, 0n);
  for (const slice of readSlices(rule.slices)) {
    const { start, end } = intervalOf(slice);
    if (start < size && (slice.length === "rest" || end <= size)) continue;
    const message = `Cannot export past the end of the BAR: ${device.name} must have a BAR of ${
      formatQuantity(size)
    }${sizes.length > 1 ? " at most" : ""}`;
    report("BG1709", slice.at, message, { related: [related(match.at, "its size is here")] });
  }
}
