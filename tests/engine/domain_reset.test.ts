/** Resets of devices that are reset together, over a simulated host. @module */
import assert from "node:assert/strict";
import { RefusedError } from "../../engine/errors.ts";
import { DomainError } from "../../engine/reset_outcome.ts";
import type { SimFunction } from "../../sim/vfio.ts";
import { countsOf, type GrantSpec, Scene, settle, simFunction, SSD } from "./support.ts";

/** Functions of one device. */
const [ONE, TWO] = [SSD, "0000:01:00.1"] as const;
const PORT = "0000:00:01.0";
/** On another bus. */
const ELSEWHERE = "0000:02:00.0";
const DOMAIN = [ONE, TWO];

const beside = (spec: GrantSpec = {}): GrantSpec => ({ name: "beside", address: TWO, ...spec });
const elsewhere: GrantSpec = { name: "elsewhere", address: ELSEWHERE };

function functions(
  groups: readonly [number, number] = [1, 1],
  domain: readonly string[] = DOMAIN,
  more: Partial<SimFunction> = {},
): readonly SimFunction[] {
  return [
    simFunction(ONE, { group: groups[0], hotResetDomain: domain }),
    simFunction(TWO, { group: groups[1], hotResetDomain: domain, ...more }),
    simFunction(ELSEWHERE, { group: 2, hotResetDomain: [ELSEWHERE] }),
  ];
}

function assertNothingLeft(scene: Scene): void {
  assert.equal(scene.ownFds, 0);
  assert.ok([...scene.kernel.devices.values()].every(({ isOpen }) => !isOpen));
}

/** Why grants ended, by export; absent: it did not. */
function reasons(scene: Scene): Record<string, string | undefined> {
  const ended = scene.events.filter(({ type }) => type === "ended");
  return Object.fromEntries(ended.map((event) => [event.export ?? "", event.reason]));
}

for (const groups of [[1, 1], [1, 3]] as const) {
  Deno.test(`a bus reset ends the grants of both functions, of groups ${groups}, and no other`, async () => {
    const scene = new Scene([{}, beside(), elsewhere], functions(groups));
    await scene.start();
    const maps = ["data", "beside"].map((name) => scene.importBuffer(name));
    const buffers = ["data", "beside"].map((name) => scene.buffer(name));
    const far = scene.importBuffer("elsewhere");
    const outcome = await scene.guardian.reset(ONE, "bus", "test", true);
    const fate = (name: string) => [{
      export: `demo/${name}`,
      importer: "demo/engine",
      became: "ended" as const,
    }];
    assert.deepEqual(outcome, {
      ended: 2,
      failed: 0,
      restored: 0,
      devices: [{ device: ONE, grants: fate("data") }, { device: TWO, grants: fate("beside") }],
    });
    assert.deepEqual(reasons(scene), {
      "demo/data": "device-reset",
      "demo/beside": "device-reset",
    });
    const means = scene.events.filter(({ type }) => type === "ended").map((event) => event.means);
    assert.deepEqual(means, ["hold", "hold"]);
    assert.ok(buffers.every(({ revoked }) => revoked));
    assert.ok(maps.every(({ iommufd, ioas, iova }) => !iommufd.lands(ioas, iova)));
    assert.ok(far.iommufd.lands(far.ioas, far.iova));
    const told = scene.events.filter(({ type }) => type === "device-reset");
    assert.deepEqual(told.map(({ device, cause }) => [device, cause]), [
      [TWO, { source: "operator", detail: `bus reset of ${ONE}, test` }],
      [ONE, { source: "operator", detail: "test" }],
    ]);
    assert.equal((await scene.finish()).trouble, false);
    assertNothingLeft(scene);
  });
}

Deno.test("a bus reset that is not told of the domain does nothing, and says what it would hit", async () => {
  const scene = new Scene([{}, beside(), beside({ name: "more" }), elsewhere], functions());
  await scene.start();
  const map = scene.importBuffer();
  const hits = ["beside", "more"].map((name) => ({
    export: `demo/${name}`,
    importer: "demo/engine",
    device: TWO,
    through: PORT,
  }));
  assert.deepEqual(await scene.guardian.reach(ONE, "bus"), {
    functions: [{ address: TWO, through: PORT }],
    hits,
  });
  const before = scene.events.length;
  await assert.rejects(scene.guardian.reset(ONE, "bus", "test"), (error) => {
    assert.ok(error instanceof DomainError);
    assert.deepEqual(error.hits, hits);
    return true;
  });
  assert.equal(scene.events.length, before);
  assert.ok(map.iommufd.lands(map.ioas, map.iova));
  assert.deepEqual((await scene.guardian.reach(ONE, "function"))?.hits, []);
  assert.deepEqual((await scene.guardian.reach(ELSEWHERE, "bus"))?.functions, []);
  await scene.finish();
  assertNothingLeft(scene);
});

