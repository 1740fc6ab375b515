/**
 * A controller's memory buffer over the life of a device: at the open, in new generations, and after
 * resets by whomever. Of a real controller a reset takes CMBMSC back; the simulation keeps it, as QEMU
 * does, and so the tests take it away.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { PlannedMemory } from "../../engine/planned_memory.ts";
import type { ControllerMemory } from "../../host/snapshot.ts";
import { type GrantSpec, Scene, settle, simFunction, SSD } from "./support.ts";

const BAR = 0xfc00_0000n;
const PLACE = { bar: 2, offset: 0n, size: 0x100_0000n } as const;
const ENABLED: PlannedMemory = { state: "enabled", ...PLACE, mayEnable: false, base: BAR };
const TO_ENABLE: PlannedMemory = { ...ENABLED, state: "disabled", mayEnable: true };

function scene(
  memory: PlannedMemory,
  says: ControllerMemory = { state: memory.state, ...PLACE },
  specs: readonly GrantSpec[] = [{ onReset: "restore" }],
): Scene {
  const made = simFunction(SSD, { memories: { controllerMemory: says } });
  const view = new DataView(made.config.buffer);
  view.setUint32(0x18, Number(BAR) | 0xc, true);
  return new Scene(specs.map((spec) => ({ memory, ...spec })), [made]);
}

function registers({ kernel }: Scene) {
  const found = kernel.functionAt(SSD).registers;
  assert.ok(found !== undefined);
  return found;
}

function times(of: Scene, type: string): number {
  return of.events.filter((event) => event.type === type).length;
}

Deno.test("a buffer that is where it was planned is exported, and nothing is written", async () => {
  const made = scene(ENABLED);
  await made.start();
  assert.equal(times(made, "exported"), 1);
  assert.equal(times(made, "memory-enabled"), 0);
  assert.equal(registers(made).control, 3);
  assert.equal((await made.finish()).trouble, false);
});

Deno.test("a buffer that was planned to be enabled is, before anything is exported", async () => {
  const made = scene(TO_ENABLE);
  await made.start();
  const types = made.events.map(({ type }) => type);
  assert.deepEqual(types.slice(0, 4), ["device-opened", "memory-enabled", "planned", "exported"]);
  assert.equal(registers(made).control, Number(BAR) + 3);
  const cause = made.events.find(({ type }) => type === "memory-enabled")?.cause;
  assert.match(cause?.detail ?? "", /enableCmb: CMBMSC was written .*base 0xfc000000/);
  assert.equal((await made.finish()).trouble, false);
  assert.equal(registers(made).control, Number(BAR) + 3, "left to the reset at the close");
});

Deno.test("a buffer that is not at its BAR's start is enabled at its own address", async () => {
  const inside = { offset: 0x10_0000n, size: 0x10_0000n };
  const base = BAR + inside.offset;
  const made = scene({ ...TO_ENABLE, ...inside, base }, {
    state: "disabled",
    ...PLACE,
    ...inside,
  });
  await made.start();
  assert.equal(registers(made).control, Number(base) + 3);
  assert.equal(times(made, "memory-enabled"), 1);
  assert.equal((await made.finish()).trouble, false);
});

Deno.test("a buffer whose address the controller does not accept is not exported", async () => {
  const made = scene(TO_ENABLE);
  registers(made).refuseBase();
  await assert.rejects(made.guardian.open(), {
    name: "RefusedError",
    message: /does not accept the address 0xfc000000 \(CMBSTS\.CBAI\)/,
  });
  assert.equal(times(made, "exported"), 0);
  assert.equal(made.ownFds, 0);
});

const DRIFTS: readonly (readonly [what: string, PlannedMemory, ControllerMemory, why: RegExp])[] = [
  ["not enabled any more", ENABLED, { state: "disabled", ...PLACE }, /enableCmb: true/],
  ["enabled by somebody else", TO_ENABLE, { state: "enabled", ...PLACE }, /is enabled, BAR 2/],
  [
    "elsewhere",
    ENABLED,
    { state: "enabled", ...PLACE, offset: 0x1000n },
    /\[0x1000, \+0x1000000\)/,
  ],
  ["larger", ENABLED, { state: "enabled", ...PLACE, size: 0x200_0000n }, /\+0x2000000\)/],
  ["in another BAR", ENABLED, { state: "enabled", ...PLACE, bar: 4 }, /BAR 4/],
  ["not there", ENABLED, { state: "none" }, /is not there/],
  ["elsewhere once it is enabled", TO_ENABLE, { state: "disabled", ...PLACE, bar: 4 }, /BAR 4/],
  ["shown by nobody", TO_ENABLE, { state: "disabled" }, /is not enabled/],
  [
    "at another address",
    { ...TO_ENABLE, base: BAR * 2n },
    { state: "disabled", ...PLACE },
    /on the bus/,
  ],
];

for (const [what, memory, says, why] of DRIFTS) {
  Deno.test(`a buffer that is ${what} when it is open is not exported`, async () => {
    const made = scene(memory, says);
    await assert.rejects(made.guardian.open(), { name: "HostNotReadyError", message: why });
    assert.equal(times(made, "exported"), 0);
    assert.equal(made.ownFds, 0, "nothing is left open");
  });
}

Deno.test("slices beside a buffer are its device's: they are not exported either", async () => {
  const made = scene(ENABLED, { state: "disabled", ...PLACE }, [{ name: "other" }]);
  await assert.rejects(made.guardian.open(), { name: "HostNotReadyError" });
  assert.equal(made.ownFds, 0);
});

Deno.test("a reset that takes the enabling back is followed by another", async () => {
  const made = scene(TO_ENABLE);
  await made.start();
  registers(made).control = 0;
  await made.guardian.reset(SSD, "function", "test");
  assert.deepEqual([times(made, "memory-enabled"), times(made, "ended")], [2, 0]);
  assert.equal(registers(made).control, Number(BAR) + 3);
  assert.equal(times(made, "restored"), 1);
  assert.equal((await made.finish()).trouble, false);
});

Deno.test("what nobody may enable again ends with the reset that takes it back", async () => {
  const made = scene(ENABLED);
  await made.start();
  registers(made).control = 0;
  const outcome = await made.guardian.reset(SSD, "function", "test");
  assert.deepEqual([outcome?.ended, outcome?.restored], [1, 0]);
  const end = made.events.find(({ type }) => type === "ended");
  assert.equal(end?.reason, "device-reset");
  const begun = made.events.find(({ type }) => type === "revoking");
  assert.equal(begun?.cause?.source, "registers");
  assert.equal(made.buffer().revoked, true);
  assert.equal((await made.finish()).trouble, false);
});

Deno.test("a controller that is held is not asked: what is kept comes back after it", async () => {
  const made = two(TO_ENABLE);
  await made.start();
  const outcome = await made.guardian.reset(SSD, "function", "test");
  assert.equal(times(made, "device-held"), 1);
  assert.deepEqual([outcome?.ended, outcome?.restored], [1, 1]);
  const ends = made.events.filter(({ type }) => type === "ended").map(({ export: of }) => of);
  assert.deepEqual(ends.toSorted(), ["demo/gone", "demo/kept"]);
  const revoking = made.events.find((event) =>
    event.type === "revoking" && event.export === "demo/kept"
  );
  assert.equal(revoking?.cause?.source, "collateral", "and not by its registers");
  await made.finish();
});

Deno.test("a controller that decodes nothing is not asked", async () => {
  const made = scene(ENABLED);
  await made.start();
  registers(made).silence(true);
  made.kernel.functionAt(SSD).writeCommandOutside(0);
  await made.clock.advance(20_000);
  assert.equal(times(made, "observed"), 1);
  assert.equal(times(made, "revoking"), 0);
  registers(made).silence(false);
  made.kernel.functionAt(SSD).writeCommandOutside(2);
  await made.finish();
});

Deno.test("a reset that others make past VFIO is followed too", async () => {
  const made = scene(TO_ENABLE);
  await made.start();
  registers(made).control = 0;
  await made.touch("reset");
  assert.deepEqual([times(made, "memory-enabled"), times(made, "ended")], [2, 0]);
  registers(made).control = 0;
  await made.clock.advance(10_000);
  assert.equal(times(made, "memory-enabled"), 3, "and one that nobody saw is found late");
  await made.finish();
});

Deno.test("a controller that is being reset says nothing that counts", async () => {
  const made = scene(ENABLED);
  await made.start();
  made.kernel.functionAt(SSD).registers?.silence(true);
  await made.touch("reset");
  await made.clock.advance(1_000);
  assert.equal(times(made, "revoking"), 0);
  made.kernel.functionAt(SSD).registers?.silence(false);
  await made.clock.advance(1_000);
  assert.equal(times(made, "revoking"), 0);
  made.kernel.functionAt(SSD).registers?.silence(true);
  await made.touch("reset");
  await made.clock.advance(4_000);
  assert.equal(times(made, "ended"), 1, "unless it goes on");
  await made.finish();
});

/** One grant of the buffer, and one that is not. */
function withDoorbells(memory: PlannedMemory, onReset: "restore" | "revoke" = "restore"): Scene {
  return scene(memory, undefined, [
    { name: "gone", onReset },
    { name: "doorbells", doorbells: true, onReset },
  ]);
}

