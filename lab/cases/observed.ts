/** Ends that others cause past VFIO, where the kernel itself revokes nothing. @module */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import type { Running } from "../guest/process.ts";
import { bind } from "../guest/setup.ts";
import { until } from "../guest/until.ts";
import { endOf, IOVA, LabExport } from "./support.ts";
import { exists } from "../exists.ts";

const PCI = "/sys/bus/pci";
const MEMORY = 0x2;

interface Place {
  /** Folder of the function in sysfs. */
  readonly device: string;
  /** Folder of the bridge above it. */
  readonly bridge: string;
}

async function placeOf(address: string): Promise<Place> {
  const device = await Deno.realPath(`${PCI}/devices/${address}`);
  return { device, bridge: device.slice(0, device.lastIndexOf("/")) };
}

/** Writes as setpci does: without truncating, which would be a modification by itself. */
function writeAt(path: string, offset: number, bytes: Uint8Array): void {
  const file = Deno.openSync(path, { write: true });
  try {
    file.seekSync(offset, Deno.SeekMode.Start);
    file.writeSync(bytes);
  } finally {
    file.close();
  }
}

function write1(path: string): Promise<void> {
  return Deno.writeTextFile(path, "1");
}

/** The memory bit of the command register, off, by another process than Bargate. */
function memoryOff({ device }: Place): void {
  const path = `${device}/config`;
  const command = Deno.readFileSync(path).slice(4, 6);
  writeAt(path, 4, new Uint8Array([(command[0] ?? 0) & ~MEMORY, command[1] ?? 0]));
}

/** The same through procfs, as `setpci -A linux-proc` does. */
function memoryOffByProcfs({ device }: Place): void {
  const [, bus = "", place = ""] = (device.split("/").at(-1) ?? "").split(":");
  const command = Deno.readFileSync(`${device}/config`).slice(4, 6);
  const off = new Uint8Array([(command[0] ?? 0) & ~MEMORY, command[1] ?? 0]);
  writeAt(`/proc/bus/pci/${bus}/${place}`, 4, off);
}

interface Outside {
  readonly what: string;
  readonly reason: string;
  /** What makes it happen. */
  act(place: Place): void | Promise<void>;
}

const RESETS: readonly Outside[] = [
  {
    what: "sysfs reset of the function",
    reason: "device-reset",
    act: ({ device }) => write1(`${device}/reset`),
  },
  {
    what: "reset_subordinate of the bridge above",
    reason: "device-reset",
    act: ({ bridge }) => write1(`${bridge}/reset_subordinate`),
  },
];

const MEMORY_OFF: Outside = {
  what: "memory decode switched off by a config write of another process",
  reason: "decode-off",
  act: memoryOff,
};

const MEMORY_OFF_BY_PROCFS: Outside = {
  what: "memory decode switched off by a write through procfs",
  reason: "decode-off",
  act: memoryOffByProcfs,
};

/** Makes it happen, and records how long after it the grant had ended. */
async function actAndEnd(context: CaseContext, lab: LabExport, outside: Outside): Promise<void> {
  const place = await placeOf(context.devices.nvme.address);
  const begun = Date.now();
  const acted = Promise.resolve(outside.act(place));
  const ended = await lab.event("ended");
  await acted;
  context.figure(`${outside.what}, cause to end (ms)`, Date.parse(ended.time) - begun);
  assert.equal(ended.reason, outside.reason);
}

async function ends(context: CaseContext, outside: Outside): Promise<void> {
  const lab = await LabExport.start(context, { onReset: "revoke" });
  await lab.map();
  assert.equal(await lab.dmaLands(), true);
  await actAndEnd(context, lab, outside);
  assert.equal((await lab.packetOf("revoked"))["reason"], outside.reason);
  await lab.mark();
  assert.equal(await lab.oldMappingLands(), false);
  assert.equal((await lab.importer.ask(`map data ${IOVA + 0x100000}`)).error, "ENODEV");
  assert.equal(endOf(lab.events).means, "close");
  assert.equal(await lab.finish(), 0);
}

