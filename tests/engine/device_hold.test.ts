/** Holding a device: which way is taken, and that it counts only when it was seen to work. @module */
import assert from "node:assert/strict";
import { holdKinds } from "../../engine/device_hold.ts";
import { RefusedError } from "../../engine/errors.ts";
import { GroupAccess } from "../../engine/group_access.ts";
import { SharedIommufd } from "../../engine/shared_iommufd.ts";
import { DeviceSession } from "../../engine/session.ts";
import { drive } from "../../sim/memory_lock.ts";
import { SimKernel } from "../../sim/sim_kernel.ts";
import type { SimVfioDevice } from "../../sim/vfio.ts";
import { type GrantSpec, planned, Scene, simFunction, SSD } from "./support.ts";

const PMCSR = 0x44n;
const COMMAND = 4n;
const ALL = ["memory-decode", "d3hot", "low-power"] as const;

/** Config space with power management. */
function withPower(): Uint8Array {
  const config = new Uint8Array(simFunction(SSD).config);
  config[0x06] = 0x10;
  config[0x34] = 0x40;
  config[0x40] = 1;
  return config;
}

function scene(spec: GrantSpec): Scene {
  const { virtual = false } = spec;
  return new Scene([spec], [simFunction(SSD, { virtual, config: withPower() })]);
}

function device(on: Scene): SimVfioDevice {
  const found = on.kernel.devices.get(`/dev/vfio/devices/${SSD}`);
  assert.ok(found !== undefined);
  return found;
}

/** Writes to a register come to nothing. */
function deaf(on: SimVfioDevice, register: bigint): void {
  const write = on.write.bind(on);
  on.write = (region, offset, bytes) =>
    offset === register ? undefined : write(region, offset, bytes);
}

function heldBy(on: Scene): readonly (string | undefined)[] {
  return on.events.filter(({ type }) => type === "device-held").map(({ cause }) => cause?.detail);
}

Deno.test("holdKinds has a memory bit of physical functions only, and D3hot where it is", () => {
  assert.deepEqual(holdKinds(withPower(), false), ALL);
  assert.deepEqual(holdKinds(withPower(), true), ["d3hot", "low-power"]);
  assert.deepEqual(holdKinds(simFunction(SSD).config, true), ["low-power"]);
});

const WAYS: readonly [string, GrantSpec, string][] = [
  ["a physical function", { holds: ALL }, "memory decode off"],
  ["a virtual function", { virtual: true, holds: ["d3hot", "low-power"] }, "D3hot"],
  ["a virtual function without power management", { virtual: true }, "low power"],
];

for (const [what, spec, way] of WAYS) {
  Deno.test(`a reset by "decode" holds ${what} by ${way}`, async () => {
    const revoked = scene({ ...spec, onReset: "revoke" });
    await revoked.start();
    const old = revoked.buffer();
    await revoked.guardian.reset(SSD, "decode", "test");
    assert.ok(old.revoked);
    assert.ok(revoked.story().includes("ended decode-off hold"));
    assert.deepEqual(heldBy(revoked), [way]);
    await revoked.finish();
    const restored = scene({ ...spec, onReset: "restore" });
    await restored.start();
    const { iommufd, ioas, iova } = restored.importBuffer();
    await restored.guardian.reset(SSD, "decode", "test");
    assert.ok(!iommufd.lands(ioas, iova), "it was revoked");
    assert.ok(!restored.buffer().revoked, "and is valid again");
    assert.deepEqual(heldBy(restored), [way]);
    await restored.finish();
  });
}

Deno.test("a reset of a virtual function is held by nothing: its generation ends first", async () => {
  const on = scene({ virtual: true, onReset: "revoke", holds: ["d3hot", "low-power"] });
  await on.start();
  await on.guardian.reset(SSD, "function", "test");
  assert.deepEqual(heldBy(on), []);
  const story = on.story();
  assert.ok(story.indexOf("ended device-reset new-generation") < story.indexOf("device-reset"));
  await on.finish();
});

