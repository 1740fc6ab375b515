/** What observes a device, and who stands behind a socket, on the real kernel. @module */
import assert from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import type { FileEvent, GateEvent, RevokeRecord, Uevent } from "../../engine/kernel.ts";
import type { CaseContext, LabCase } from "../guest/case.ts";
import type { Running } from "../guest/process.ts";
import { bind } from "../guest/setup.ts";
import { Bench, errnoOf } from "./port_bench.ts";

const PCI = "/sys/bus/pci/devices";
const TRACING = "/sys/kernel/tracing";

/** A process that opens a file for writing and writes when a FIFO is written to. */
async function patientWriter(
  context: CaseContext,
  path: string,
): Promise<{ readonly running: Running; write(): Promise<void> }> {
  const fifo = `${context.scratch}/go`;
  const made = await context.run(["mkfifo", fifo]);
  assert.equal(made.status, 0, made.stderr);
  // Appending: else the shell truncates, which is a modification.
  const script = 'exec 3>>"$1"; read line <"$2"; echo 1 >&3';
  const running = context.start(["sh", "-c", script, "sh", path, fifo]);
  return { running, write: () => Deno.writeTextFile(fifo, "go\n") };
}

/** How often the kernel has reset a function since the case began. */
async function resetsOf(context: CaseContext, address: string): Promise<number> {
  const lines = await context.kernelLog.since(context.logStart);
  return lines.filter((line) => line.includes(`${address}: resetting`)).length;
}

async function borrows(context: CaseContext): Promise<void> {
  const { devices, importer, program, start, vfioNode } = context;
  const bench = new Bench(context, devices.edu.address);
  const { kernel, lane } = bench;
  const node = await vfioNode(devices.edu.address);
  const control = importer();
  const owner = start([program("importer"), control.socketPath]);
  await control.must(`setup-edu ${node}`);
  const pidfd = bench.keep(kernel.openProcess(owner.pid));
  const number = await descriptorOf(owner.pid, node);
  assert.equal(await errnoOf(Promise.try(() => kernel.borrow(pidfd, 999, "none"))), "EBADF");
  const ranges = [{ offset: 0n, length: 4096n }];
  const borrowed = kernel.borrow(pidfd, number, devices.edu.address);
  assert.equal(await lane.deviceAddress(borrowed), devices.edu.address);
  assert.deepEqual(await lane.probeDmaBuf(borrowed), { state: "present" });
  const config = await Deno.readFile(`/sys/bus/pci/devices/${devices.edu.address}/config`);
  assert.deepEqual(await lane.configSpace(devices.edu.address), config);
  const buffer = bench.keep(await lane.exportDmaBuf(borrowed, 0, ranges));
  await lane.close(borrowed);
  assert.ok(await bench.alive(buffer));
  const identity = await kernel.identifyProcess(pidfd, { sha256: true });
  assert.equal(identity?.executable.path, program("importer"));
  const kept = kernel.borrow(pidfd, number, devices.edu.address);
  owner.kill();
  await bench.when("the owner's end", pidfd, () => kernel.hasExited(pidfd) || undefined);
  assert.ok(await bench.alive(buffer), "who keeps a copy keeps the device open");
  await lane.close(kept);
  assert.ok(!await bench.alive(buffer), "the last copy's close ends it");
  assert.equal(await kernel.identifyProcess(pidfd), undefined);
}

async function descriptorOf(pid: number, target: string): Promise<number> {
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    if (await Deno.readLink(`/proc/${pid}/fd/${name}`) === target) return Number(name);
  }
  throw new Error(`process ${pid} has no ${target} open`);
}

async function endsWithOwner(context: CaseContext): Promise<void> {
  const { devices, importer, program, start, vfioNode } = context;
  const bench = new Bench(context, devices.edu.address);
  const { kernel, lane } = bench;
  const node = await vfioNode(devices.edu.address);
  const control = importer();
  const owner = start([program("importer"), control.socketPath]);
  await control.must(`setup-edu ${node}`);
  const pidfd = bench.keep(kernel.openProcess(owner.pid));
  const borrowed = kernel.borrow(pidfd, await descriptorOf(owner.pid, node), "edu");
  const ranges = [{ offset: 0n, length: 4096n }];
  const buffer = bench.keep(await lane.exportDmaBuf(borrowed, 0, ranges));
  await lane.close(borrowed);
  owner.kill();
  await bench.when("the owner's end", pidfd, () => kernel.hasExited(pidfd) || undefined);
  assert.ok(!await bench.alive(buffer), "the revoke is over when the pidfd is readable");
}

