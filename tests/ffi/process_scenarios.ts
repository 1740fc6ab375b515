/**
 * Scenarios of `process.test.ts`, each in a process of its own: `process_scenarios.ts NAME`.
 *
 * @module
 */
import type { Fd } from "../../engine/fd.ts";
import { KernelError } from "../../engine/kernel_error.ts";
import { memfd } from "../../ffi/descriptors.ts";
import { signalEventFd } from "../../ffi/event_fd.ts";
import { LinuxFiles } from "../../ffi/linux_files.ts";
import { LinuxKernel } from "../../ffi/linux_kernel.ts";
import { isDumpable } from "../../ffi/process.ts";
import type { Child, Lane, SpawnRequest } from "../../engine/kernel.ts";

const kernel = new LinuxKernel();

/** Waits for a child's end. */
async function ended(child: Child): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const watch = kernel.watch(child.pidfd, resolve);
  await promise;
  watch.stop();
  kernel.childEnd(child);
  kernel.close(child.pidfd);
}

function program(script: string, more: Partial<SpawnRequest> = {}): SpawnRequest {
  const argv = ["sh", "-c", script];
  return { path: "/bin/sh", argv, env: {}, fds: [], stdoutToStderr: false, ...more };
}

/** Something that must fail, and leave nothing behind. */
function refused(step: () => unknown): void {
  try {
    step();
  } catch (error) {
    if (error instanceof KernelError || error instanceof TypeError) return;
    throw error;
  }
  throw new Error("it was not refused");
}

/** One lane throughout: the runtime takes its time to close what a thread of its own had open. */
async function hygiene(): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "bargate" });
  // Else the runtime sets its signal handling up, with sockets, at a time of its own.
  kernel.makeNonDumpable();
  const lane = kernel.openLane("hygiene");
  await useEverything(folder, lane);
  await kernel.idle();
  const before = new Set(kernel.ownDescriptors().map(({ number }) => number));
  for (let round = 0; round < 10; round++) await useEverything(folder, lane);
  await kernel.idle();
  const left = kernel.ownDescriptors().filter(({ number }) => !before.has(number));
  await lane.end();
  await Deno.remove(folder, { recursive: true });
  console.log(JSON.stringify({ left, notCloseOnExec: [...notCloseOnExec] }));
}

const notCloseOnExec = new Set<string>();

/** Notes what among some descriptors a program that is executed would get. */
function inspect(fds: readonly Fd[]): void {
  const numbers = new Map(fds.map((fd) => [fd.number, fd.what]));
  for (const { number, closeOnExec } of kernel.ownDescriptors()) {
    const what = numbers.get(number);
    if (what !== undefined && !closeOnExec) notCloseOnExec.add(what);
  }
}

async function useEverything(folder: string, lane: Lane): Promise<void> {
  const [here, there] = kernel.socketPair("pair");
  const listener = kernel.listen(`${folder}/s`);
  const client = kernel.connect(`${folder}/s`);
  const server = kernel.accept(listener) ?? here;
  const event = kernel.eventFd("event");
  const memory = memfd("memory", 4096n);
  const node = await lane.openShared("/dev/null");
  await lane.close(await lane.openNode("/dev/null"));
  kernel.send(here, new Uint8Array(1), [event, memory]);
  const packet = kernel.receive(there);
  const received = typeof packet === "string" ? [] : packet.fds;
  const watches = [event, here].map((fd) => kernel.watch(fd, () => undefined));
  const others = await useObservers(folder, here, there);
  const child = kernel.spawn(program("exit 3", { fds: [{ name: "memory", fd: memory }] }));
  inspect([
    ...[here, there, listener, client, server, event, memory, node, child.pidfd],
    ...received,
    ...others,
  ]);
  refuseEverything(folder, memory);
  await ended(child);
  watches.forEach((watch) => watch.stop());
  await lane.close(node);
  await lane.openNode("/nonexistent").catch(() => undefined);
  for (const fd of [here, there, listener, client, server, event, memory, ...received, ...others]) {
    kernel.close(fd);
  }
}