Deno.test("a bus reset restores what is to be restored, whichever function it is made through", async () => {
  for (const target of DOMAIN) {
    const scene = new Scene([{}, beside({ onReset: "restore" })], functions());
    await scene.start();
    const map = scene.importBuffer("beside");
    const outcome = await scene.guardian.reset(target, "bus", "test", true);
    assert.deepEqual(countsOf(outcome), { ended: 1, failed: 0, restored: 1 });
    assert.deepEqual(reasons(scene), { "demo/data": "device-reset" });
    const told = scene.packets().map(({ type }) => type);
    assert.deepEqual(told.slice(-3).sort(), ["restored", "revoked", "suspended"]);
    assert.ok(!scene.buffer("beside").revoked);
    assert.ok(!map.iommufd.lands(map.ioas, map.iova), "the bounce has emptied it");
    assert.deepEqual(scene.guardian.devices, [TWO]);
    await scene.finish();
    assertNothingLeft(scene);
  }
});

Deno.test("a bus reset maps again what Bargate had mapped", async () => {
  const scene = new Scene(
    [{}, beside({ onReset: "restore", mapping: "bargate" })],
    functions(),
  );
  await scene.start();
  const { iommufd, ioas } = scene.kernelIommufd();
  const number = scene.kernel.table.install(iommufd);
  (scene.child.fds as Map<string, number>).set("iommufd", number);
  await scene.send({ type: "request", export: "beside", ioas }, [number]);
  const granted = scene.packets().find(({ type, iova }) => type === "granted" && iova);
  await scene.guardian.reset(ONE, "bus", "test", true);
  assert.ok(iommufd.lands(ioas, BigInt(String(granted?.["iova"]))));
  await scene.finish();
  assertNothingLeft(scene);
});

Deno.test("a neighbour without a memory bit is renewed around a bus reset", async () => {
  const virtual = functions([1, 1], DOMAIN, { virtual: true });
  const grants = [
    {},
    beside({ virtual: true }),
    beside({ name: "kept", onReset: "restore", virtual: true }),
  ];
  const scene = new Scene(grants, virtual);
  await scene.start();
  const old = scene.buffer("beside");
  const outcome = await scene.guardian.reset(ONE, "bus", "test", true);
  assert.deepEqual(countsOf(outcome), { ended: 2, failed: 0, restored: 1 });
  assert.ok(old.revoked);
  assert.equal(reasons(scene)["demo/beside"], "device-reset");
  await scene.finish();
  assertNothingLeft(scene);
});

Deno.test("a bus reset is refused before anything ends where a neighbour is not ours", async () => {
  const native = "0000:01:00.2";
  const scene = new Scene([{}], functions([1, 3], [...DOMAIN, native]));
  await scene.start();
  await assert.rejects(
    scene.guardian.reset(ONE, "bus", "test", true),
    (error: Error) => error instanceof RefusedError && error.message.includes(`${TWO}, ${native}`),
  );
  assert.deepEqual(reasons(scene), {});
  await scene.finish();
});

Deno.test("a neighbour that nobody has open, but of the same group, is no obstacle", async () => {
  const scene = new Scene([{}], functions());
  await scene.start();
  assert.deepEqual(countsOf(await scene.guardian.reset(ONE, "bus", "test")), {
    ended: 1,
    failed: 0,
    restored: 0,
  });
  await scene.finish();
  assertNothingLeft(scene);
});

Deno.test("a device without slot and bus reset says so", async () => {
  const scene = new Scene([{}]);
  await scene.start();
  await assert.rejects(
    scene.guardian.reset(ONE, "bus", "test"),
    /neither its slot nor its bus can be reset \(ENODEV\)/,
  );
  assert.deepEqual(reasons(scene), {});
  await scene.finish();
});

Deno.test("a hot reset that is refused leaves what has ended ended, and the rest as it was", async () => {
  const scene = new Scene([{}, beside({ onReset: "restore" })], functions());
  await scene.start();
  scene.kernel.failNext("VFIO_DEVICE_PCI_HOT_RESET", "EBUSY");
  await assert.rejects(scene.guardian.reset(ONE, "bus", "test", true), /in use at this moment/);
  assert.deepEqual(reasons(scene), { "demo/data": "device-reset" });
  assert.ok(scene.story().includes("restored"));
  assert.ok(!scene.story().includes("device-reset"), "none was made");
  assert.equal((await scene.finish()).trouble, false);
  assertNothingLeft(scene);
});