async function knowsPeers(context: CaseContext): Promise<void> {
  const { devices, importer, program, start, scratch } = context;
  const bench = new Bench(context, devices.nvme.address);
  const { kernel } = bench;
  const listener = bench.keep(kernel.listen(`${scratch}/bargate.sock`));
  const control = importer();
  const peer = start([program("importer"), control.socketPath]);
  await control.must(`channel-connect ${scratch}/bargate.sock`);
  const accepted = await bench.when("a connection", listener, () => kernel.accept(listener));
  const socket = bench.keep(accepted);
  const pidfd = kernel.peerPidfd(socket);
  assert.ok(pidfd !== "unsupported");
  bench.keep(pidfd);
  assert.equal(kernel.pidOf(pidfd), peer.pid);
  const identity = await kernel.identifyProcess(pidfd);
  assert.deepEqual([identity?.uid, identity?.executable.path], [0, program("importer")]);
  assert.ok(kernel.passPidfds(socket));
  await control.must('channel-send {"type":"hello"}');
  const packet = await bench.when("a packet", socket, () => {
    const taken = kernel.receive(socket);
    return typeof taken === "string" ? undefined : taken;
  });
  assert.ok(packet.pidfd !== undefined);
  bench.keep(packet.pidfd);
  assert.equal(kernel.pidOf(packet.pidfd), peer.pid);
  peer.kill();
  await peer.exited();
  assert.equal(kernel.pidOf(packet.pidfd), undefined);
  const late = kernel.peerPidfd(socket);
  assert.ok(late !== "unsupported");
  bench.keep(late);
  assert.ok(kernel.hasExited(late), "also of a peer that has gone");
}

async function uevents(context: CaseContext): Promise<void> {
  const { address } = context.devices.nvme2;
  const bench = new Bench(context, address);
  const { kernel } = bench;
  const socket = bench.keep(kernel.openUevents());
  await Deno.writeTextFile(`${PCI}/${address}/driver/unbind`, address);
  const gone = await told(bench, socket, (event) => event.action === "unbind");
  await bind(context.devices.nvme2);
  const back = await told(bench, socket, (event) => event.action === "bind");
  const short = (event: Uevent) => `${event.action} ${event.values.get("SUBSYSTEM")}`;
  assert.deepEqual(gone.map(short), ["remove vfio-dev", "remove vfio", "unbind pci"]);
  assert.match(gone[0]?.values.get("DEVNAME") ?? "", /^vfio\/devices\/vfio\d+$/);
  assert.match(gone[0]?.path ?? "", new RegExp(`/${address}/vfio-dev/vfio\\d+$`));
  assert.equal(gone[2]?.values.get("PCI_SLOT_NAME"), address);
  assert.ok(back.map(short).includes("add vfio-dev"));
  assert.equal(kernel.receiveUevent(socket), "empty");
}

/** Takes uevents of PCI and VFIO until one is the last. */
async function told(
  bench: Bench,
  socket: Fd,
  isLast: (event: Uevent) => boolean,
): Promise<readonly Uevent[]> {
  const events: Uevent[] = [];
  return await bench.when("uevents", socket, () => {
    const event = bench.kernel.receiveUevent(socket);
    assert.notEqual(event, "overrun");
    if (typeof event === "string") return undefined;
    if (/^(pci|vfio)/.test(event.values.get("SUBSYSTEM") ?? "")) events.push(event);
    return isLast(event) ? events : undefined;
  });
}

async function ueventOverrun(context: CaseContext): Promise<void> {
  const { address } = context.devices.nvme2;
  const bench = new Bench(context, address);
  const socket = bench.keep(bench.kernel.openUevents());
  // Each write makes one event; together they are more than the socket's queue holds.
  const script = 'i=0; while [ $i -lt 9000 ]; do echo change >"$1"; i=$((i+1)); done';
  const ran = await context.run(["sh", "-c", script, "sh", `${PCI}/${address}/uevent`]);
  assert.equal(ran.status, 0, ran.stderr);
  let [taken, overruns] = [0, 0];
  for (let event = bench.kernel.receiveUevent(socket); event !== "empty";) {
    if (event === "overrun") overruns++;
    else taken++;
    event = bench.kernel.receiveUevent(socket);
  }
  assert.ok(taken < 9000 && overruns > 0);
}

