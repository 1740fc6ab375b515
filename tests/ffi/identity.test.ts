import "../../ffi/preload.ts";
import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import { cgroupIn, unitOf } from "../../ffi/cgroup.ts";
import { closeDescriptor, closesOnExec, memfd, openPath } from "../../ffi/descriptors.ts";
import { identifyDescriptor, identifyPath } from "../../ffi/file_identity.ts";
import { hashFile } from "../../ffi/hash_file.ts";
import { C } from "../../ffi/layouts.ts";
import { libc } from "../../ffi/libc.ts";
import { borrowDescriptor, hasExited, parsePidfdFdinfo, pidOf } from "../../ffi/pidfd.ts";
import { openPidfd } from "../../ffi/process.ts";
import { identifyProcess, parseStatus } from "../../ffi/process_identity.ts";
import {
  passPidfds,
  peerPidfd,
  receivePacket,
  sendPacket,
  socketPair,
} from "../../ffi/seqpacket.ts";

/** Runs a step beside a process that lives until it is over. */
async function withSleeper(step: (pid: number, pidfd: Fd) => void | Promise<void>): Promise<void> {
  const child = new Deno.Command("/bin/sleep", { args: ["60"], stdin: "null" }).spawn();
  const pidfd = openPidfd(child.pid, "sleeper");
  try {
    await step(child.pid, pidfd);
  } finally {
    child.kill("SIGKILL");
    await child.status;
    closeDescriptor(pidfd);
  }
}

Deno.test("a pidfd tells its pid until the process has gone", async () => {
  const child = new Deno.Command("/bin/true", { stdin: "null" }).spawn();
  const pidfd = openPidfd(child.pid, "true");
  ok(closesOnExec(pidfd));
  await child.status;
  equal(hasExited(pidfd), true);
  equal(pidOf(pidfd), undefined);
  equal(await identifyProcess(pidfd, {}), undefined);
  throws(() => borrowDescriptor(pidfd, 0, "stdin"), { call: "pidfd_getfd", errnoName: "ESRCH" });
  throws(() => openPidfd(child.pid, "gone"), { call: "pidfd_open", errnoName: "ESRCH" });
  closeDescriptor(pidfd);
});

Deno.test("fdinfo of a pidfd: -1 has gone, 0 is not to be seen from here", () => {
  equal(parsePidfdFdinfo("pos:\t0\nPid:\t-1\nNSpid:\t-1\n"), undefined);
  equal(parsePidfdFdinfo("pos:\t0\nPid:\t0\n"), undefined);
  equal(parsePidfdFdinfo("pos:\t0\nflags:\t02\n"), undefined);
  equal(parsePidfdFdinfo("Pid:\t4194304\n"), 4194304);
});

Deno.test("a borrowed descriptor is the same open file, close-on-exec", () => {
  const self = openPidfd(Deno.pid, "this process");
  const own = memfd("lent", 5n);
  const borrowed = borrowDescriptor(self, own.number, "borrowed");
  ok(closesOnExec(borrowed));
  deepEqual(identifyDescriptor(borrowed), identifyDescriptor(own));
  throws(() => borrowDescriptor(self, 999_999, "none"), { errnoName: "EBADF", subject: "none" });
  [self, own, borrowed].forEach(closeDescriptor);
});

Deno.test("a process is identified by ids, executable, control group and hash", async () => {
  await withSleeper(async (pid, pidfd) => {
    equal(hasExited(pidfd), false);
    equal(pidOf(pidfd), pid);
    const file = Deno.realPathSync("/bin/sleep");
    const { device, inode } = identifyPath(file);
    const identity = await identifyProcess(pidfd, { sha256: true });
    deepEqual([identity?.pid, identity?.uid, identity?.gid], [pid, Deno.uid(), Deno.gid()]);
    const bytes = await crypto.subtle.digest("SHA-256", Deno.readFileSync(file));
    deepEqual(identity?.executable, {
      path: file,
      device,
      inode,
      sha256: new Uint8Array(bytes).toHex(),
    });
    const plain = await identifyProcess(pidfd, {});
    equal(plain?.executable.sha256, undefined);
    equal(plain?.cgroup, cgroupIn(Deno.readTextFileSync(`/proc/${pid}/cgroup`)));
  });
});

