/** What a loan leaves to the owner: its interrupts, its power state, and its own resets. @module */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { until } from "../guest/until.ts";
import { borrowPolicy, LabOwner } from "./owner_support.ts";
import { assertNoFalseAlarm, preflightHere } from "./preflight_support.ts";
import { endOf, IOVA, LabExport, SLICE, writePolicy } from "./support.ts";

const ELSEWHERE = IOVA + 0x100000;
/** For cases of several looks, on a machine that others use too. */
const LONG_MS = 300_000;
/** Until a look every five seconds must have seen it. */
const LOOK_MS = 60_000;
const PCI_COMMAND = 4;
const PCI_COMMAND_MEMORY = 0x2;

const INTERRUPTS = ["msix", "error", "request"] as const;

async function signalsOf({ control }: LabOwner): Promise<readonly unknown[]> {
  const told = await control.must("signals");
  return INTERRUPTS.map((name) => told[name]);
}

/** The owner's own eventfds are signalled, each once. */
async function assertArmed(owner: LabOwner): Promise<void> {
  for (const name of INTERRUPTS) await owner.control.must(`trigger ${name}`);
  assert.deepEqual(await signalsOf(owner), [1, 1, 1]);
}

async function commandOf({ control }: LabOwner): Promise<number> {
  return Number((await control.must(`config-read ${PCI_COMMAND}`))["value"]);
}

