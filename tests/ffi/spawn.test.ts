import "../../ffi/preload.ts";
import { deepEqual, equal, match, throws } from "node:assert/strict";
import type { ChildEnd, SpawnRequest } from "../../engine/kernel.ts";
import { findAccount, findGroupId } from "../../ffi/account.ts";
import { closeDescriptor, memfd } from "../../ffi/descriptors.ts";
import { createEventFd } from "../../ffi/event_fd.ts";
import { identifyDescriptor } from "../../ffi/file_identity.ts";
import { LinuxKernel } from "../../ffi/linux_kernel.ts";
import { receivePacket, sendPacket, socketPair } from "../../ffi/seqpacket.ts";
import { commandOf } from "../../ffi/spawn.ts";
import { untilTold } from "../support/until_end.ts";

const kernel = new LinuxKernel();

/** Runs a program to its end. */
async function run(request: SpawnRequest): Promise<ChildEnd> {
  const child = kernel.spawn(request);
  const { promise, resolve } = Promise.withResolvers<void>();
  const watch = kernel.watch(child.pidfd, resolve);
  await promise;
  watch.stop();
  await kernel.idle();
  const end = kernel.childEnd(child);
  if (end === undefined) throw new Error("the pidfd was readable before the end");
  deepEqual(kernel.childEnd(child), end);
  equal(kernel.signal(child.pidfd, 0), false);
  kernel.close(child.pidfd);
  return end;
}

function shell(script: string, more: Partial<SpawnRequest> = {}): SpawnRequest {
  return {
    path: "/bin/sh",
    argv: ["sh", "-c", script],
    env: { PATH: "/usr/bin:/bin" },
    fds: [],
    stdoutToStderr: false,
    ...more,
  };
}

/** Runs a script whose descriptor 3 is a file, and gives what it wrote there. */
async function output(script: string, more: Partial<SpawnRequest> = {}): Promise<string> {
  const file = memfd("output");
  const fds = [{ name: "output", fd: file }, ...more.fds ?? []];
  deepEqual(await run(shell(`exec >&3; ${script}`, { ...more, fds })), {
    how: "exited",
    status: 0,
  });
  const written = Deno.readTextFileSync(`/proc/self/fd/${file.number}`);
  closeDescriptor(file);
  return written;
}