async function goesOn(context: CaseContext, outside: Outside): Promise<void> {
  const lab = await LabExport.start(context, { onReset: "restore" });
  await lab.map();
  await outside.act(await placeOf(context.devices.nvme.address));
  assert.equal((await lab.event("device-reset")).cause?.source, "sysfs");
  assert.equal(await lab.dmaLands(), true, "the old mapping is alive");
  assert.ok(!lab.events.some(({ type }) => type === "ended"));
  assert.equal(await lab.finish(), 0);
}

async function removed(context: CaseContext): Promise<void> {
  const { nvme } = context.devices;
  context.defer(() => rescan(context));
  const lab = await LabExport.start(context, { onReset: "restore" });
  await lab.map();
  await actAndEnd(context, lab, {
    what: "sysfs remove of the function",
    reason: "device-removed",
    act: ({ device }) => write1(`${device}/remove`),
  });
  assert.equal((await lab.importer.ask(`map data ${IOVA + 0x100000}`)).error, "ENODEV");
  assert.equal(await exists(`${PCI}/devices/${nvme.address}`), false);
  assert.equal(await lab.finish(), 0);
}

async function rescan({ devices: { nvme } }: CaseContext): Promise<void> {
  await write1(`${PCI}/rescan`);
  await until(
    `${nvme.address} to be back`,
    10_000,
    async () => await exists(`${PCI}/devices/${nvme.address}/vendor`) || undefined,
  );
  await bind(nvme);
}

/**
 * The `remove` holds the function and waits for Bargate; the `reset` holds the bridge above, waits for
 * the function, and lets everybody wait who reads the bridge's configuration space. Bargate must need
 * nothing of that to let go.
 */
async function removedAmidReset(context: CaseContext): Promise<void> {
  const { nvme } = context.devices;
  context.defer(() => rescan(context));
  const lab = await LabExport.start(context, { onReset: "restore" });
  await lab.map();
  lab.bargate.kill("SIGSTOP");
  const { device, bridge } = await placeOf(nvme.address);
  const by = (script: string, path: string) => context.start(["sh", "-c", script, "sh", path]);
  const remover = by('echo 1 >"$1"', `${device}/remove`);
  await until("the remove to wait", 10_000, () => sleepsIn(remover, "vfio_unregister"));
  const resetter = by('echo 1 >>"$1"', `${device}/reset`);
  await until("the reset to wait", 10_000, () => sleepsIn(resetter, "pci_reset_function"));
  const reader = by('exec cat "$1" >/dev/null', `${bridge}/config`);
  await until("a reader of the bridge to wait", 10_000, () => sleepsIn(reader, "pci_wait_cfg"));
  lab.bargate.kill("SIGCONT");
  const { reason } = await lab.event("ended");
  assert.match(String(reason), /^device-(removed|reset)$/);
  for (const process of [remover, reader]) assert.equal((await process.wait()).status, 0);
  // It comes to a function that is no more, or is about to be.
  await resetter.wait();
  assert.equal(await exists(`${PCI}/devices/${nvme.address}`), false);
  assert.equal(await lab.finish(), 0);
}

/** Whether a process sleeps in a function of the kernel. */
async function sleepsIn({ pid }: Running, where: string): Promise<true | undefined> {
  const stack = await Deno.readTextFile(`/proc/${pid}/stack`);
  return stack.includes(where) || undefined;
}