Deno.test("a file is hashed from its start, over many pieces", async () => {
  const fd = memfd("hashed", 3n * 1024n * 1024n + 17n);
  libc().read(fd.number, new Uint8Array(5), 5n);
  const zeros = await crypto.subtle.digest("SHA-256", new Uint8Array(3 * 1024 * 1024 + 17));
  equal(await hashFile(fd), new Uint8Array(zeros).toHex());
  closeDescriptor(fd);
  const folder = openPath("/", C.O_RDONLY);
  await rejects(hashFile(folder), { call: "pread", errnoName: "EISDIR" });
  closeDescriptor(folder);
});

Deno.test("ids in status are the effective ones, and a name forges none", () => {
  const text = "Name:\tx\\nUid:\t0 0 0 0\nState:\tS (sleeping)\nUid:\t1000\t997\t997\t997\n" +
    "Gid:\t1000\t998\t998\t998\nFDSize:\t64\nGroups:\t4 998 \n";
  deepEqual(parseStatus(text), { uid: 997, gid: 998, groups: [4, 998] });
  deepEqual(parseStatus(text.replace("4 998 ", " "))?.groups, []);
  equal(parseStatus("Name:\tx\n"), undefined);
});

Deno.test("the control group is systemd's hierarchy, else the unified one", () => {
  equal(cgroupIn("0::/system.slice/a.service\n"), "/system.slice/a.service");
  const hybrid = "12:cpu,cpuacct:/x\n1:name=systemd:/system.slice/b.service\n0::/other\n";
  equal(cgroupIn(hybrid), "/system.slice/b.service");
  equal(cgroupIn("0::/odd:name/x\n"), "/odd:name/x");
  equal(cgroupIn("3:cpu:/x\n"), undefined);
  equal(cgroupIn(""), undefined);
});

Deno.test("the unit is the first part that is no slice, and only that", () => {
  equal(unitOf("/system.slice/spdk_tgt.service"), "spdk_tgt.service");
  equal(unitOf("/system.slice/system-getty.slice/getty@tty1.service"), "getty@tty1.service");
  equal(unitOf("/a.slice/x.service/y.service"), "x.service");
  equal(unitOf("/user.slice/user-1.slice/user@1.service/app.slice/x.service"), "user@1.service");
  equal(unitOf("/machine.slice/libvirtd\\x2dvm.scope/vcpu0"), "libvirtd\\x2dvm.scope");
  equal(unitOf("/system.slice/_cgroup.service"), "cgroup.service");
  const none = [
    "/",
    "/docker/0123",
    "/user.slice",
    "/../system.slice/x.service",
    "/system.slice/x.service (deleted)",
    "/system.slice/x y.service",
    "/docker/x.service",
    `/${"x".repeat(250)}.service`,
  ];
  for (const path of none) equal(unitOf(path), undefined, path);
});

const text = (value: string) => new TextEncoder().encode(value);

function withPair(step: (here: Fd, there: Fd) => void): void {
  const pair = socketPair("test");
  try {
    step(...pair);
  } finally {
    pair.forEach(closeDescriptor);
  }
}

Deno.test("a packet brings its sender's pidfd only where that was asked for", () => {
  withPair((here, there) => {
    sendPacket(here, text("before"));
    const before = receivePacket(there);
    ok(typeof before !== "string" && before.pidfd === undefined);
    if (!passPidfds(there)) return;
    const sent = memfd("sent", 3n);
    sendPacket(here, text("after"), [sent]);
    const after = receivePacket(there);
    ok(typeof after !== "string" && after.pidfd !== undefined);
    equal(pidOf(after.pidfd), Deno.pid);
    ok(closesOnExec(after.pidfd));
    equal(after.fds.length, 1);
    [sent, after.pidfd, ...after.fds].forEach(closeDescriptor);
    sendPacket(there, text("back"));
    const back = receivePacket(here);
    ok(typeof back !== "string" && back.pidfd === undefined);
  });
});

Deno.test("the peer's pidfd is of the process that made the socket", () => {
  withPair((here) => {
    const pidfd = peerPidfd(here);
    if (pidfd === "unsupported") return;
    equal(pidOf(pidfd), Deno.pid);
    ok(closesOnExec(pidfd));
    closeDescriptor(pidfd);
  });
});

Deno.test("what cannot have a peer is refused, not called unsupported", () => {
  const file = openPath("/dev/null", C.O_RDONLY, "no socket");
  throws(() => peerPidfd(file), { errnoName: "ENOTSOCK", subject: "no socket" });
  throws(() => passPidfds(file), { errnoName: "ENOTSOCK", subject: "no socket" });
  closeDescriptor(file);
});
