import assert from "node:assert/strict";
import type { Event, EventType } from "../../engine/event.ts";
import type { Told } from "../../lab/causes/life.ts";
import { type Deed, judge, overdue, type Setting } from "../../lab/causes/oracle.ts";
import { type ExportSpec, scenarioOf } from "../../lab/causes/scenario.ts";
import { Violations } from "../../lab/causes/violations.ts";

const DEVICE = "0000:01:00.0";
const SPEC: ExportSpec = {
  name: "nvme-0",
  device: "nvme",
  offset: 0x10000,
  onReset: "revoke",
  graceMs: 1,
};

type Step = readonly [EventType, Partial<Event>?];

/** One event a millisecond. */
function told(...steps: readonly Step[]): readonly Told[] {
  return steps.map(([type, more], index): Told => {
    const of = /^device|^importer/.test(type) ? {} : { grant: "g", export: "causes/nvme-0" };
    const event: Event = {
      v: 1,
      seq: index + 1,
      time: "",
      type,
      policy: "",
      device: DEVICE,
      ...of,
      ...more,
    };
    return { event, at: index };
  });
}

function wrong(steps: readonly Step[], setting: Partial<Setting> = {}): readonly string[] {
  const violations = new Violations();
  judge(told(...steps), { exports: [SPEC], deeds: [], ...setting }, violations);
  return violations.found;
}

const reset: Deed = { kind: "sysfs-reset", device: DEVICE, begunAt: 2.5, doneAt: 3, done: true };
const BEGIN: readonly Step[] = [["device-opened"], ["planned"], ["exported"]];
const REVOKING: Step = ["revoking", { reason: "device-reset" }];
const ENDED: Step = ["ended", { reason: "device-reset", means: "close" }];

Deno.test("judge() finds nothing wrong with a grant that a reset ends", () => {
  const steps: Step[] = [...BEGIN, ["delivered"], REVOKING, ["device-closed"], ENDED];
  assert.deepEqual(wrong(steps, { deeds: [reset] }), []);
});

Deno.test("judge() takes a program's end for what ends its grants, once it is told", () => {
  const gone: Step[] = [
    ["revoking", { reason: "importer-gone" }],
    ["device-closed"],
    ["ended", { reason: "importer-gone", means: "close" }],
  ];
  const over = { cause: { source: "pidfd", detail: "exit status 0" } };
  assert.deepEqual(wrong([...BEGIN, ["importer-ended", over], ...gone]), []);
  assert.match(wrong([...BEGIN, ...gone, ["importer-ended", over]]).join(), /nobody gave a reason/);
});

/** A renewal for which there was no device any more. */
const NOT_RENEWED: readonly Step[] = [
  ...BEGIN,
  ["revoking", { reason: "device-reset" }],
  ["device-closed"],
  ["ended", { reason: "device-reset", means: "new-generation" }],
  ["planned", { grant: "h" }],
  ["ended", { grant: "h", reason: "device-removed", cause: { source: "renewal" } }],
];

Deno.test("judge() finds nothing wrong with a renewal that a removal has outrun", () => {
  const removal: Deed = { ...reset, kind: "remove" };
  assert.deepEqual(wrong(NOT_RENEWED, { deeds: [reset, removal] }), []);
});

const WRONG: readonly (readonly [string, readonly Step[], Partial<Setting>, RegExp])[] = [
  ["no end", [...BEGIN, ["device-closed"]], {}, /went its own way/],
  [
    "two ends",
    [...BEGIN, REVOKING, ENDED, ENDED, ["device-closed"]],
    { deeds: [reset] },
    /own way/,
  ],
  [
    "an end that was not seen",
    [...BEGIN, REVOKING, ["ended", { reason: "failed" }], [
      "device-closed",
    ]],
    { deeds: [reset] },
    /own way/,
  ],
  ["no cause", [...BEGIN, REVOKING, ENDED, ["device-closed"]], {}, /nobody gave a reason/],
  [
    "a cause of another device",
    [...BEGIN, REVOKING, ENDED, ["device-closed"]],
    { deeds: [{ ...reset, device: "0000:02:00.0" }] },
    /nobody gave a reason/,
  ],
  [
    "the end of what is to be restored",
    [...BEGIN, REVOKING, ENDED, ["device-closed"]],
    { deeds: [reset], exports: [{ ...SPEC, onReset: "restore" }] },
    /although it is to be restored/,
  ],
  [
    "an end before its time",
    [...BEGIN, ["revoking", { reason: "expired" }], [
      "ended",
      { reason: "expired", means: "close" },
    ], ["device-closed"]],
    { exports: [{ ...SPEC, expiresMs: 300 }] },
    /before its time/,
  ],
  [
    "a device that stays open",
    [...BEGIN, REVOKING, ENDED],
    { deeds: [reset] },
    /opened and closed/,
  ],
  [
    "a renewal for which nobody has taken the device",
    NOT_RENEWED,
    { deeds: [reset] },
    /gave a reason/,
  ],
  ["something late", [["late", { cause: { source: "watchdog", detail: "x" } }]], {}, /late: x/],
];

for (const [what, steps, setting, message] of WRONG) {
  Deno.test(`judge() finds ${what}`, () => {
    const found = wrong(steps, setting);
    assert.ok(found.some((each) => message.test(each)), found.join("; "));
  });
}

Deno.test("overdue() names what stands although it was reset", () => {
  const setting = { exports: [SPEC], deeds: [reset] };
  assert.match(overdue(told(...BEGIN), setting).join(), /nvme-0 \(g\) after sysfs-reset/);
  assert.deepEqual(overdue(told(...BEGIN, REVOKING, ENDED), setting), []);
  const restored = { ...setting, exports: [{ ...SPEC, onReset: "restore" }] } as const;
  assert.deepEqual(overdue(told(...BEGIN), restored), []);
});

Deno.test("scenarioOf() gives the same round for the same seed, and another one for another", () => {
  assert.deepEqual(scenarioOf(7), scenarioOf(7));
  assert.notDeepEqual(scenarioOf(7).causes, scenarioOf(8).causes);
  for (let seed = 1; seed <= 200; seed++) assert.equal(scenarioOf(seed).causes.length, 20);
});
