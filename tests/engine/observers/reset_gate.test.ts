import assert from "node:assert/strict";
import type { Cause } from "../../../engine/event.ts";
import { ResetGate } from "../../../engine/observers/reset_gate.ts";
import { ManualClock, settle } from "../support.ts";
import { seen } from "./support.ts";

const [A, B] = ["0000:01:00.0", "0000:02:00.0"];
const PATH = "/bridge/reset";

function scene() {
  const { kernel, context, errors } = seen();
  const clock = new ManualClock();
  const ends = Promise.withResolvers<void>();
  const asked: (readonly string[])[] = [];
  const late: Cause[] = [];
  const gate = new ResetGate({
    ...context,
    clock,
    beforeReset: (devices) => {
      asked.push(devices);
      return ends.promise;
    },
    late: (cause) => late.push(cause),
  });
  gate.add(A, [PATH]);
  gate.add(B, [PATH]);
  let passed: boolean | undefined;
  const open = () => {
    void kernel.gates.get(PATH)?.open(77).then((allowed) => passed = allowed);
    return settle();
  };
  return { kernel, clock, gate, ends, asked, late, errors, open, passed: () => passed };
}

Deno.test("ResetGate lets who opens the file wait until the ends are over", async () => {
  const it = scene();
  await it.open();
  assert.deepEqual(it.asked, [[A, B]]);
  assert.equal(it.passed(), undefined);
  it.ends.resolve();
  await settle();
  assert.equal(it.passed(), true);
  await it.clock.advance(10_000);
  assert.deepEqual(it.late, []);
  it.gate.stop();
  assert.deepEqual(it.kernel.table.open(), []);
});

Deno.test("ResetGate lets nobody wait for longer than its limit, and says so", async () => {
  const it = scene();
  await it.open();
  await it.clock.advance(5_000);
  assert.equal(it.passed(), true);
  assert.match(it.late[0]?.detail ?? "", /process 77 has opened \/bridge\/reset.*after 5 s/);
  it.ends.resolve();
  await settle();
  assert.deepEqual(it.errors, []);
});

Deno.test("ResetGate lets them pass when an end fails, and tells why", async () => {
  const it = scene();
  await it.open();
  it.ends.reject(new RangeError("broken"));
  await settle();
  assert.equal(it.passed(), true);
  assert.equal(it.errors.length, 1);
});

Deno.test("ResetGate lets everybody pass when it is stopped", async () => {
  const it = scene();
  await it.open();
  it.gate.stop();
  await settle();
  assert.equal(it.passed(), true);
  it.ends.resolve();
  await it.clock.advance(10_000);
  assert.deepEqual([it.late, it.errors], [[], []]);
  assert.deepEqual(it.kernel.table.open(), []);
});

Deno.test("ResetGate leaves out files that a host does not have, and no other refusal", () => {
  const { kernel, gate } = scene();
  kernel.failNext("fanotify_init", "ENOENT");
  gate.add(A, ["/absent/reset"]);
  assert.ok(!kernel.gates.has("/absent/reset"));
  kernel.failNext("fanotify_init", "EPERM");
  assert.throws(() => gate.add(A, ["/other/reset"]), /EPERM/);
});
