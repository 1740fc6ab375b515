/** A controller that does not answer keeps neither the others waiting nor the verb. */
import assert from "node:assert/strict";
import { askingBy } from "../../cmd/ask_controllers.ts";
import type { Context } from "../../cmd/context.ts";
import { probeControllers } from "../../cmd/probe_controllers.ts";
import type { SnapshotFunction } from "../../host/snapshot.ts";
import type { SimKernel } from "../../sim/sim_kernel.ts";
import { ManualClock, Scene, simFunction, SSD } from "../engine/support.ts";
import { functionOf, hostOf } from "../host/topology/support.ts";

const OTHER = "0000:02:00.0";
const MEMORY = { state: "enabled", bar: 2, offset: 0n, size: 0x100_0000n } as const;
const ADVANCE_MS = 10_000;

function controller(address: string): SnapshotFunction {
  return {
    ...functionOf({ address, parent: "pci0000:00", driver: "vfio-pci", group: 7 }),
    class: "010802",
    cdev: `/dev/vfio/devices/${address}`,
  };
}

function twoControllers(): { kernel: SimKernel; entries: readonly SnapshotFunction[] } {
  const both = [SSD, OTHER];
  const functions = both.map((address) =>
    simFunction(address, { memories: { controllerMemory: MEMORY } })
  );
  const { kernel } = new Scene([], functions);
  return { kernel, entries: both.map(controller) };
}

/** What is written to standard error, and nothing else. */
function contextOf(told: string[]): Context {
  const stderr = { write: (text: string) => told.push(text), isTerminal: false };
  return { process: { stderr } } as unknown as Context;
}

Deno.test("a controller that does not open in time is told of, and the next one is asked", async () => {
  const { kernel, entries } = twoControllers();
  const goOn = kernel.stall("openNode", SSD);
  const clock = new ManualClock();
  const told: string[] = [];
  const ask = askingBy(contextOf(told), kernel, { clock });
  const asked = ask(entries.map((entry) => ({ entry, mayEnable: false })));
  await clock.advance(ADVANCE_MS);
  const { functions, diagnostics } = await asked;
  assert.deepEqual([...functions.keys()], [OTHER]);
  assert.deepEqual(functions.get(OTHER)?.controllerMemory, MEMORY);
  assert.deepEqual(diagnostics.map(({ code, message }) => [code, message]), [
    ["BG2042", `Cannot open ${SSD}: the kernel has not answered within 10 s`],
  ]);
  assert.equal(told.length, 2);
  goOn();
  await clock.advance(0);
});

Deno.test("inventory --probe goes on without a controller that does not answer", async () => {
  const { kernel, entries } = twoControllers();
  const goOn = kernel.stall("openNode", SSD);
  const clock = new ManualClock();
  const snapshot = { ...hostOf([]), functions: entries };
  const asked = probeControllers({ snapshot, skipped: [], findings: [] }, undefined, {
    kernel,
    clock,
  });
  await clock.advance(ADVANCE_MS);
  const { snapshot: found, findings } = await asked;
  assert.deepEqual(found.functions.map(({ controllerMemory }) => controllerMemory), [
    undefined,
    MEMORY,
  ]);
  assert.deepEqual(findings.map(({ path }) => path), [`the controller ${SSD}`]);
  goOn();
  await clock.advance(0);
});