Deno.test("what does not keep is not what holds", async () => {
  const on = scene({ onReset: "revoke", holds: ALL });
  await on.start();
  deaf(device(on), COMMAND);
  await on.guardian.reset(SSD, "decode", "test");
  assert.deepEqual(heldBy(on), ["D3hot"]);
  await on.finish();
  const neither = scene({ onReset: "revoke", holds: ALL });
  await neither.start();
  deaf(device(neither), COMMAND);
  deaf(device(neither), PMCSR);
  await neither.guardian.reset(SSD, "decode", "test");
  assert.deepEqual(heldBy(neither), ["low power"]);
  await neither.finish();
});

Deno.test("a physical function that keeps no memory bit is not reset, and its grants end", async () => {
  const on = scene({ onReset: "revoke", holds: ALL });
  await on.start();
  const buffer = on.buffer();
  deaf(device(on), COMMAND);
  await assert.rejects(on.guardian.reset(SSD, "function", "test"), /its register does not keep it/);
  assert.ok(buffer.revoked);
  assert.ok(on.story().includes("ended device-reset close"));
  await on.finish();
});

/** Once memory decode is off, so many reads of the command register fail. */
function unreadable(on: Scene, reads: number): void {
  const vfio = device(on);
  const write = vfio.write.bind(vfio);
  let left = reads;
  vfio.write = (region, offset, bytes) => {
    write(region, offset, bytes);
    if (offset !== COMMAND) return;
    for (; left > 0; left--) on.kernel.failNext("pread", "EIO");
  };
}

Deno.test("a hold that cannot be read back is given up before another is tried", async () => {
  const on = scene({ onReset: "restore", holds: ALL });
  await on.start();
  unreadable(on, 1);
  await on.guardian.reset(SSD, "decode", "test");
  assert.deepEqual(heldBy(on), ["D3hot"]);
  assert.equal((device(on).readConfig(COMMAND, 1)[0] ?? 0) & 2, 2, "memory decode is on again");
  assert.ok(!on.buffer().revoked);
  await on.finish();
});

/** Whenever Bargate has switched memory decode, somebody else switches it back, past VFIO. */
function contested(on: Scene, when: "off" | "on"): void {
  const vfio = device(on);
  const write = vfio.write.bind(vfio);
  vfio.write = (region, offset, bytes) => {
    write(region, offset, bytes);
    const isOn = ((bytes[0] ?? 0) & 2) !== 0;
    if (offset === COMMAND && isOn === (when === "on")) vfio.writeCommandOutside(isOn ? 0 : 2);
  };
}

Deno.test("a grant is restored although others switch memory decode on while it is held", async () => {
  const on = scene({ onReset: "restore", holds: ALL });
  await on.start();
  contested(on, "off");
  await on.guardian.reset(SSD, "decode", "test");
  assert.deepEqual(heldBy(on), ["D3hot"], "by what nobody else touches");
  assert.ok(!on.buffer().revoked);
  assert.equal(on.story().at(-1), "restored");
  await on.finish();
});

Deno.test("a grant is restored although others switch memory decode off again, which is told", async () => {
  const on = scene({ onReset: "restore", holds: ALL });
  await on.start();
  contested(on, "on");
  const reset = on.guardian.reset(SSD, "decode", "test");
  await assert.rejects(reset, /its command register does not keep the memory bit/);
  assert.ok(!on.buffer().revoked, "the kernel has validated it");
  assert.equal(on.story().at(-1), "restored");
  await on.finish();
});

Deno.test("a hold that cannot be given up either is told, and no other is tried beside it", async () => {
  const on = scene({ onReset: "revoke", holds: ALL });
  await on.start();
  const buffer = on.buffer();
  unreadable(on, 2);
  await assert.rejects(on.guardian.reset(SSD, "decode", "test"), /and it cannot be given up/);
  assert.deepEqual(heldBy(on), []);
  assert.ok(buffer.revoked);
  assert.ok(on.story().includes("ended decode-off close"));
  await on.finish();
});