/** @returns what stays open */
async function useObservers(folder: string, here: Fd, there: Fd): Promise<readonly Fd[]> {
  const self = kernel.openProcess(kernel.pid);
  const borrowed = kernel.borrow(self, here.number, "borrowed");
  await kernel.identifyProcess(self);
  const inotify = kernel.openInotify("inotify");
  kernel.addFileWatch(inotify, folder, ["open"]);
  const uevents = kernel.openUevents();
  kernel.receiveUevent(uevents);
  const peer = kernel.peerPidfd(here);
  kernel.passPidfds(here);
  kernel.send(there, new Uint8Array(1));
  const packet = kernel.receive(here);
  const sender = typeof packet === "string" ? undefined : packet.pidfd;
  refused(() => kernel.addFileWatch(inotify, `${folder}/absent`, ["open"]));
  refused(() => kernel.openGate(`${folder}/absent`));
  refused(() => kernel.borrow(self, 999_999, "none"));
  refused(() => kernel.peerPidfd(inotify));
  const maybe = [peer, sender].filter((fd) => fd !== undefined && fd !== "unsupported");
  return [self, borrowed, inotify, uevents, ...maybe];
}

function refuseEverything(folder: string, memory: Fd): void {
  const files = new LinuxFiles();
  files.list("/proc/self/fd");
  refused(() => kernel.listen(`${folder}/s`));
  refused(() => kernel.listen(`${folder}/absent/s`));
  refused(() => kernel.connect(`${folder}/absent`));
  refused(() => kernel.dmaBufFacts(memory));
  refused(() => kernel.watch(memory, () => undefined));
  refused(() => kernel.spawn(program("", { path: "/nonexistent" })));
  refused(() => kernel.spawn(program("", { fds: [{ name: ":", fd: memory }] })));
  refused(() => kernel.identify(`${folder}/absent`));
  kernel.account("root");
}

function end(): void {
  const fd = kernel.eventFd("watched");
  const watch = kernel.watch(fd, () => undefined);
  console.log("watching");
  setTimeout(() => {
    watch.stop();
    console.log("stopped");
  }, 0);
}

/** Waits for SIGUSR2 in a descriptor's call back, through whatever signals come before. */
function interrupted(): void {
  const fd = kernel.eventFd("watched");
  const listener = () => signalEventFd(fd);
  Deno.addSignalListener("SIGUSR2", listener);
  const watch = kernel.watch(fd, () => {
    watch.stop();
    Deno.removeSignalListener("SIGUSR2", listener);
    console.log("called");
  });
  console.log("watching");
}

function umask(): void {
  const folder = Deno.makeTempDirSync({ prefix: "bargate" });
  Deno.umask(0);
  kernel.close(kernel.listen(`${folder}/s`));
  console.log((kernel.identify(`${folder}/s`).mode & 0o777).toString(8));
  Deno.removeSync(folder, { recursive: true });
}

function harden(): void {
  const before = isDumpable();
  kernel.makeNonDumpable();
  const status = new LinuxFiles().readText("/proc/self/status");
  const [caught, ignored] = ["SigCgt", "SigIgn"].map((name) => {
    const mask = new RegExp(`^${name}:\t([0-9a-f]+)$`, "m").exec(status)?.[1] ?? "0";
    return (BigInt(`0x${mask}`) >> 9n & 1n) === 1n;
  });
  const inspector = ignored && !caught ? "ignored" : "listened to";
  const files = kernel.ownDescriptors().length > 2;
  console.log(JSON.stringify({ before, after: isDumpable(), inspector, files }));
}

async function stdout(): Promise<void> {
  await ended(kernel.spawn(program("echo redirected", { stdoutToStderr: true })));
  await ended(kernel.spawn(program("echo plain")));
}

const SCENARIOS: Readonly<Record<string, () => void | Promise<void>>> = {
  hygiene,
  end,
  interrupted,
  umask,
  harden,
  stdout,
};

await SCENARIOS[Deno.args[0] ?? ""]?.();