Deno.test("an immediate end does not wait for a controller that says nothing", async () => {
  const made = withDoorbells(ENABLED);
  await made.start();
  registers(made).silence(true);
  await made.clock.advance(5_000);
  await made.touch("remove", "open");
  assert.deepEqual([times(made, "revoking"), times(made, "ended")], [2, 2]);
  await made.finish();
});

Deno.test("a controller that goes on to say nothing has lost its buffer, and nothing else", async () => {
  const made = withDoorbells(ENABLED);
  await made.start();
  registers(made).silence(true);
  await made.touch("reset");
  await made.clock.advance(1_500);
  assert.equal(times(made, "revoking"), 0);
  await made.clock.advance(1_000);
  const ends = made.events.filter(({ type }) => type === "ended")
    .map(({ export: of, reason, cause }) => [of, reason, cause?.source]);
  assert.deepEqual(ends[0]?.slice(0, 2), ["demo/gone", "device-reset"]);
  const again = made.events.filter((event) => event.type === "exported" && event.generation === 2);
  assert.deepEqual(again.map((event) => event.export), ["demo/doorbells"]);
  await made.finish();
  assert.equal(made.ownFds, 0);
});

Deno.test("a grant outside a buffer that is lost is made again", async () => {
  const made = scene(ENABLED, undefined, [
    { name: "gone", onReset: "revoke" },
    { name: "kept", onReset: "restore" },
    { name: "doorbells", doorbells: true, onReset: "restore" },
  ]);
  await made.start();
  await release(made);
  const of = (type: string) =>
    made.events.filter((event) => event.type === type && event.generation === 2);
  assert.deepEqual(of("exported").map((event) => event.export), ["demo/doorbells"]);
  assert.deepEqual(of("ended").map((event) => [event.export, event.reason]), [
    ["demo/kept", "device-reset"],
  ]);
  assert.match(of("ended")[0]?.cause?.detail ?? "", /is not enabled/);
  await made.finish();
});

