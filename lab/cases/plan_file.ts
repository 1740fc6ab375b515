/** `plan --out` and `export --plan` on a real kernel: what has drifted is named, and nothing leaves. @module */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { bind, boundDriver } from "../guest/setup.ts";
import type { LabDevice } from "../machine/topology.ts";
import { join } from "../path.ts";
import { endOf, LabExport, policyText, writePolicy } from "./support.ts";

/** Bargate is started several times, on a machine that others use too. */
const LIMIT_MS = 300_000;
const START_MS = 120_000;

/** Makes the plan of the cases' policy. @returns its file */
async function planned(context: CaseContext): Promise<string> {
  const policy = await writePolicy(context, policyText(context));
  const file = join(context.scratch, "plan.json");
  const ran = await context.bargate(["plan", policy, "--out", file], { limitMs: START_MS });
  assert.equal(ran.status, 0, ran.stderr);
  return file;
}

/** dma-bufs of the whole system, by the kernel's own count. */
async function dmaBufs(): Promise<string> {
  const info = await Deno.readTextFile("/sys/kernel/debug/dma_buf/bufinfo");
  return /^Total \d+ objects.*$/m.exec(info)?.[0] ?? info;
}

/** What an export by the plan is refused with. */
async function refusedBy(context: CaseContext, plan: string) {
  const before = await dmaBufs();
  const policy = await writePolicy(context, policyText(context));
  const marker = join(context.scratch, "started");
  const ran = await context.bargate(
    [
      ...["export", policy, "--plan", plan, "--format", "json"],
      ...["--exec", "--", "/bin/touch", marker],
    ],
    { limitMs: START_MS },
  );
  assert.equal(ran.status, 4, ran.stderr);
  await assert.rejects(Deno.stat(marker), Deno.errors.NotFound, "the importer was started");
  assert.equal(await dmaBufs(), before);
  const { diagnostics } = JSON.parse(ran.stdout) as { diagnostics: Found[] };
  return diagnostics;
}

interface Found {
  readonly code: string;
  readonly message: string;
  readonly pointer?: string;
}

async function goesThrough(context: CaseContext): Promise<void> {
  const plan = await planned(context);
  const again = await planned(context);
  assert.equal(await Deno.readTextFile(again), await Deno.readTextFile(plan));
  const lab = await LabExport.startWith(context, policyText(context), ["--plan", plan]);
  await lab.map();
  assert.equal(await lab.dmaLands(), true);
  assert.equal(await lab.finish(), 0);
  assert.equal(endOf(lab.events).reason, "importer-gone");
}

async function otherDriver(context: CaseContext): Promise<void> {
  const { nvme } = context.devices;
  const plan = await planned(context);
  context.defer(() => bind(nvme));
  await bind({ ...nvme, driver: "nvme" });
  const found = await refusedBy(context, plan);
  const told = found.map(({ code, pointer }) => [code, pointer]);
  assert.deepEqual(told.slice(0, 2), [["BG2003", undefined], ["BG2311", "/grants/0"]]);
  assert.match(found[0]?.message ?? "", /0000:01:00\.0 is bound to nvme and not to vfio-pci/);
}

async function unbind({ address }: LabDevice): Promise<void> {
  if (await boundDriver(address) === undefined) return;
  await Deno.writeTextFile(`/sys/bus/pci/devices/${address}/driver/unbind`, address);
}

/** Numbers of nodes are given out anew: the first free one. */
async function bindInOrder(devices: readonly LabDevice[]): Promise<void> {
  for (const device of devices) await unbind(device);
  for (const device of devices) await bind(device);
}

async function nodesChangedPlaces(context: CaseContext): Promise<void> {
  const { nvme, nvme2 } = context.devices;
  context.defer(() => bindInOrder([nvme, nvme2]));
  await bindInOrder([nvme, nvme2]);
  const before = await context.vfioNode(nvme.address);
  const plan = await planned(context);
  await bindInOrder([nvme2, nvme]);
  assert.equal(await context.vfioNode(nvme2.address), before, "the node is another device's now");
  const found = await refusedBy(context, plan);
  const [first] = found;
  assert.deepEqual([first?.code, first?.pointer], ["BG2311", "/grants/0/device/node"]);
  const now = await context.vfioNode(nvme.address);
  assert.ok(first?.message.endsWith(`was planned as "${before}", and is "${now}" now`));
}

/** Cases of plans that are files. */
export const cases: readonly LabCase[] = [
  {
    name: "plan file: nothing has drifted, and bytes move between two devices",
    limitMs: LIMIT_MS,
    run: goesThrough,
  },
  {
    name: "plan file: a device that another driver has by now is named, and nothing is exported",
    limitMs: LIMIT_MS,
    run: otherDriver,
  },
  {
    name: "plan file: a node that is another device's by now is named, and nothing is exported",
    limitMs: LIMIT_MS,
    run: nodesChangedPlaces,
  },
];
