import assert from "node:assert/strict";
import { placeOf } from "../../engine/device_place.ts";
import type { SnapshotFunction } from "../../host/snapshot.ts";

function entry(address: string, parent: string, more: Partial<SnapshotFunction> = {}) {
  return {
    address,
    parent,
    vendor: "1b36",
    device: "0010",
    class: "010802",
    resetMethods: [],
    config: new Uint8Array(),
    bars: [],
    unreadable: [],
    ...more,
  };
}

Deno.test("placeOf walks up to the root, and collects the slots on the way", () => {
  const functions = [
    entry("0000:00:01.0", "pci0000:00"),
    entry("0000:02:00.0", "0000:00:01.0", { slot: "7" }),
    entry("0000:03:00.1", "0000:02:00.0", { physfn: "0000:03:00.0" }),
  ];
  const at = (address: string) => functions.find((each) => each.address === address);
  const leaf = entry("0000:03:00.1", "0000:02:00.0", { physfn: "0000:03:00.0", slot: "8" });
  assert.deepEqual(placeOf(leaf, at), {
    address: "0000:03:00.1",
    physfn: "0000:03:00.0",
    above: ["0000:02:00.0", "0000:00:01.0"],
    slots: ["8", "7"],
  });
});

Deno.test("placeOf ends where the snapshot does, and never runs in a circle", () => {
  assert.deepEqual(placeOf(entry("0000:03:00.0", "0000:02:00.0"), () => undefined).above, [
    "0000:02:00.0",
  ]);
  const loop = entry("0000:03:00.0", "0000:03:00.0");
  assert.deepEqual(placeOf(loop, () => loop).above, ["0000:03:00.0"]);
});
