/** What follows from what observers see, over a simulated host. @module */
import assert from "node:assert/strict";
import { HostNotReadyError } from "../../engine/errors.ts";
import { BRIDGE, Scene, settle, simFunction, SSD } from "./support.ts";

const OTHER = "0000:02:00.0";
const PF = "0000:01:00.7";

function deviceOf(scene: Scene, address = SSD) {
  const device = scene.kernel.devices.get(`/dev/vfio/devices/${address}`);
  if (device === undefined) throw new RangeError(`no device ${address}`);
  return device;
}

function assertNothingLeft(scene: Scene): void {
  assert.equal(scene.ownFds, 0);
  assert.ok([...scene.kernel.devices.values()].every(({ isOpen }) => !isOpen));
}

const RESETS = [
  { what: "the function", file: "reset", address: SSD },
  { what: "a bridge above", file: "reset_subordinate", address: BRIDGE },
  { what: "a bridge above, by itself", file: "reset", address: BRIDGE },
  { what: "a bridge above, perhaps, by a config write", file: "config", address: BRIDGE },
  { what: "the function, perhaps, by a config write", file: "config", address: SSD },
] as const;

for (const { what, file, address } of RESETS) {
  Deno.test(`a reset past VFIO of ${what} ends a grant with onReset: revoke`, async () => {
    const scene = new Scene([{ onReset: "revoke" }]);
    await scene.start();
    const mapped = scene.importBuffer();
    const buffer = scene.buffer();
    await scene.touch(file, "modify", address);
    assert.ok(buffer.revoked);
    assert.ok(!mapped.iommufd.lands(mapped.ioas, mapped.iova));
    const ended = scene.events.find(({ type }) => type === "ended");
    assert.deepEqual([ended?.reason, ended?.means], ["device-reset", "close"]);
    const cause = scene.events.find(({ type }) => type === "revoking")?.cause;
    assert.deepEqual(cause, {
      source: "sysfs",
      detail: `/sys/bus/pci/devices/${address}/${file} was written to`,
    });
    assert.equal((await scene.finish()).trouble, false);
    assertNothingLeft(scene);
  });

  Deno.test(`a reset past VFIO of ${what} ends nothing with onReset: restore`, async () => {
    const scene = new Scene([{ onReset: "restore" }]);
    await scene.start();
    const mapped = scene.importBuffer();
    await scene.touch(file, "modify", address);
    assert.ok(mapped.iommufd.lands(mapped.ioas, mapped.iova), "the kernel did not revoke");
    assert.ok(scene.story().includes("device-reset"));
    assert.ok(!scene.story().some((line) => line.startsWith("ended")));
    await scene.finish();
    assertNothingLeft(scene);
  });
}

Deno.test("a reset of a bridge hits each device below it, one of a function only its own", async () => {
  const grants = [{}, { name: "other", address: OTHER }];
  const one = new Scene(grants);
  await one.start();
  await one.touch("reset");
  assert.deepEqual(one.guardian.devices, [OTHER]);
  await one.finish();
  const both = new Scene(grants);
  await both.start();
  await both.touch("reset_subordinate", "modify", BRIDGE);
  assert.deepEqual(both.guardian.devices, []);
  await both.finish();
  assertNothingLeft(both);
});

Deno.test("a reset of the physical function hits its virtual function", async () => {
  const scene = new Scene([{ virtual: true, physfn: PF }]);
  await scene.start();
  await scene.touch("reset", "modify", PF);
  assert.deepEqual(scene.guardian.devices, []);
  await scene.finish();
});

Deno.test("a reset past VFIO renews what stays beside a grant that ends", async () => {
  const scene = new Scene([
    { name: "gone", onReset: "revoke" },
    { name: "kept", onReset: "restore", mapping: "bargate" },
  ]);
  await scene.start();
  await scene.touch("reset");
  assert.deepEqual(scene.guardian.devices, [SSD]);
  const ends = scene.events.filter(({ type }) => type === "ended");
  assert.deepEqual(ends.map(({ means }) => means), ["new-generation", "new-generation"]);
  await scene.touch("reset");
  await scene.finish();
  assertNothingLeft(scene);
});

Deno.test("memory decode switched off past VFIO ends as decode-off", async () => {
  const scene = new Scene([{ onReset: "revoke" }]);
  await scene.start();
  const buffer = scene.buffer();
  deviceOf(scene).writeCommandOutside(0);
  await scene.touch("config");
  assert.ok(buffer.revoked);
  assert.ok(scene.story().includes("observed"));
  assert.ok(scene.story().includes("ended decode-off close"));
  await scene.finish();
  assertNothingLeft(scene);
});

