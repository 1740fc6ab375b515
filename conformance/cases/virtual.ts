/** Virtual functions: memory decode is the physical function's affair. @module */
import assert from "node:assert/strict";
import { MEMORY, PAGE, range } from "../bench.ts";
import type { Bench, Bound } from "../bench.ts";
import type { ConformanceCase, Subject } from "../case.ts";

function holds(
  event: string,
  moves: string,
  alive: boolean,
  make: (bench: Bench, bound: Bound) => Promise<void>,
): ConformanceCase {
  return {
    name: `Of a virtual function: ${event}`,
    needs: ["virtual"],
    async run(bench) {
      const bound = await bench.bound("virtual");
      const { bar } = bound.facts;
      const buffer = await bench.export(bound.device, [range(0n, PAGE)], bar);
      assert.equal(await bench.moves(bound.facts.address, () => make(bench, bound)), moves);
      assert.equal(await bench.alive(buffer), alive);
    },
  };
}

const cases: readonly ConformanceCase[] = [
  holds(
    "memory decode off bounces",
    "revoke restore",
    true,
    (bench, { device }) => bench.writeCommand(device, 0),
  ),
  holds(
    "memory decode on restores what is valid",
    "restore",
    true,
    (bench, { device }) => bench.writeCommand(device, MEMORY),
  ),
  holds(
    "VFIO_DEVICE_RESET bounces",
    "revoke restore",
    true,
    (bench, { device }) => bench.lane.resetDevice(device),
  ),
  holds(
    "low power revokes",
    "revoke",
    false,
    (bench, { device }) => bench.lane.enterLowPower(device),
  ),
  holds(
    "a reset by sysfs does nothing to buffers",
    "",
    true,
    (bench, { facts }) => bench.outside.reset(facts.address),
  ),
  holds(
    "the last close revokes, and restores nobody",
    "revoke restore",
    false,
    (bench, { device }) => bench.lane.close(device),
  ),
];

/** Cases of virtual functions. */
export const subject: Subject = { title: "Virtual functions", cases };