/** What sysfs says of the device's power, which wakes nothing. */
async function powerOf(
  { devices }: CaseContext,
  address: string = devices.nvme.address,
): Promise<string> {
  const folder = `/sys/bus/pci/devices/${address}`;
  const told: string[] = [];
  // Without CONFIG_PM devices have a power state, but nothing suspends them. The status comes first:
  // once it says "suspended", the power state is what it stays.
  for (const name of ["power/runtime_status", "power_state"]) {
    try {
      told.unshift((await Deno.readTextFile(`${folder}/${name}`)).trim());
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return told.join(", ");
}

/** Waits until a device that its owner lets sleep does, where the kernel can do that. */
async function asleep(context: CaseContext, address?: string): Promise<string> {
  const before = await powerOf(context, address);
  if (!before.includes(",")) return before;
  return await until("the device to be suspended", 20_000, async () => {
    const power = await powerOf(context, address);
    return power.endsWith("suspended") ? power : undefined;
  });
}

async function interruptsStory(context: CaseContext): Promise<void> {
  const owner = await LabOwner.holding(context);
  for (const name of INTERRUPTS) await owner.control.must(`arm ${name}`);
  await assertArmed(owner);
  const command = await commandOf(owner);
  const power = await powerOf(context);
  const lab = await LabExport.startWith(context, borrowPolicy(context, owner.identity));
  await lab.map();
  assert.equal(await lab.dmaLands(), true);
  assert.deepEqual(await signalsOf(owner), [0, 0, 0], "Bargate triggers nothing");
  await assertArmed(owner);
  assert.equal(await lab.finish(), 0);
  assert.deepEqual(await signalsOf(owner), [0, 0, 0]);
  await assertArmed(owner);
  assert.deepEqual([await commandOf(owner), await powerOf(context)], [command, power]);
}

/** The owner is asked by its own interrupt; until it closes, the kernel waits. */
async function unbindStory(context: CaseContext): Promise<void> {
  const { address } = context.devices.nvme;
  const owner = await LabOwner.holding(context);
  await owner.control.must("arm request");
  const lab = await LabExport.startWith(context, borrowPolicy(context, owner.identity));
  await lab.map();
  assert.equal(await lab.dmaLands(), true);
  // After the unbind, which what is deferred later lets end.
  context.defer(() => Deno.writeTextFile("/sys/bus/pci/drivers_probe", address));
  // It blocks until the device is closed, and must not block whoever has to close it.
  const unbind = context.start([
    "/bin/sh",
    "-c",
    `echo ${address} > /sys/bus/pci/devices/${address}/driver/unbind`,
  ]);
  context.defer(() => owner.process.kill());
  await until("the owner to be asked", 20_000, async () => {
    const { request } = await owner.control.must("signals");
    return Number(request) > 0 || undefined;
  });
  assert.equal((await lab.packetOf("revoking"))["reason"], "device-removed");
  await owner.control.must("close held");
  await unbind.wait();
  assert.equal((await lab.importer.ask(`map data ${ELSEWHERE}`)).error, "ENODEV");
  await lab.event("ended", LOOK_MS);
  assert.equal(endOf(lab.events).reason, "device-removed");
  // It was Bargate's to end at once, and it could not.
  assert.ok(lab.events.some(({ type }) => type === "late"));
  assert.equal(await lab.finish(), 6);
}

/** A way in which an owner lets its device sleep. */
interface Sleep {
  readonly what: string;
  readonly enter: (owner: LabOwner, pmcsr: number) => Promise<unknown>;
  readonly exit: (owner: LabOwner, pmcsr: number) => Promise<unknown>;
  /** What it needs of the kernel. */
  readonly runtime: boolean;
}

const exitLowPower = ({ control }: LabOwner) => control.must("low-power-exit");

const SLEEPS: readonly Sleep[] = [
  {
    what: "D3hot",
    enter: ({ control }, pmcsr) => control.must(`config-write ${pmcsr} 3`),
    exit: ({ control }, pmcsr) => control.must(`config-write ${pmcsr} 0`),
    runtime: false,
  },
  {
    what: "LOW_POWER_ENTRY",
    enter: ({ control }) => control.must("low-power"),
    exit: exitLowPower,
    runtime: true,
  },
  {
    what: "LOW_POWER_ENTRY_WITH_WAKEUP",
    enter: ({ control }) => control.must("low-power wakeup"),
    exit: exitLowPower,
    runtime: true,
  },
];

/** It has no power management of its own: the kernel suspends it, and says that it is in D0. */
async function suspendedInD0Story(context: CaseContext): Promise<void> {
  const { ivshmem } = context.devices;
  if (!(await powerOf(context, ivshmem.address)).includes(",")) {
    context.skip("this kernel suspends no device (it has no CONFIG_PM)");
  }
  const owner = await LabOwner.holding(context, ivshmem.address);
  const text = borrowPolicy(context, owner.identity, {
    address: ivshmem.address,
    id: ivshmem.id,
    slices: "{ offset: 0, length: 0x2000 }",
  });
  await assertNoFalseAlarm(text);
  await owner.control.must("low-power wakeup");
  const power = await asleep(context, ivshmem.address);
  assert.equal(power, "D0, suspended");
  assert.deepEqual(await errorsOf(text), ["BG2036"], "told beforehand");
  const path = await writePolicy(context, text);
  const ran = await context.bargate(["export", path, "--exec", "--", "/bin/true"]);
  assert.equal(ran.status, 4, ran.stderr);
  assert.match(ran.stderr, /it is in low power \(D0, suspended\)/);
  assert.equal(await powerOf(context, ivshmem.address), power, "it sleeps on");
  const { wakeup = 0 } = await owner.control.must("signals");
  assert.equal(wakeup, 0, "and its owner was not woken");
  await exitLowPower(owner);
}

/** What stands in the way of an export, by preflight. */
async function errorsOf(policy: string): Promise<readonly string[]> {
  const found = (await preflightHere(policy))?.diagnostics ?? [];
  return found.filter(({ severity }) => severity === "error").map(({ code }) => code);
}

/** Where the power state is in configuration space. */
async function pmcsrOf({ devices }: CaseContext): Promise<number> {
  const config = await Deno.readFile(`/sys/bus/pci/devices/${devices.nvme.address}/config`);
  for (let at = config[0x34] ?? 0; at !== 0; at = config[at + 1] ?? 0) {
    if (config[at] === 1) return at + 4;
  }
  throw new Error("no power management");
}

async function refusedStory(context: CaseContext, sleep: Sleep): Promise<void> {
  const owner = await LabOwner.holding(context);
  const text = borrowPolicy(context, owner.identity);
  const path = await writePolicy(context, text);
  const pmcsr = await pmcsrOf(context);
  if (sleep.runtime && !(await powerOf(context)).includes(",")) {
    context.skip("this kernel suspends no device (it has no CONFIG_PM)");
  }
  await sleep.enter(owner, pmcsr);
  const power = sleep.runtime ? await asleep(context) : await powerOf(context);
  context.figure("power state and runtime status", power);
  assert.deepEqual(await errorsOf(text), ["BG2036"], "told beforehand");
  const ran = await context.bargate(["export", path, "--exec", "--", "/bin/true"]);
  assert.equal(ran.status, 4, ran.stderr);
  assert.match(ran.stderr, /it is in low power .* let its owner end that first/);
  assert.equal(await powerOf(context), power, "it sleeps on");
  const { wakeup = 0 } = await owner.control.must("signals");
  assert.equal(wakeup, 0, "and its owner was not woken");
  await sleep.exit(owner, pmcsr);
  const lab = await LabExport.startWith(context, borrowPolicy(context, owner.identity));
  await lab.map();
  assert.equal(await lab.dmaLands(), true);
  assert.equal(await lab.finish(), 0);
}

async function suspendedStory(context: CaseContext): Promise<void> {
  const owner = await LabOwner.holding(context);
  const lab = await LabExport.startWith(context, borrowPolicy(context, owner.identity));
  await lab.map();
  assert.equal(await lab.dmaLands(), true);
  await lab.mark();
  const started = performance.now();
  await owner.control.must("low-power wakeup");
  const power = await asleep(context);
  await lab.importer.must(`dma-write ${IOVA} 64`);
  await context.kernelLog.waitForFault(context.logStart, 20_000);
  assert.equal((await lab.importer.ask(`map data ${ELSEWHERE}`)).error, "ENODEV");
  await lab.packetOf("suspended", LOOK_MS);
  context.figure(
    "from the owner's low power to the grant's suspension, ms",
    Math.round(performance.now() - started),
  );
  // Another look, and the device sleeps on.
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  assert.equal(await powerOf(context), power);
  assert.equal((await owner.control.must("signals"))["wakeup"], 0, "nothing woke it");
  await owner.control.must("low-power-exit");
  assert.equal((await lab.packetOf("restored", LOOK_MS))["after"], "dead");
  await lab.importer.must(`unmap ${IOVA} ${SLICE.length}`);
  await lab.map();
  assert.equal(await lab.dmaLands(), true);
  assert.equal(await lab.finish(), 0);
}

/** What an owner can do to its device while a slice is lent. */
interface Bounce {
  readonly what: string;
  readonly go: (owner: LabOwner) => Promise<unknown>;
}

async function setMemory(owner: LabOwner, on: boolean): Promise<void> {
  const command = await commandOf(owner);
  const value = on ? command | PCI_COMMAND_MEMORY : command & ~PCI_COMMAND_MEMORY;
  await owner.control.must(`config-write ${PCI_COMMAND} ${value}`);
}

const BOUNCES: readonly Bounce[] = [
  { what: "VFIO_DEVICE_RESET", go: ({ control }) => control.must("reset") },
  {
    what: "memory bit off and on",
    go: async (owner) => {
      await setMemory(owner, false);
      await setMemory(owner, true);
    },
  },
];

async function bounceStory(context: CaseContext, { go }: Bounce): Promise<void> {
  const owner = await LabOwner.holding(context);
  const policy = borrowPolicy(context, owner.identity, { onReset: "restore" });
  const lab = await LabExport.startWith(context, policy, ["--trace-revokes"]);
  await lab.map();
  assert.equal(await lab.dmaLands(), true);
  await lab.mark();
  await go(owner);
  const seen = await lab.event("observed", LOOK_MS);
  assert.match(seen.cause?.detail ?? "", /all buffers revoked, by thread \d+ \(importer\)/);
  assert.equal(await lab.oldMappingLands(), false);
  assert.ok(!lab.events.some(({ type }) => type === "ended"), "a bounce ends nothing");
  await lab.importer.must(`unmap ${IOVA} ${SLICE.length}`);
  await lab.map();
  assert.equal(await lab.dmaLands(), true);
  assert.equal(await lab.finish(), 0);
}

async function memoryOffStory(context: CaseContext): Promise<void> {
  const owner = await LabOwner.holding(context);
  const lab = await LabExport.startWith(context, borrowPolicy(context, owner.identity));
  await lab.map();
  assert.equal(await lab.dmaLands(), true);
  const started = performance.now();
  await setMemory(owner, false);
  await lab.packetOf("suspended", LOOK_MS);
  context.figure(
    "from the owner's memory bit off to the grant's suspension, ms",
    Math.round(performance.now() - started),
  );
  assert.equal((await lab.importer.ask(`map data ${ELSEWHERE}`)).error, "ENODEV");
  await setMemory(owner, true);
  assert.equal((await lab.packetOf("restored", LOOK_MS))["after"], "dead");
  assert.equal(await lab.finish(), 0);
}

/** Cases of owners that have more to do than to lend. */
export const cases: readonly LabCase[] = [
  {
    name: "owner: its interrupts, command register and power state are as before, during and after",
    limitMs: LONG_MS,
    run: interruptsStory,
  },
  {
    name: "owner: an unbind asks the owner by its own interrupt, and its close ends the grant",
    limitMs: LONG_MS,
    run: unbindStory,
  },
  {
    name: "owner: low power suspends the grant, nothing of Bargate's wakes it, and it is restored",
    limitMs: LONG_MS,
    run: suspendedStory,
  },
  ...SLEEPS.map((sleep): LabCase => ({
    name: `owner: a device in low power is not borrowed, and sleeps on (${sleep.what})`,
    limitMs: LONG_MS,
    run: (context) => refusedStory(context, sleep),
  })),
  {
    name: "owner: a device without power states is not borrowed while it is suspended in D0",
    limitMs: LONG_MS,
    run: suspendedInD0Story,
  },
  {
    name: "owner: memory decode off suspends the grant until it is on again",
    limitMs: LONG_MS,
    run: memoryOffStory,
  },
  ...BOUNCES.map((bounce): LabCase => ({
    name: `owner: ${bounce.what} kills mappings and ends nothing; the trace tells whose it was`,
    limitMs: LONG_MS,
    run: (context) => bounceStory(context, bounce),
  })),
];