async function seesReset(context: CaseContext): Promise<void> {
  const { address } = context.devices.nvme;
  const bench = new Bench(context, address);
  const { kernel } = bench;
  const inotify = bench.keep(kernel.openInotify("lab"));
  const reset = `${PCI}/${address}/reset`;
  const kinds = ["open", "modify", "close-write"] as const;
  const watch = kernel.addFileWatch(inotify, reset, kinds);
  const writer = await patientWriter(context, reset);
  const opened = await bench.when("the open", inotify, () => taken(kernel.readFileEvents(inotify)));
  assert.deepEqual(opened, [{ watch, kind: "open" }]);
  assert.equal(await resetsOf(context, address), 0, "the open is told before the reset");
  await writer.write();
  const rest: FileEvent[] = [];
  await bench.when("the close", inotify, () => {
    rest.push(...kernel.readFileEvents(inotify));
    return rest.length >= 2 ? true : undefined;
  });
  assert.deepEqual(rest, [{ watch, kind: "modify" }, { watch, kind: "close-write" }]);
  await writer.running.wait();
  assert.equal(await resetsOf(context, address), 1);
  const node = await context.vfioNode(address);
  const cdev = kernel.addFileWatch(inotify, node, ["open", "close-write"]);
  assert.notEqual(cdev, watch);
  const device = await bench.lane.openNode(node);
  await bench.lane.close(device);
  assert.deepEqual(kernel.readFileEvents(inotify), [
    { watch: cdev, kind: "open" },
    { watch: cdev, kind: "close-write" },
  ]);
}

function taken<T>(events: readonly T[]): readonly T[] | undefined {
  return events.length === 0 ? undefined : events;
}

async function seesRemoval(context: CaseContext): Promise<void> {
  const { address } = context.devices.nvme2;
  const bench = new Bench(context, address);
  const { kernel } = bench;
  const inotify = bench.keep(kernel.openInotify("lab"));
  const folder = `${PCI}/${address}`;
  const config = kernel.addFileWatch(inotify, `${folder}/config`, ["modify"]);
  const unbind = kernel.addFileWatch(inotify, `${folder}/driver/unbind`, ["open"]);
  const node = kernel.addFileWatch(inotify, await context.vfioNode(address), ["delete"]);
  const before = Deno.readFileSync(`${folder}/config`).slice(4, 6);
  assert.deepEqual(kernel.readFileEvents(inotify), [], "reading is no event");
  const file = Deno.openSync(`${folder}/config`, { write: true });
  file.seekSync(4, Deno.SeekMode.Start);
  file.writeSync(before);
  file.close();
  await Deno.writeTextFile(`${folder}/driver/unbind`, address);
  await bind(context.devices.nvme2);
  const events = kernel.readFileEvents(inotify);
  const kindsOf = (id: number) =>
    events.flatMap((it) => it !== "overrun" && it.watch === id ? [it.kind] : []);
  assert.deepEqual(kindsOf(config), ["modify"]);
  assert.deepEqual(kindsOf(unbind), ["open"]);
  assert.deepEqual(kindsOf(node), ["delete", "ignored"]);
}

/** Somebody's write to `reset`, and the gate's event of it. */
async function heldWriter(bench: Bench, context: CaseContext, gate: Fd, reset: string) {
  const running = context.start(["sh", "-c", 'echo 1 >"$1"', "sh", reset]);
  const events = await bench.when(
    "somebody at the gate",
    gate,
    () => taken(bench.kernel.readGate(gate)),
  );
  const event = waitingOf(events);
  assert.equal(event.pid, running.pid);
  return { running, waiting: event.waiting };
}

function waitingOf(events: readonly GateEvent[]) {
  const [event] = events;
  assert.ok(events.length === 1 && event !== undefined && event !== "overrun");
  assert.ok(event.kind === "open");
  return event;
}

async function holdsBack(context: CaseContext): Promise<void> {
  const { address } = context.devices.nvme;
  const bench = new Bench(context, address);
  const { kernel } = bench;
  const reset = `${PCI}/${address}/reset`;
  const gate = bench.keep(kernel.openGate(reset));
  const first = await heldWriter(bench, context, gate, reset);
  const { device } = await bench.bound();
  await bench.lane.close(device);
  const own = await resetsOf(context, address);
  assert.equal(first.running.ended, false, "the writer waits");
  kernel.answerGate(gate, first.waiting, true);
  const closed = await bench.when("the close", gate, () => taken(kernel.readGate(gate)));
  assert.deepEqual(closed, [{ kind: "closed", pid: first.running.pid }]);
  assert.equal((await first.running.wait()).status, 0);
  assert.equal(await resetsOf(context, address), own + 1);

  const second = await heldWriter(bench, context, gate, reset);
  kernel.answerGate(gate, second.waiting, false);
  const denied = await second.running.wait();
  assert.notEqual(denied.status, 0);
  assert.match(denied.stderr, /Operation not permitted/);

  const third = await heldWriter(bench, context, gate, reset);
  third.running.kill();
  await third.running.exited(5_000);
  kernel.answerGate(gate, third.waiting, true);

  const fourth = await heldWriter(bench, context, gate, reset);
  kernel.close(gate);
  assert.equal((await fourth.running.wait()).status, 0, "without the gate everybody passes");
  kernel.close(fourth.waiting);
  assert.equal(await resetsOf(context, address), own + 2);
}

