/** What becomes of grants while their importer is being come by. @module */
import assert from "node:assert/strict";
import type { ImporterContext, ImporterSource } from "../../engine/importer_process.ts";
import { program } from "./faults/trial.ts";
import { Scene, settle } from "./support.ts";

const FIRST = "0000:01:00.0";
const SECOND = "0000:02:00.0";

/** A program that has its buffers some time before the guardian has the program. */
async function startedSlowly(graceMs: number) {
  const scene = new Scene([
    { name: "a", address: FIRST, expiresMs: 1_000, graceMs },
    { name: "b", address: SECOND },
  ]);
  const source = program();
  const { promise, resolve } = Promise.withResolvers<void>();
  const slow: ImporterSource = {
    name: source.name,
    meet: (context: ImporterContext) => source.meet(context),
    start: async (given, context) => {
      const started = await source.start(given, context);
      await promise;
      return started;
    },
    close: () => source.close(),
  };
  await scene.guardian.open();
  const run = scene.guardian.run(slow);
  void Promise.allSettled([run]);
  await settle();
  assert.deepEqual([...scene.child.fds.keys()], ["a", "b", "bargate"]);
  return {
    scene,
    goOn: () => {
      resolve();
      return settle();
    },
    finish: async () => {
      scene.kernel.exit(scene.child);
      await scene.clock.advance(10_000);
      return await run;
    },
  };
}

function grantOf(scene: Scene, name: string): string | undefined {
  return scene.events.find((event) => event.export === `demo/${name}`)?.grant;
}

Deno.test("a program is told of a grant that ended while it was being started", async () => {
  const { scene, goOn, finish } = await startedSlowly(10);
  await scene.clock.advance(5_000);
  assert.ok(scene.story().includes("ended expired close"), scene.story().join("\n"));
  await goOn();
  const [a, b] = [grantOf(scene, "a"), grantOf(scene, "b")];
  const told = scene.packets();
  assert.deepEqual(told.map(({ type, grant }) => [type, grant]), [
    ["hello", undefined],
    ["granted", a],
    ["revoked", a],
    ["granted", b],
  ]);
  assert.deepEqual([told[1]?.["fdName"], told[1]?.["size"]], ["a", "0x2000"]);
  assert.deepEqual([told[2]?.["reason"], told[2]?.["after"]], ["expired", "dead"]);
  const delivered = scene.events.filter(({ type }) => type === "delivered");
  assert.deepEqual(delivered.map(({ grant }) => grant), [b], "what has ended is not delivered");
  assert.equal((await finish()).trouble, false);
});

Deno.test("a program is told of a grant whose end began while it was being started", async () => {
  const { scene, goOn, finish } = await startedSlowly(2_000);
  await scene.clock.advance(1_500);
  await goOn();
  const a = grantOf(scene, "a");
  const ofGrant = () => scene.packets().filter(({ grant }) => grant === a);
  assert.deepEqual(
    ofGrant().map(({ type, reason, withinMs }) => [type, reason, withinMs]),
    [["granted", undefined, undefined], ["revoking", "expired", 1_500]],
  );
  await scene.clock.advance(2_000);
  assert.deepEqual(ofGrant().map(({ type, reason }) => [type, reason]), [["revoked", "expired"]]);
  assert.equal((await finish()).trouble, false);
});
