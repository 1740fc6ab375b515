/**
 * What holds whatever call goes wrong: a slice of all single faults, some pairs, and each defect that
 * was found so, by its name. The whole is `deno task test:long`.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Fault } from "./faulty_kernel.ts";
import { tryPairs } from "./pairs.ts";
import { describe, runWith, singleFaults } from "./run.ts";
import { SCENARIOS } from "./scenarios.ts";

/** Every so many-th fault is tried; prime, so that each kind has its turn. */
const SLICE = 149;
const [PAIRS, SEED] = [200, 7];

Deno.test("the stories go well when nothing goes wrong", async () => {
  for (const scenario of SCENARIOS) {
    const { violations, calls } = await runWith(scenario, []);
    assert.deepEqual(violations, [], scenario.name);
    assert.ok(calls.length > 10, scenario.name);
  }
});

Deno.test("the invariants hold over single faults at every call", async () => {
  let turn = 0;
  for (const scenario of SCENARIOS) {
    for (const placed of await singleFaults(scenario)) {
      if (turn++ % SLICE !== 0) continue;
      const { calls, violations } = await runWith(scenario, [placed]);
      assert.deepEqual(violations, [], `${scenario.name}: ${describe(placed, calls)}`);
    }
  }
});

Deno.test("the invariants hold over random pairs of faults", async () => {
  await tryPairs(PAIRS, SEED);
});

const refuse = (
  errno: "EINVAL" | "EIO" | "EMFILE" | "ENOMEM" | "ENOSPC",
  when: "before" | "after",
): Fault => ({
  kind: "refuse",
  errno,
  when,
});
const DIES: Fault = { kind: "die" };
const NO_RIGHT: Fault = { kind: "refuse", errno: "EPERM", when: "before" };
const CLOSE_FAILS: Fault = { kind: "refuse", errno: "EIO", when: "after" };
const EXIT_MEANWHILE: Fault = { kind: "slow", meanwhile: "exit" };

/** What was wrong once: the story, the calls (all of that name), and the fault. */
const FOUND: readonly (readonly [string, string, string, Fault])[] = [
  ["what cannot be watched is not left open", "exec", "watch", refuse("ENOSPC", "before")],
  ["a program that cannot be watched does not go on", "exec", "watch", refuse("ENOMEM", "before")],
  ["one close that is refused keeps none of the others", "exec", "close", refuse("EIO", "after")],
  ["a channel that cannot be made is explained", "exec", "socketPair", refuse("EMFILE", "before")],
  [
    "a buffer that cannot be looked at is explained",
    "exec",
    "dmaBufFacts",
    refuse("EMFILE", "before"),
  ],
  ["a child that cannot be reaped is explained", "exec", "childEnd", refuse("EIO", "before")],
  ["an end does not wait for being told", "release", "send", refuse("ENOMEM", "before")],
  [
    "a reset does not fail for want of telling",
    "function reset, both",
    "send",
    refuse("ENOMEM", "before"),
  ],
  ["a thread that dies keeps no buffer", "exec", "ioasMapFile", DIES],
  ["a thread that dies keeps no group", "group route", "setContainer", DIES],
  ["a thread that dies keeps no copy of an owner's descriptor", "borrowed", "fileTarget", DIES],
  [
    "a copy that cannot be given back leaves no buffer",
    "borrowed",
    "close",
    refuse("EIO", "after"),
  ],
  ["a thread that dies keeps no connection to an owner", "lent", "receive", DIES],
  [
    "an owner that cannot be looked at is not held",
    "borrowed",
    "identifyProcess",
    refuse("EMFILE", "before"),
  ],
  ["an owner that cannot be watched is not held", "borrowed", "watch", refuse("ENOSPC", "before")],
  ["a peer that cannot be watched is not held", "send", "watch", refuse("ENOSPC", "before")],
  [
    "a packet that cannot be looked at leaves nothing",
    "mapping: bargate",
    "pidOf",
    refuse("EMFILE", "before"),
  ],
  [
    "what an importer sent goes when it is looked at too late",
    "mapping: bargate",
    "isIommufd",
    EXIT_MEANWHILE,
  ],
  [
    "a mapping that dies with its thread leaves no iommufd",
    "mapping: bargate, restore",
    "ioasMapFile",
    DIES,
  ],
  ["a device is not opened in a process that others see", "exec", "makeNonDumpable", NO_RIGHT],
  ["a gate that cannot be closed keeps no other", "gate before resets", "close", CLOSE_FAILS],
  ["a group that cannot be closed keeps no container", "container", "close", CLOSE_FAILS],
  ["an operator that is not known is not left", "an operator resets", "peerCredentials", NO_RIGHT],
  ["an operator's socket that cannot be watched", "an operator resets", "watch", NO_RIGHT],
  ["an operator's socket that cannot be closed", "an operator resets", "close", CLOSE_FAILS],
  ["a controller that cannot be given back is told", "ask a controller", "close", CLOSE_FAILS],
  [
    "a device that was looked at and cannot be given back is told",
    "ask a device whether it can export",
    "iommuDestroy",
    NO_RIGHT,
  ],
  [
    "an end that waits for its turn is over before a reset of its domain",
    "bus reset over a domain",
    "readRegion",
    EXIT_MEANWHILE,
  ],
  [
    "a generation that begins after all is over arms nothing",
    "function reset, both",
    "openNode",
    EXIT_MEANWHILE,
  ],
];