Deno.test("nothing is written for a buffer of which nothing is granted any more", async () => {
  const made = withDoorbells(TO_ENABLE);
  await made.start();
  await release(made);
  assert.equal(times(made, "memory-enabled"), 1, "nor in a new generation");
  registers(made).control = 0;
  await made.touch("reset");
  await made.guardian.reset(SSD, "function", "test");
  await made.clock.advance(10_000);
  assert.equal(times(made, "memory-enabled"), 1);
  assert.equal(registers(made).control, 0);
  assert.equal(times(made, "exported"), 3, "the other goes on");
  await made.finish();
});

Deno.test("what is made again after a reset that nothing is held over finds the buffer", async () => {
  const made = scene(TO_ENABLE, undefined, [
    { name: "gone", onReset: "revoke", holds: [] },
    { name: "kept", onReset: "restore", holds: [] },
  ]);
  await made.start();
  const { kernel } = made;
  const device = kernel.functionAt(SSD);
  const reset = device.reset.bind(device);
  device.reset = () => {
    reset();
    registers(made).control = 0;
  };
  const outcome = await made.guardian.reset(SSD, "function", "test");
  assert.deepEqual([outcome?.ended, outcome?.restored], [1, 1]);
  const types = made.events.filter(({ generation }) => generation === 2).map(({ type }) => type);
  assert.deepEqual(types.slice(0, 5), [
    "device-opened",
    "device-reset",
    "memory-enabled",
    "planned",
    "exported",
  ]);
  await made.finish();
});

/** The end of one grant makes a new generation for the other. */
function two(memory: PlannedMemory): Scene {
  return scene(memory, undefined, [
    { name: "gone", onReset: "revoke" },
    { name: "kept", onReset: "restore" },
  ]);
}

async function release(of: Scene): Promise<void> {
  const { grant } = of.events.find((event) => event.export === "demo/gone") ?? {};
  const reopened = of.kernel.stall("openNode");
  await of.send({ type: "release", grant });
  await of.clock.advance(3_000);
  // The reset at the close and at the open.
  registers(of).control = 0;
  reopened();
  await of.clock.advance(3_000);
}

Deno.test("each generation enables the buffer anew", async () => {
  const made = two(TO_ENABLE);
  await made.start();
  await release(made);
  const types = made.events.filter(({ generation }) => generation === 2).map(({ type }) => type);
  assert.deepEqual(types.slice(0, 4), ["device-opened", "memory-enabled", "planned", "exported"]);
  await made.finish();
});

Deno.test("a generation without the buffer exports nothing of it", async () => {
  const made = two(ENABLED);
  await made.start();
  await release(made);
  const ends = made.events.filter(({ type }) => type === "ended")
    .map(({ export: of, reason }) => [of, reason]);
  assert.deepEqual(ends.at(-1), ["demo/kept", "device-reset"]);
  assert.equal(times(made, "exported"), 2);
  await made.finish();
  await settle();
  assert.equal(made.ownFds, 0);
});
