import assert from "node:assert/strict";
import type { Uevent } from "../../../engine/kernel.ts";
import { meaningOf, observeUevents } from "../../../engine/observers/uevents.ts";
import { settle, SSD } from "../support.ts";
import { brief, seen } from "./support.ts";

const FOLDER = `/devices/pci0000:00/0000:00:10.0/${SSD}`;

function uevent(action: string, path: string, values: Record<string, string>): Uevent {
  return { action, path, values: new Map(Object.entries(values)) };
}

const PCI = { SUBSYSTEM: "pci", PCI_SLOT_NAME: SSD };
const GONE = uevent("remove", `${FOLDER}/vfio-dev/vfio0`, { SUBSYSTEM: "vfio-dev" });

Deno.test("meaningOf takes a uevent for what it says, and others for nothing", () => {
  const cases: readonly [Uevent, string[]][] = [
    [GONE, [`removal ${SSD}`]],
    [uevent("unbind", FOLDER, PCI), [`removal ${SSD}`]],
    [uevent("remove", FOLDER, PCI), [`removal ${SSD}`]],
    [uevent("change", FOLDER, { ...PCI, ERROR_EVENT: "BEGIN_RECOVERY" }), [`error ${SSD}`]],
    [uevent("change", FOLDER, { ...PCI, ERROR_EVENT: "SUCCESSFUL_RECOVERY" }), []],
    [uevent("change", FOLDER, PCI), []],
    [uevent("bind", FOLDER, PCI), []],
    [uevent("add", `${FOLDER}/vfio-dev/vfio0`, { SUBSYSTEM: "vfio-dev" }), []],
    [uevent("remove", "/devices/virtual/vfio/3", { SUBSYSTEM: "vfio" }), []],
    [uevent("remove", FOLDER, { SUBSYSTEM: "pci" }), []],
  ];
  for (const [event, expected] of cases) {
    const told = meaningOf(event);
    assert.deepEqual(brief(told === undefined ? [] : [told]), expected, event.action);
  }
});

Deno.test("observeUevents takes all that waits, and a loss as a reason to look everywhere", async () => {
  const { kernel, context, told } = seen();
  const observer = observeUevents(context);
  for (const socket of kernel.uevents) {
    socket.push(GONE);
    socket.push("overrun");
  }
  await settle();
  assert.deepEqual(brief(told), [`removal ${SSD}`, "look all"]);
  observer.stop();
  assert.equal(kernel.uevents.size, 0);
});
