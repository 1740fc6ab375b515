import { deepEqual, equal, ok, throws } from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import type { Packet, Uevent } from "../../engine/kernel.ts";
import { SimKernel } from "../../sim/sim_kernel.ts";
import { SimEventFd } from "../../sim/vfio.ts";

const OWNER = { pid: 42, uid: 997, gid: 998 };

/** Counts how often a descriptor was told to be readable, after a turn. */
async function readable(kernel: SimKernel, fd: Fd, cause: () => void): Promise<number> {
  let times = 0;
  const watch = kernel.watch(fd, () => times++);
  cause();
  await Promise.resolve();
  watch.stop();
  return times;
}

Deno.test("SimKernel tells who a process is until it has gone", async () => {
  const kernel = new SimKernel({ functions: [] });
  throws(() => kernel.openProcess(42), { errnoName: "ESRCH" });
  const executable = { path: "/usr/bin/spdk_tgt", device: 1n, inode: 9n, sha256: "ab" };
  const process = kernel.addProcess({ ...OWNER, executable, unit: "spdk_tgt.service" });
  const pidfd = kernel.openProcess(42);
  const identity = await kernel.identifyProcess(pidfd, { sha256: true });
  deepEqual([identity?.unit, identity?.executable.sha256], ["spdk_tgt.service", "ab"]);
  equal((await kernel.identifyProcess(pidfd))?.executable.sha256, undefined);
  equal(await readable(kernel, pidfd, () => process.end()), 1);
  deepEqual([kernel.hasExited(pidfd), kernel.pidOf(pidfd)], [true, undefined]);
  equal(await kernel.identifyProcess(pidfd), undefined);
  throws(() => kernel.borrow(pidfd, 3, "any"), { errnoName: "ESRCH" });
});

Deno.test("SimKernel lends the same open file", () => {
  const kernel = new SimKernel({ functions: [] });
  kernel.addProcess(OWNER);
  const pidfd = kernel.openProcess(42);
  const file = new SimEventFd();
  const number = kernel.table.install(file);
  const borrowed = kernel.borrow(pidfd, number, "theirs");
  equal(file.references, 2);
  equal(kernel.file(borrowed, SimEventFd), file);
  kernel.close(borrowed);
  equal(file.references, 1);
  throws(() => kernel.borrow(pidfd, 999, "none"), { errnoName: "EBADF" });
});

Deno.test("SimKernel brings the sender's pidfd where that was asked for", () => {
  const kernel = new SimKernel({ functions: [] });
  kernel.addProcess(OWNER);
  const listener = kernel.listen("/run/s");
  const theirs = kernel.connectAs(OWNER, "/run/s");
  const socket = kernel.accept(listener);
  ok(socket !== undefined);
  deepEqual(kernel.peerCredentials(socket), OWNER);
  const peer = kernel.peerPidfd(socket);
  ok(peer !== "unsupported");
  equal(kernel.pidOf(peer), 42);
  const next = (): Packet => {
    kernel.sendAs(OWNER, theirs, new Uint8Array(1));
    const packet = kernel.receive(socket);
    ok(typeof packet !== "string");
    return packet;
  };
  equal(next().pidfd, undefined);
  ok(kernel.passPidfds(socket));
  const { pidfd } = next();
  ok(pidfd !== undefined);
  equal(kernel.pidOf(pidfd), 42);
});

Deno.test("SimKernel gives uevents, file events and records in order, and overruns in their place", async () => {
  const kernel = new SimKernel({ functions: [] });
  const socket = kernel.openUevents();
  const event: Uevent = { action: "remove", path: "/devices/x", values: new Map() };
  const push = () => {
    for (const sim of kernel.uevents) [event, "overrun" as const].forEach((it) => sim.push(it));
  };
  equal(await readable(kernel, socket, push), 2);
  deepEqual([1, 2, 3].map(() => kernel.receiveUevent(socket)), [event, "overrun", "empty"]);

  const inotify = kernel.openInotify("sim");
  const watch = kernel.addFileWatch(inotify, "/sys/reset", ["open"]);
  equal(kernel.addFileWatch(inotify, "/sys/reset", ["open", "modify"]), watch);
  for (const kind of ["open", "close-write", "modify"] as const) {
    kernel.fileWatches.tell("/sys/reset", kind);
  }
  kernel.fileWatches.tell("/sys/other", "open");
  kernel.fileWatches.overrun();
  kernel.removeFileWatch(inotify, watch);
  const kinds = kernel.readFileEvents(inotify).map((it) => it === "overrun" ? it : it.kind);
  deepEqual(kinds, ["open", "modify", "overrun", "ignored"]);
  throws(() => kernel.removeFileWatch(inotify, watch), { errnoName: "EINVAL" });

  const trace = kernel.openRevokeTrace();
  const record = { device: "0000:01:00.0", revoked: true, pid: 42, task: "x" };
  for (const sim of kernel.revokeTraces) sim.push(record);
  deepEqual(trace.read(), [record]);
  trace.close();
  [socket, inotify].forEach((fd) => kernel.close(fd));
  deepEqual([kernel.uevents.size, kernel.revokeTraces.size], [0, 0]);
  deepEqual(kernel.ownDescriptors(), []);
});

Deno.test("SimKernel's gate holds an open until it is answered, or the gate is gone", async () => {
  const kernel = new SimKernel({ functions: [] });
  const gate = kernel.openGate("/sys/reset");
  const answers = [true, false].map((allow) => {
    const passed = kernel.gates.get("/sys/reset")?.open(42);
    const [event] = kernel.readGate(gate);
    ok(event !== undefined && event !== "overrun" && event.kind === "open" && event.pid === 42);
    kernel.answerGate(gate, event.waiting, allow);
    return passed;
  });
  deepEqual(await Promise.all(answers), [true, false]);
  const held = kernel.gates.get("/sys/reset")?.open(43);
  kernel.close(gate);
  equal(await held, true);
  deepEqual([kernel.gates.size, kernel.ownDescriptors()], [0, []]);
});
