/**
 * Regions of NVMe controllers: what comes with the doorbells, and what switching a memory buffer on
 * is for.
 *
 * @module
 */
import {
  type DeviceDraft,
  type ExportDraft,
  type PolicyDraft,
  readSlices,
  type Report,
} from "../draft.ts";
import { DOORBELLS, DOORBELLS_BAR, isControl, saysController } from "../nvme_doorbells.ts";
import { formatQuantity } from "../quantity.ts";
import { related } from "../report.ts";
import { type CheckContext, deviceOf, type PageSize } from "./context.ts";

/** Checks `region` and `enableCmb`. */
export function checkRegions({ drafts, pageSize, report }: CheckContext): void {
  for (const draft of drafts) {
    for (const rule of draft.exports) {
      if (rule.region === undefined) checkControl(draft, rule, report);
      else checkDoorbells(rule, pageSize, report);
    }
    for (const device of draft.devices.values()) checkEnabling(draft, device, report);
  }
}

function checkDoorbells(
  { name, bar, region }: ExportDraft,
  { bytes }: PageSize,
  report: Report,
): void {
  if (region?.value !== "nvme.doorbells") return;
  if (bar !== undefined && bar.value !== DOORBELLS_BAR) {
    const message =
      `Cannot export the doorbells of BAR ${bar.value}: they are in BAR ${DOORBELLS_BAR}`;
    report("BG1412", bar.at, message, { related: [related(region.at, "the doorbells")] });
  } else if (DOORBELLS.offset % bytes !== 0n) {
    const message = `Cannot export the doorbells alone: they start at 0x1000, and the page of ${
      formatQuantity(bytes)
    } that holds them holds the controller's registers too`;
    report("BG1401", region.at, message, { fix: "use a host with pages of 4KiB" });
  } else {
    const message = `${
      name?.value ?? "This export"
    } lets its importers ring queue 0, the controller's admin queue: its doorbells are in the page`;
    report("BG1411", region.at, message);
  }
}

/** Slices are only numbers: that they are registers or doorbells is known where the match says of what. */
function checkControl(policy: PolicyDraft, rule: ExportDraft, report: Report): void {
  if (rule.bar?.value !== DOORBELLS_BAR) return;
  if (!saysController(deviceOf(policy, rule.device)?.match?.class)) return;
  const slice = readSlices(rule.slices).find(isControl);
  if (slice === undefined) return;
  const { offset, length } = slice;
  const behind = length === "rest" || offset + length > DOORBELLS.offset;
  const what = [
    ...(offset < DOORBELLS.offset ? ["the controller's registers (below 0x1000)"] : []),
    ...(behind ? ["doorbells, the admin queue's first (from 0x1000 on)"] : []),
  ];
  const message = `${rule.name?.value ?? "This export"} lets its importers reach ${
    what.join(" and ")
  }`;
  report("BG1413", slice.at, message);
}

function checkEnabling(policy: PolicyDraft, device: DeviceDraft, report: Report): void {
  const { name, enableCmb, acquire } = device;
  if (enableCmb === undefined) return;
  if (acquire.value === "borrow") {
    const place = related(acquire.at, "borrowed here");
    const message = `Cannot switch on the memory buffer of ${name}: it is borrowed`;
    report("BG1711", enableCmb.at, message, { related: [place] });
  }
  // A rule of which the device is unknown may mean this one.
  const exported = policy.exports.some((rule) =>
    rule.region?.value === "nvme.cmb" && (deviceOf(policy, rule.device) ?? device) === device
  );
  if (exported || !policy.sound) return;
  report("BG1710", enableCmb.at, `No rule exports the controller memory buffer of ${name}`);
}