Deno.test("resets of one domain from both sides wait for each other, and not for ever", async () => {
  const keep = { onReset: "restore" } as const;
  const scene = new Scene([keep, beside(keep)], functions());
  await scene.start();
  const goOn = scene.kernel.stall("VFIO_DEVICE_PCI_HOT_RESET");
  const both = Promise.all(
    [ONE, TWO, ONE].map((target) => scene.guardian.reset(target, "bus", "test", true)),
  );
  await settle();
  goOn();
  for (const outcome of await both) assert.equal(outcome?.restored, 2);
  await scene.finish();
  assertNothingLeft(scene);
});

Deno.test("by the group route the kernel is shown the groups of the domain, and no more", async () => {
  for (const groups of [[1, 1], [1, 3]] as const) {
    const scene = new Scene([{}, beside(), elsewhere], functions(groups), {}, "group");
    await scene.start();
    const outcome = await scene.guardian.reset(ONE, "bus", "test", true);
    assert.deepEqual(countsOf(outcome), { ended: 2, failed: 0, restored: 0 });
    await scene.finish();
    assertNothingLeft(scene);
  }
  const alone = new Scene([{}], functions([1, 3]), {}, "group");
  await alone.start();
  await assert.rejects(alone.guardian.reset(ONE, "bus", "test", true), RefusedError);
  assert.deepEqual(reasons(alone), {});
  await alone.finish();
});

Deno.test("a reset of a physical function hits its virtual ones, guarded here or not", async () => {
  const scene = new Scene(
    [{}, beside({ physfn: ONE, virtual: true })],
    functions([1, 3], DOMAIN, { virtual: true }),
  );
  const folder = `/sys/bus/pci/devices/${ONE}`;
  scene.files.tree[`${folder}/virtfn0`] = `->../${TWO}`;
  scene.files.tree[`${folder}/virtfn1`] = "->../0000:01:00.2";
  await scene.start();
  const reach = await scene.guardian.reach(ONE, "function");
  assert.deepEqual(reach?.functions.map(({ address }) => address), [TWO, "0000:01:00.2"]);
  assert.deepEqual(reach?.hits.map(({ device, through }) => [device, through]), [[TWO, ONE]]);
  await assert.rejects(scene.guardian.reset(ONE, "function", "test"), DomainError);
  assert.deepEqual(countsOf(await scene.guardian.reset(TWO, "function", "test")), {
    ended: 1,
    failed: 0,
    restored: 0,
  });
  assert.equal((await scene.guardian.reset(ONE, "function", "test"))?.ended, 1);
  await scene.finish();
  assertNothingLeft(scene);
});

Deno.test("a guardian makes way for a reset that another makes", async () => {
  const scene = new Scene([{}, beside({ onReset: "restore" }), elsewhere], functions());
  await scene.start();
  assert.deepEqual(scene.guardian.hitBy([TWO]).map((hit) => hit.export), ["demo/beside"]);
  const outcome = await scene.guardian.makeWay(DOMAIN, "test");
  assert.deepEqual(countsOf(outcome), { ended: 1, failed: 0, restored: 1 });
  assert.deepEqual(reasons(scene), { "demo/data": "device-reset" });
  assert.deepEqual(scene.guardian.hitBy([ONE, "0000:09:00.0"]), []);
  await scene.finish();
  assertNothingLeft(scene);
});

Deno.test("a reset that was not made, because all is ending meanwhile, is refused and never told as done", async () => {
  const virtual = { virtual: true, holds: ["low-power"], physfn: "0000:01:00.7" } as const;
  const below = { virtual: true, physfn: "0000:01:00.7" } as const;
  for (const method of ["function", "bus"] as const) {
    const scene = new Scene(
      [{ ...virtual }, beside(virtual)],
      [ONE, TWO].map((address) => simFunction(address, { ...below, hotResetDomain: DOMAIN })),
    );
    await scene.start();
    const go = scene.kernel.stall("close", ONE);
    const reset = scene.guardian.reset(ONE, method, "test", true);
    const settled = Promise.allSettled([reset]);
    await settle();
    const shutdown = scene.guardian.shutdown("SIGTERM");
    await settle();
    go();
    await settle();
    const [{ status }] = await settled;
    assert.equal(status, "rejected");
    await assert.rejects(reset, (error) => {
      assert.ok(error instanceof RefusedError);
      assert.match(error.message, /grants have ended, but it was not reset: .*\(shutdown\)$/);
      return true;
    });
    assert.ok(!scene.events.some(({ type, device }) => type === "device-reset" && device === ONE));
    await scene.finish();
    await shutdown;
    assertNothingLeft(scene);
  }
});