Deno.test("a hold that could not be given up is given up by a later look, and told once", async () => {
  const on = scene({ onReset: "restore", mapping: "bargate", holds: ["memory-decode"] });
  await on.start();
  const vfio = device(on);
  const write = vfio.write.bind(vfio);
  vfio.write = (region, offset, bytes) => {
    write(region, offset, bytes);
    if (vfio.enabled) return;
    for (const _ of ["the reset's", "the first look's", "the second's"]) {
      on.kernel.failNext("pwrite", "EIO");
    }
  };
  await assert.rejects(on.guardian.reset(SSD, "decode", "test"), /switch memory decode of .* on/);
  await on.clock.advance(10_000);
  assert.equal(vfio.enabled, false);
  await on.clock.advance(5_000);
  assert.equal(vfio.enabled, true);
  const told = on.events.filter(({ type, cause }) => type === "late" && cause?.source === "hold");
  assert.equal(told.length, 1);
  await on.finish();
});

Deno.test("low power that a kernel does not have holds nothing", async () => {
  const on = scene({ onReset: "restore", virtual: true, holds: ["low-power"] });
  await on.start();
  for (const _ of ["in", "out"]) on.kernel.failNext("VFIO_DEVICE_FEATURE", "ENOTTY");
  await assert.rejects(on.guardian.reset(SSD, "decode", "test"), (error: Error) => {
    return error instanceof RefusedError && !/given up/.test(error.message);
  });
  assert.ok(!on.buffer().revoked);
  await on.finish();
});

Deno.test("a hold during which a buffer can be imported is given up", async () => {
  const on = scene({ onReset: "revoke", virtual: true, holds: ["d3hot"] });
  await on.start();
  const buffer = on.buffer();
  const vfio = device(on);
  const write = vfio.write.bind(vfio);
  vfio.write = (region, offset, bytes) => {
    write(region, offset, bytes);
    if (offset === PMCSR) void drive(buffer.move(false));
  };
  await assert.rejects(
    on.guardian.reset(SSD, "decode", "test"),
    /D3hot: a buffer can be imported all the same/,
  );
  assert.deepEqual(heldBy(on), []);
  assert.equal(vfio.readConfig(PMCSR, 1)[0], 0);
  assert.ok(buffer.revoked, "the generation has ended");
  assert.ok(on.story().includes("ended decode-off close"));
  await on.finish();
});

async function openSession(spec: GrantSpec, iommufd: boolean) {
  const config = withPower();
  const kernel = new SimKernel({
    functions: [simFunction(SSD, { virtual: true, config, group: 7 })],
  });
  if (!iommufd) kernel.failNext("open", "ENOENT");
  const lane = kernel.openLane(SSD);
  const target = { ...planned({ ...spec, virtual: true }).device, node: "/dev/vfio/7" };
  const access = new GroupAccess(kernel, new SharedIommufd(kernel));
  return {
    kernel,
    session: await DeviceSession.open(kernel, lane, access, { ...target, route: "group" }),
  };
}

Deno.test("DeviceSession.hold trusts a register where nobody can probe, and nothing less", async () => {
  const { session } = await openSession({ holds: ["low-power"] }, false);
  const buffer = await session.export("data", 2, [{ offset: 0n, length: 0x1000n }]);
  await assert.rejects(session.hold("now", buffer), /low power: nobody can see whether it does/);
  assert.equal(session.held, undefined);
  const second = await openSession({ holds: ["d3hot"] }, false);
  await second.session.hold("now");
  assert.equal(second.session.held, "d3hot");
});

Deno.test("DeviceSession.hold over a reset is not to be had of what a reset ends", async () => {
  const { session } = await openSession({ holds: ["d3hot", "low-power"] }, true);
  await assert.rejects(session.hold("reset"), /nothing holds it over a reset/);
  await session.hold("now");
  assert.equal(session.held, "d3hot");
  await session.reset();
  assert.equal(session.held, undefined, "the reset has ended it");
});

Deno.test("DeviceSession.unhold validates, and stays held where it cannot", async () => {
  const { session, kernel } = await openSession({ holds: ["d3hot"] }, true);
  const buffer = await session.export("data", 2, [{ offset: 0n, length: 0x1000n }]);
  await session.hold("now", buffer);
  assert.equal(await session.probe(buffer), "revoked");
  kernel.failNext("pwrite", "EIO");
  await assert.rejects(session.unhold(), RefusedError);
  assert.equal(session.held, "d3hot");
  await session.unhold();
  assert.equal(await session.probe(buffer), "live");
});