Deno.test("memory decode that nobody was seen to switch off is found late, and told once", async () => {
  const scene = new Scene([{ name: "gone", onReset: "revoke" }]);
  await scene.start();
  deviceOf(scene).writeCommandOutside(0);
  await scene.clock.advance(5_000);
  assert.ok(scene.story().includes("ended decode-off close"), scene.story().join("\n"));
  await scene.finish();
  assertNothingLeft(scene);

  const kept = new Scene([{ name: "kept", onReset: "restore" }]);
  await kept.start();
  deviceOf(kept).writeCommandOutside(0);
  await kept.clock.advance(20_000);
  const told = kept.events.filter(({ type }) => type === "observed");
  assert.deepEqual(told.map(({ cause }) => cause?.source), ["command register"]);
  assert.ok(!kept.story().some((line) => line.startsWith("ended")), "it can be switched on again");
  deviceOf(kept).writeCommandOutside(2);
  await kept.clock.advance(5_000);
  deviceOf(kept).writeCommandOutside(0);
  await kept.clock.advance(5_000);
  assert.equal(kept.events.filter(({ type }) => type === "observed").length, 2);
  await kept.finish();
  assertNothingLeft(kept);
});

Deno.test("a virtual function has no memory bit: a config write is taken for a reset", async () => {
  const scene = new Scene([{ onReset: "revoke", virtual: true }]);
  await scene.start();
  await scene.touch("config");
  assert.ok(scene.story().includes("ended device-reset close"));
  await scene.finish();
});

for (const address of [SSD, BRIDGE]) {
  Deno.test(`an open of remove of ${address} ends the grants, whatever their rule says of resets`, async () => {
    const scene = new Scene([{ onReset: "restore" }]);
    await scene.start();
    await scene.touch("remove", "open", address);
    assert.ok(scene.story().includes("ended device-removed close"));
    assert.deepEqual(scene.guardian.devices, []);
    await scene.finish();
    assertNothingLeft(scene);
  });
}

Deno.test("uevents end the grants of a device that goes or fails, and of no other", async () => {
  const values = new Map([["SUBSYSTEM", "pci"], ["PCI_SLOT_NAME", SSD]]);
  const failing = new Map([...values, ["ERROR_EVENT", "BEGIN_RECOVERY"]]);
  for (
    const [event, reason] of [
      [{ action: "unbind", path: "/devices/x", values }, "device-removed"],
      [{ action: "change", path: "/devices/x", values: failing }, "device-error"],
    ] as const
  ) {
    const scene = new Scene([{}, { name: "other", address: OTHER }]);
    await scene.start();
    for (const socket of scene.kernel.uevents) socket.push(event);
    await settle();
    assert.ok(scene.story().includes(`ended ${reason} close`));
    assert.deepEqual(scene.guardian.devices, [OTHER]);
    await scene.finish();
    assertNothingLeft(scene);
  }
});

Deno.test("uevents that were lost are a reason to look at every device", async () => {
  const scene = new Scene([{}]);
  await scene.start();
  deviceOf(scene).write(7, 4n, new Uint8Array([0, 0]));
  for (const socket of scene.kernel.uevents) socket.push("overrun");
  await settle();
  assert.ok(scene.story().includes("ended decode-off close"));
  await scene.finish();
});

Deno.test("file events that were lost may have been a reset", async () => {
  const scene = new Scene([{ onReset: "revoke" }]);
  await scene.start();
  scene.kernel.fileWatches.overrun();
  await settle();
  assert.ok(scene.story().includes("ended device-reset close"));
  await scene.finish();
});

Deno.test("an unbind of some device of the driver ends nothing by itself", async () => {
  const scene = new Scene([{}]);
  await scene.start();
  await scene.touch("driver/unbind", "open");
  assert.ok(scene.story().includes("observed"));
  assert.deepEqual(scene.guardian.devices, [SSD]);
  await scene.finish();
});

Deno.test("Bargate's own resets are not taken for others'", async () => {
  const scene = new Scene([{ onReset: "restore" }]);
  await scene.start();
  await scene.guardian.reset(SSD, "function", "test");
  await scene.guardian.reset(SSD, "decode", "test");
  const resets = scene.events.filter(({ type }) => type === "device-reset" || type === "observed");
  assert.deepEqual(resets.map(({ cause }) => cause?.source), ["operator"]);
  await scene.finish();
});