/** The writer is held in open(2) while Bargate is stopped, and after that until the end is done. */
async function gated(context: CaseContext): Promise<void> {
  const { address } = context.devices.nvme;
  const lab = await LabExport.start(context, { onReset: "revoke", flags: ["--gate-resets"] });
  await lab.map();
  lab.bargate.kill("SIGSTOP");
  const { device } = await placeOf(address);
  const writer = context.start(["sh", "-c", 'echo 1 >>"$1"', "sh", `${device}/reset`]);
  await until("the writer at the gate", 10_000, () => waitsAtGate(writer));
  assert.equal(await resetsOf(context, address), 1, "only Bargate's own, when it opened");
  assert.equal(await lab.dmaLands(), true, "nothing has ended yet");
  await lab.mark();
  const begun = Date.now();
  lab.bargate.kill("SIGCONT");
  const ran = await writer.wait();
  assert.equal(ran.status, 0, ran.stderr);
  const ended = endOf(lab.events);
  context.figure("gated reset, Bargate told to end (ms)", Date.parse(ended.time) - begun);
  assert.equal(ended.reason, "device-reset");
  const begin = lab.events.find(({ type }) => type === "revoking");
  assert.equal(begin?.cause?.source, "reset-gate");
  assert.match(begin?.cause?.detail ?? "", new RegExp(`^process ${writer.pid} has opened`));
  assert.equal(await lab.oldMappingLands(), false);
  assert.equal(await lab.finish(), 0);
}

async function waitsAtGate(writer: Running): Promise<true | undefined> {
  const where = await Deno.readTextFile(`/proc/${writer.pid}/wchan`);
  return /fanotify|fsnotify/.test(where) || undefined;
}

async function resetsOf(context: CaseContext, address: string): Promise<number> {
  const lines = await context.kernelLog.since(context.logStart);
  return lines.filter((line) => line.includes(`${address}: resetting`)).length;
}

/** Bargate is killed while a writer waits: the kernel lets the writer go. */
async function gateDies(context: CaseContext): Promise<void> {
  const lab = await LabExport.start(context, { flags: ["--gate-resets"] });
  lab.bargate.kill("SIGSTOP");
  const { device } = await placeOf(context.devices.nvme.address);
  const writer = context.start(["sh", "-c", 'echo 1 >>"$1"', "sh", `${device}/reset`]);
  await until("the writer at the gate", 10_000, () => waitsAtGate(writer));
  lab.bargate.kill("SIGKILL");
  assert.equal((await writer.wait()).status, 0);
  await lab.channelEnds();
  await lab.importer.send("exit 0");
}

/** What the kernel revokes is told with its cause, and the probe goes with Bargate. */
async function traced(context: CaseContext): Promise<void> {
  const { address } = context.devices.nvme;
  const flags = ["--trace-revokes"];
  const lab = await LabExport.start(context, { onReset: "restore", flags });
  const reset = await context.bargate(["reset", address]);
  assert.equal(reset.status, 0, reset.stderr);
  const { cause, device } = await lab.event("observed");
  assert.deepEqual([cause?.source, device], ["revoke-trace", address]);
  assert.match(cause?.detail ?? "", /^all buffers revoked, by thread [0-9]+ \(.+\)$/);
  assert.equal(await lab.finish(), 0, lab.bargate.stderr + lab.bargate.stdout);
  const probes = await Deno.readTextFile("/sys/kernel/tracing/kprobe_events");
  // The runner itself traces, too.
  assert.doesNotMatch(probes, new RegExp(`bargate/revoke_${lab.bargate.pid}_`));
}

/** Cases of the observers. */
export const cases: readonly LabCase[] = [
  ...[...RESETS, MEMORY_OFF, MEMORY_OFF_BY_PROCFS].map((outside): LabCase => ({
    name: `observed: ${outside.what} ends a grant with onReset: revoke, for good`,
    run: (context) => ends(context, outside),
  })),
  ...RESETS.map((outside): LabCase => ({
    name: `observed: ${outside.what} ends nothing with onReset: restore`,
    run: (context) => goesOn(context, outside),
  })),
  { name: "observed: sysfs remove gets the device, and its grant has ended", run: removed },
  {
    name: "observed: sysfs remove and reset at once, which wait for Bargate and for each other",
    run: removedAmidReset,
  },
  { name: "observed: with --gate-resets the writer of reset waits for the end", run: gated },
  { name: "observed: with --trace-revokes each revoke is told with its cause", run: traced },
  { name: "observed: the gate lets everybody pass when Bargate is killed", run: gateDies },
];