for (const [title, story, name, fault] of FOUND) {
  Deno.test(title, async () => {
    const scenario = SCENARIOS.find((each) => each.name === story);
    assert.ok(scenario !== undefined, story);
    const { calls } = await runWith(scenario, []);
    const hits = calls.flatMap((call, at) => call.name === name ? [at] : []);
    assert.ok(hits.length > 0, `${story} makes no ${name}`);
    for (const at of hits) {
      // What cannot wait has no thread to die.
      if (fault.kind !== "refuse" && calls[at]?.lane === undefined) continue;
      const { violations } = await runWith(scenario, [{ at, fault }]);
      assert.deepEqual(violations, [], describe({ at, fault }, calls));
    }
  });
}

/** The same for what took two faults: the second is of a call after the first. */
const FOUND_PAIRS: readonly (readonly [string, string, PairPart, PairPart])[] = [
  [
    "a run is not judged while a slow call follows a slow one",
    "function reset, restore",
    ["close", { kind: "slow", meanwhile: "shutdown" }],
    ["iommuDestroy", { kind: "slow", meanwhile: "removal" }],
  ],
  [
    "a buffer that is being made is not taken for one that has ended",
    "virtual function, renewal by reset",
    ["exportDmaBuf", { kind: "slow", meanwhile: "reset" }],
    ["ioasMapFile", { kind: "slow", meanwhile: "shutdown" }],
  ],
  [
    "a device that is another one and whose close is refused is explained",
    "virtual function, renewal by reset",
    ["regionInfo", refuse("EINVAL", "before")],
    ["close", refuse("EIO", "after")],
  ],
  [
    "a buffer that is not what was asked for and whose close is refused is explained",
    "virtual function, renewal by reset",
    ["dmaBufFacts", refuse("EMFILE", "before")],
    ["close", refuse("EIO", "after")],
  ],
  [
    "a device that cannot be bound and whose close is refused is explained",
    "virtual function, renewal by reset",
    ["bindIommufd", refuse("EINVAL", "before")],
    ["close", refuse("EIO", "after")],
  ],
  [
    "a peer that can neither be held nor told is not left connected",
    "send",
    ["peerPidfd", refuse("EMFILE", "before")],
    ["send", refuse("ENOMEM", "before")],
  ],
];

type PairPart = readonly [string, Fault];

for (const [title, story, [name1, fault1], [name2, fault2]] of FOUND_PAIRS) {
  Deno.test(title, async () => {
    const scenario = SCENARIOS.find((each) => each.name === story);
    assert.ok(scenario !== undefined, story);
    let tried = 0;
    const plain = await runWith(scenario, []);
    for (const at of hitsOf(plain.calls, name1, 0)) {
      const first = { at, fault: fault1 };
      const { calls: after } = await runWith(scenario, [first]);
      for (const second of hitsOf(after, name2, at + 1)) {
        const placed = [first, { at: second, fault: fault2 }];
        const { calls, violations } = await runWith(scenario, placed);
        assert.deepEqual(violations, [], placed.map((each) => describe(each, calls)).join("; "));
        tried++;
      }
    }
    assert.ok(tried > 0, `${story} makes no ${name2} after a ${name1}`);
  });
}

/** Numbers of the calls of that name. */
function hitsOf(calls: readonly { name: string }[], name: string, from: number): number[] {
  return calls.flatMap((call, at) => at >= from && call.name === name ? [at] : []);
}
