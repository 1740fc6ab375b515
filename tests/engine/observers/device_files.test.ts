import assert from "node:assert/strict";
import { filesOf, resetFilesOf } from "../../../engine/observers/device_files.ts";

const PLACE = {
  address: "0000:01:10.0",
  physfn: "0000:01:00.0",
  above: ["0000:00:10.0"],
  slots: ["1"],
};

Deno.test("filesOf has the function, its physical function, what is above, and its slot", () => {
  const files = filesOf(PLACE).map(({ path, event, kind }) =>
    `${path.replace("/sys/bus/pci/", "").replace("devices/0000:", "")} ${event} ${kind}`
  );
  assert.deepEqual(files, [
    "01:10.0/reset modify reset",
    "01:10.0/config modify config-write",
    "01:10.0/remove open removal",
    "01:10.0/driver/unbind open look",
    "/proc/bus/pci/01/10.0 modify config-write",
    "/proc/bus/pci/0000:01/10.0 modify config-write",
    "01:00.0/reset modify reset",
    "01:00.0/remove open removal",
    "01:00.0/sriov_numvfs modify look",
    "01:00.0/config modify reset",
    "/proc/bus/pci/01/00.0 modify reset",
    "/proc/bus/pci/0000:01/00.0 modify reset",
    "00:10.0/reset modify reset",
    "00:10.0/reset_subordinate modify reset",
    "00:10.0/remove open removal",
    "00:10.0/config modify reset",
    "/proc/bus/pci/00/10.0 modify reset",
    "/proc/bus/pci/0000:00/10.0 modify reset",
    "slots/1/power modify look",
  ]);
});

Deno.test("filesOf names a function of another domain by its domain", () => {
  const paths = filesOf({ address: "10000:01:00.0", above: [], slots: [] }).map(({ path }) => path);
  assert.deepEqual(paths.filter((path) => path.startsWith("/proc/")), [
    "/proc/bus/pci/10000:01/00.0",
  ]);
});

Deno.test("resetFilesOf has those of them that reset by a write of 1", () => {
  const watched = new Set(filesOf(PLACE).map(({ path }) => path));
  const resets = resetFilesOf(PLACE);
  assert.equal(resets.length, 4);
  assert.ok(resets.every((path) => watched.has(path) && path.includes("reset")));
});