Deno.test("the child gets its descriptors from 3 on, in order, and no others", async () => {
  const fds = Array.from({ length: 5 }, (_, index) => memfd(`given ${index}`, BigInt(index + 1)));
  const given = fds.map((fd, index) => ({ name: `n${index}`, fd }));
  const links = Array.from({ length: 6 }, (_, index) => `/proc/self/fd/${3 + index}`);
  const targets = await output(`exec readlink ${links.join(" ")}`, { fds: given });
  const names = ["output", ...fds.map((fd) => fd.what)];
  deepEqual(targets.trim().split("\n"), names.map((name) => `/memfd:${name} (deleted)`));
  // 9 is the folder that ls reads.
  const open = await output("exec ls /proc/self/fd", { fds: given });
  deepEqual(open.trim().split("\n"), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
  fds.forEach(closeDescriptor);
});

Deno.test("LISTEN_PID is the program's own pid, and the names are in order", async () => {
  const fd = createEventFd("second");
  const script = 'echo "$$ $LISTEN_PID $LISTEN_FDS $LISTEN_FDNAMES"';
  const [pid, listenPid, fds, names] = (await output(script, { fds: [{ name: "cmb/data", fd }] }))
    .trim().split(" ");
  equal(pid, listenPid);
  deepEqual([fds, names], ["2", "output:cmb/data"]);
  closeDescriptor(fd);
});

Deno.test("the environment is the given one", async () => {
  const env = {
    PATH: "/usr/bin:/bin",
    A: "1",
    B: "a b\n\"'$",
    LISTEN_FDS: "99",
    LISTEN_PID: "1",
    LISTEN_X: "",
  };
  const variables = new Map(
    (await output("env -0", { env })).split("\0").filter((it) => it !== "").map((it) => {
      const cut = it.indexOf("=");
      return [it.slice(0, cut), it.slice(cut + 1)];
    }),
  );
  equal(variables.get("A"), "1");
  equal(variables.get("B"), "a b\n\"'$");
  equal(variables.get("LISTEN_FDS"), "1");
  // The shells in between may add these.
  for (const name of ["PWD", "OLDPWD", "SHLVL", "_", "LISTEN_PID"]) variables.delete(name);
  deepEqual([...variables.keys()].sort(), [
    "A",
    "B",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_X",
    "PATH",
  ]);
});

Deno.test("no signal is blocked or ignored in the child", async () => {
  const status = await output("grep -E '^Sig(Blk|Ign)' /proc/self/status");
  const [blocked, ignored] = [...status.matchAll(/\t([0-9a-f]{16})/g)].map((it) =>
    BigInt(`0x${it[1]}`)
  );
  equal(blocked, 0n);
  // 32 and 33 belong to glibc, which lets nobody touch them.
  equal((ignored ?? -1n) & 0x7fffffffn, 0n);
});

Deno.test("an end is told as it was: status, signal", async () => {
  deepEqual(await run(shell("exit 0")), { how: "exited", status: 0 });
  deepEqual(await run(shell("exit 255")), { how: "exited", status: 255 });
  deepEqual(await run(shell("kill -9 $$")), { how: "signalled", signal: 9 });
  deepEqual(await run(shell("kill -s PIPE $$")), { how: "signalled", signal: 13 });
});

Deno.test("a running child is told from one that ended, and takes signals", async () => {
  const [here, there] = socketPair("channel");
  const child = kernel.spawn(shell("exec sleep 60", { fds: [{ name: "bargate", fd: there }] }));
  closeDescriptor(there);
  equal(kernel.childEnd(child), undefined);
  equal(kernel.signal(child.pidfd, 0), true);
  equal(kernel.signal(child.pidfd, 15), true);
  const { promise, resolve } = Promise.withResolvers<void>();
  const watch = kernel.watch(child.pidfd, resolve);
  await promise;
  watch.stop();
  deepEqual(kernel.childEnd(child), { how: "signalled", signal: 15 });
  equal(await untilTold(() => receivePacket(here)), "end");
  equal(sendPacket(here, new Uint8Array(1)), false);
  [here, child.pidfd].forEach(closeDescriptor);
  await kernel.idle();
});

Deno.test("arguments arrive as they are", async () => {
  const file = memfd("arguments");
  const argv = ["sh", "-c", "printf '%s|' \"$@\" >&3", "sh", "a b", "", "*", "$(x)", "-n", "ü"];
  deepEqual(
    await run({ ...shell(""), argv, fds: [{ name: "out", fd: file }] }),
    { how: "exited", status: 0 },
  );
  const written = Deno.readTextFileSync(`/proc/self/fd/${file.number}`);
  equal(written, "a b||*|$(x)|-n|ü|");
  closeDescriptor(file);
});

Deno.test("a program that cannot be executed is refused before anything starts", () => {
  const none = (path: string) => ({ ...shell(""), path });
  throws(() => kernel.spawn(none("/nonexistent")), {
    errnoName: "ENOENT",
    subject: "/nonexistent",
  });
  throws(() => kernel.spawn(none("/etc")), { errnoName: "EACCES" });
  throws(() => kernel.spawn(none("/etc/passwd")), { errnoName: "EACCES" });
});

Deno.test("what cannot be passed is refused", () => {
  const fd = createEventFd("x");
  throws(() => kernel.spawn(shell("", { fds: [{ name: "a:b", fd }] })), /no colon/);
  throws(() => kernel.spawn(shell("", { fds: [{ name: "", fd }] })), TypeError);
  throws(() => kernel.spawn(shell("", { env: { "A=B": "c" } })), TypeError);
  throws(() => kernel.spawn(shell("", { env: { A: "b\0c" } })), TypeError);
  throws(() => kernel.spawn({ ...shell(""), argv: ["sh", "\0"] }), TypeError);
  closeDescriptor(fd);
  throws(() => kernel.spawn(shell("", { fds: [{ name: "a", fd }] })), { name: "ClosedFdError" });
});

Deno.test("another account is taken by setpriv, our own is not", () => {
  const ours = { uid: Deno.uid() ?? -1, gid: Deno.gid() ?? -1, name: "ours" };
  equal(commandOf(shell("", { account: ours })).includes("/usr/bin/setpriv"), false);
  const command = commandOf(shell("x", { account: { uid: 12345, gid: 23456, name: "other" } }));
  deepEqual(command, [
    "/usr/bin/setpriv",
    "--reuid",
    "12345",
    "--regid",
    "23456",
    "--init-groups",
    "--inh-caps=-all",
    "--ambient-caps=-all",
    "--",
    "/bin/sh",
    "-c",
    'LISTEN_PID=$$; export LISTEN_PID; exec "$@"',
    "sh",
    "/bin/sh",
    "-c",
    "x",
  ]);
});

Deno.test({
  name: "a child of another account has its ids, its groups, and no capabilities",
  ignore: Deno.uid() !== 0,
  fn: async () => {
    const account = findAccount("nobody");
    if (account === undefined) throw new Error("this host has no account nobody");
    const text = await output(
      "grep -E '^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb))' /proc/self/status; echo $$ $LISTEN_PID",
      { account },
    );
    const [u, g] = [account.uid, account.gid];
    match(text, new RegExp(`^Uid:\t${u}\t${u}\t${u}\t${u}$`, "m"));
    match(text, new RegExp(`^Gid:\t${g}\t${g}\t${g}\t${g}$`, "m"));
    match(text, new RegExp(`^Groups:\t${g} *$`, "m"));
    equal([...text.matchAll(/^Cap...:\t0{16}$/gm)].length, 4);
    match(text, /^(\d+) \1$/m);
  },
});

Deno.test("accounts and groups are found by name and by number", () => {
  const { shell, ...root } = findAccount("root") ?? {};
  deepEqual(root, { uid: 0, gid: 0, name: "root", home: "/root" });
  match(shell ?? "", /^\//);
  deepEqual(findAccount("0"), findAccount("root"));
  equal(findAccount("no-such-account"), undefined);
  equal(findAccount("4294967295"), undefined);
  equal(findAccount("-1"), undefined);
  equal(findAccount(""), undefined);
  equal(findGroupId("root"), 0);
  equal(findGroupId("0"), 0);
  equal(findGroupId("no-such-group"), undefined);
});

Deno.test("the child has a session of its own, without a terminal", async () => {
  const stat = (await output("exec cat /proc/self/stat")).trim();
  // After the name: state, parent, process group, session, terminal (proc_pid_stat(5)).
  const [, , group, session, terminal] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const pid = stat.slice(0, stat.indexOf(" "));
  deepEqual([group, session, terminal], [pid, pid, "0"]);
});

Deno.test("a program of many names sees the one that it was started by", async () => {
  const folder = await Deno.makeTempDir({ prefix: "bargate-test-" });
  const path = `${folder}/name`;
  await Deno.symlink("/bin/sh", path);
  const text = await output("", {
    path,
    argv: ["other", "-c", 'exec >&3; tr "\\0" " " </proc/$$/cmdline | cut -d" " -f1; echo $0'],
  });
  deepEqual(text.split("\n").slice(0, 2), [path, path]);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("what changes accounts is shown no variable that the loader heeds", () => {
  const account = { uid: 12345, gid: 23456, name: "other" };
  for (const name of ["LD_PRELOAD", "LD_LIBRARY_PATH", "GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH"]) {
    throws(() => kernel.spawn(shell("", { account, env: { [name]: "x" } })), /privileged/);
  }
});

Deno.test("a descriptor is still ours after it was given", async () => {
  const fd = memfd("kept", 42n);
  await run(shell("exit 0", { fds: [{ name: "kept", fd }] }));
  equal(identifyDescriptor(fd).size, 42n);
  closeDescriptor(fd);
});