async function traces(context: CaseContext): Promise<void> {
  const { address } = context.devices.nvme;
  const bench = new Bench(context, address);
  const { kernel, lane } = bench;
  const before = await tracingNames();
  const { device } = await bench.bound();
  const buffer = await bench.export(device);
  const [trace, other] = [kernel.openRevokeTrace(), kernel.openRevokeTrace()];
  context.defer(() => [trace, other].forEach((it) => it.fd.open && it.close()));
  await lane.resetDevice(device);
  const records = await recorded(bench, trace.fd, () => trace.read());
  assert.deepEqual(records.map(direction), [`${address} revoked`, `${address} valid`]);
  assert.deepEqual((await recorded(bench, other.fd, () => other.read())).map(direction), [
    `${address} revoked`,
    `${address} valid`,
  ]);
  other.close();
  await lane.writeRegion(device, 7, 4n, new Uint8Array([0, 0]));
  await lane.writeRegion(device, 7, 4n, new Uint8Array([2, 0]));
  const bit = await recorded(bench, trace.fd, () => trace.read());
  assert.deepEqual(bit.map(direction), [`${address} revoked`, `${address} valid`]);
  assert.ok(await bench.alive(buffer));
  trace.close();
  assert.deepEqual(await tracingNames(), before);
}

/** Waits for two records. */
async function recorded(
  bench: Bench,
  fd: Fd,
  read: () => readonly RevokeRecord[],
): Promise<readonly RevokeRecord[]> {
  const records: RevokeRecord[] = [];
  return await bench.when("two records", fd, () => {
    records.push(...read());
    return records.length >= 2 ? records : undefined;
  });
}

function direction(record: RevokeRecord): string {
  if (record === "overrun") return record;
  return `${record.device} ${record.revoked ? "revoked" : "valid"}`;
}

/** Probes and instances of Bargate. */
async function tracingNames(): Promise<readonly string[]> {
  const probes = (await Deno.readTextFile(`${TRACING}/kprobe_events`)).split("\n");
  const instances = Array.from(Deno.readDirSync(`${TRACING}/instances`)).map(({ name }) => name);
  return [...probes, ...instances].filter((name) => name !== "");
}

async function cleansUp(context: CaseContext): Promise<void> {
  const { kernel } = new Bench(context, context.devices.nvme.address);
  const before = await tracingNames();
  const living = kernel.openRevokeTrace();
  const livingNames = await tracingNames();
  await Deno.mkdir(`${TRACING}/instances/bargate_1_dead`);
  await Deno.writeTextFile(
    `${TRACING}/kprobe_events`,
    "p:bargate/revoke_1_dead vfio_pci_dma_buf_move\n",
    { append: true },
  );
  const enable = "instances/bargate_1_dead/events/bargate/revoke_1_dead/enable";
  await Deno.writeTextFile(`${TRACING}/${enable}`, "1");
  const second = kernel.openRevokeTrace();
  const after = await tracingNames();
  assert.ok(!after.some((name) => name.includes("dead")), after.join("\n"));
  for (const name of livingNames) assert.ok(after.includes(name), name);
  second.close();
  living.close();
  assert.deepEqual((await tracingNames()).toSorted(), before.toSorted());
}

/** Cases of the observers. */
export const cases: readonly LabCase[] = [
  {
    name: "port: a borrowed device exports, and while it is held the owner's end ends nothing",
    run: borrows,
  },
  {
    name: "port: a borrowed export ends with its owner, before the pidfd tells",
    run: endsWithOwner,
  },
  { name: "port: a socket and each packet tell their process, by pidfd", run: knowsPeers },
  { name: "port: uevents tell an unbind in order", run: uevents },
  { name: "port: uevents that were lost are told", run: ueventOverrun },
  { name: "port: inotify tells of a sysfs reset before it happens", run: seesReset },
  { name: "port: inotify tells of config writes and unbind, not of reads", run: seesRemoval },
  { name: "port: the gate holds the writer of reset until it is answered", run: holdsBack },
  { name: "port: the kprobe records each revoke and un-revoke with its device", run: traces },
  {
    name: "port: traces that killed processes left behind are removed, others stay",
    run: cleansUp,
  },
];
