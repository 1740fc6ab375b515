/**
 * Events, for people: one line each.
 *
 * @module
 */
import type { Event } from "../../engine/event.ts";
import type { Style } from "./style.ts";
import { visible } from "./visible.ts";

const SAYS: Readonly<Record<Event["type"], string>> = {
  "device-opened": "device open",
  "device-borrowed": "device is its owner's",
  "device-reset": "device reset",
  "device-closed": "device closed",
  "device-held": "device held",
  "memory-enabled": "memory buffer enabled",
  planned: "planned",
  exported: "exported, and seen to be alive",
  delivered: "delivered",
  suspended: "suspended",
  restored: "restored",
  revoking: "revoking",
  "means-insufficient": "not enough",
  ended: "ended",
  late: "LATE",
  observed: "observed",
  unobserved: "cannot be observed",
  "importer-started": "importer started",
  "importer-connected": "importer connected, and seen to be the one that is named",
  "importer-refused": "importer refused",
  "importer-asked": "importer asked to end",
  "importer-killed": "importer killed",
  "importer-ended": "importer ended",
};

/**
 * Writes an event as a line.
 *
 * @param event what happened
 * @param style colours
 * @returns the line, without a newline
 */
export function eventText(event: Event, style: Style): string {
  const subject = event.export ?? event.device ?? event.importer ?? "bargate";
  const details = [
    event.reason,
    event.means === undefined ? undefined : `by ${event.means}`,
    event.type === "restored" && event.after !== undefined
      ? `old mappings are ${event.after}`
      : undefined,
    causeText(event),
  ].filter((part) => part !== undefined);
  const verb = event.type === "late" ? style.error(SAYS.late) : style.strong(SAYS[event.type]);
  const tail = details.length === 0 ? "" : ` (${details.join(", ")})`;
  const simulated = event.simulated === true ? `${style.faint("simulated")} ` : "";
  return `${style.faint(event.time.slice(11, 23))} ${simulated}${visible(subject)}: ${verb}${
    oneLine(tail)
  }`;
}

/** Details can come from peers and from the kernel: no control character, no second line. */
function oneLine(text: string): string {
  return visible(text.replaceAll("\n", " "));
}

function causeText({ cause }: Event): string | undefined {
  if (cause === undefined) return undefined;
  return cause.detail === undefined ? cause.source : `${cause.source}: ${cause.detail}`;
}