Deno.test("with gateResets who opens reset waits until the grants have ended", async () => {
  const scene = new Scene([{ onReset: "revoke" }], undefined, { gateResets: true });
  await scene.start();
  const buffer = scene.buffer();
  const goOn = scene.kernel.stall("close");
  const gate = scene.kernel.gates.get(`/sys/bus/pci/devices/${SSD}/reset`);
  let passed = false;
  void gate?.open(77).then(() => passed = true);
  await settle();
  assert.equal(passed, false);
  goOn();
  await settle();
  assert.ok(passed && buffer.revoked);
  assert.ok(scene.story().includes("ended device-reset close"));
  assert.equal((await scene.finish()).trouble, false);
  assertNothingLeft(scene);
});

Deno.test("with gateResets a stuck end lets the reset pass late, which counts", async () => {
  const scene = new Scene([{ onReset: "revoke" }], undefined, { gateResets: true });
  await scene.start();
  const goOn = scene.kernel.stall("close");
  let passed = false;
  const gate = scene.kernel.gates.get(`/sys/bus/pci/devices/${SSD}/reset`);
  void gate?.open(77).then(() => passed = true);
  await scene.clock.advance(5_100);
  assert.ok(passed);
  assert.ok(
    scene.events.some(({ type, cause }) => type === "late" && cause?.source === "reset-gate"),
  );
  goOn();
  assert.equal((await scene.finish()).trouble, true);
  assertNothingLeft(scene);
});

Deno.test("what cannot be watched is told, unless it was asked for: then nothing is exported", async () => {
  const fewer = new Scene([{}]);
  fewer.kernel.failNext("socket(AF_NETLINK)", "EPERM");
  fewer.kernel.failNext("inotify_add_watch", "EACCES");
  await fewer.start();
  const untold = fewer.events.filter(({ type }) => type === "unobserved");
  assert.deepEqual(untold.map(({ device, cause }) => [device, cause?.source]), [
    [undefined, "uevents"],
    [SSD, "sysfs"],
  ]);
  await fewer.finish();
  assertNothingLeft(fewer);
  for (
    const [choice, call] of [
      [{ gateResets: true }, "fanotify_init"],
      [{ traceRevokes: true }, "open"],
    ] as const
  ) {
    const scene = new Scene([{}], undefined, choice);
    scene.kernel.failNext(call, "EPERM");
    await assert.rejects(scene.guardian.open(), HostNotReadyError);
    assertNothingLeft(scene);
  }
});

Deno.test("with traceRevokes a revoke by others is found at once", async () => {
  const scene = new Scene([{}], [simFunction(SSD)], { traceRevokes: true });
  await scene.start();
  deviceOf(scene).write(7, 4n, new Uint8Array([0, 0]));
  for (const trace of scene.kernel.revokeTraces) {
    trace.push({ device: SSD, revoked: true, pid: 7, task: "other" });
  }
  await settle();
  assert.ok(scene.story().includes("ended decode-off close"));
  await scene.finish();
  assertNothingLeft(scene);
});

Deno.test("a device on which something takes long is looked at once after it, not once for each time", async () => {
  const scene = new Scene([{}]);
  await scene.start();
  const goOn = scene.kernel.stall("IOMMU_IOAS_MAP_FILE");
  await scene.clock.advance(60_000);
  const probes: string[] = [];
  const check = scene.kernel.check.bind(scene.kernel);
  scene.kernel.check = (call, subject) => {
    if (call === "IOMMU_IOAS_MAP_FILE") probes.push(subject);
    check(call, subject);
  };
  goOn();
  await settle();
  assert.equal(probes.length, 2, "the one that waited for the kernel, and one more");
  await scene.finish();
  assertNothingLeft(scene);
});

Deno.test("a sysfs that is perhaps not the host's is told of, and nothing where there is but one", async () => {
  const told = async (link: string | undefined) => {
    const scene = new Scene([{}]);
    if (link !== undefined) scene.files.tree["/proc/self/ns/net"] = `->${link}`;
    await scene.start();
    await scene.finish();
    return scene.events.filter(({ type }) => type === "unobserved").map(({ cause }) => cause);
  };
  assert.deepEqual(await told(undefined), []);
  assert.deepEqual(await told("net:[4026531833]"), []);
  const [cause, ...more] = await told("net:[4026532101]");
  assert.equal(cause?.source, "sysfs");
  assert.match(cause?.detail ?? "", /network namespace of its own \(net:\[4026532101\]\)/);
  assert.deepEqual(more, []);
});
