import "../../ffi/preload.ts";
import { deepEqual, equal, fail, ok, rejects, throws } from "node:assert/strict";
import { KernelError, LaneEndedError } from "../../engine/kernel_error.ts";
import type { Fd } from "../../engine/fd.ts";
import { causeOf } from "../../engine/refusal.ts";
import { closeDescriptor, closesOnExec, openPath } from "../../ffi/descriptors.ts";
import { C } from "../../ffi/layouts.ts";
import { passPidfds, receivePacket, sendPacket, socketPair } from "../../ffi/seqpacket.ts";
import { LinuxLane } from "../../ffi/lane.ts";
import { fromMessage, refusal, toMessage } from "../../ffi/lane_message.ts";
import { untilTold } from "../support/until_end.ts";

/** A thread that dies of the first call. */
const DYING = worker(`self.onmessage = ({ data }) => {
  if (data.kind === "start") self.postMessage({ kind: "result", sent: 0 });
  else throw new Error("the thread died");
};`);

/** A thread whose call blocks in the kernel until somebody opens the FIFO for writing. */
const FIFO = worker(`self.onmessage = ({ data }) => {
  if (data.kind === "start") return self.postMessage({ kind: "result", sent: 0 });
  Deno.openSync(data.args[0]).close();
  self.postMessage({ kind: "result", sent: 0, result: { keptFd: 12345, what: "answered at last" } });
};`);

function worker(source: string): URL {
  return new URL(`data:text/javascript,${encodeURIComponent(source)}`);
}

/** What a descriptor of the process is; the listing's own has gone. */
function linkOf(number: string): string {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${number}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

/** A call, so that the compiler does not take the property for a constant. */
const waiting = (lane: LinuxLane) => lane.waiting;

/** What is open in the table of the thread that has this file open, without the file itself. */
function tableWith(path: string): readonly string[] {
  for (const { name: thread } of Deno.readDirSync("/proc/self/task")) {
    const links = linksIn(`/proc/self/task/${thread}/fd`);
    if (links.includes(path)) return links.toSorted();
  }
  fail(`No thread has ${path} open`);
}

/** Threads come and go, and so do descriptors. */
function linksIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => Deno.readLinkSync(`${folder}/${name}`));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

async function withLane(step: (lane: LinuxLane) => Promise<void>): Promise<void> {
  const lane = new LinuxLane("0000:01:00.0");
  try {
    await step(lane);
  } finally {
    await lane.end();
  }
}

Deno.test("a lane opens and closes; what it opens is in its own table only", async () => {
  await withLane(async (lane) => {
    equal(lane.name, "0000:01:00.0");
    const fd = await lane.openNode("/dev/full");
    ok(fd.open);
    throws(() => fd.number, { name: "ClosedFdError" });
    const here = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => linkOf(name));
    ok(!here.includes("/dev/full"));
    equal(fd.what, "/dev/full");
    const closed = lane.close(fd);
    equal(fd.open, false);
    await closed;
  });
});

Deno.test("what lanes share is the process's, close-on-exec", async () => {
  await withLane(async (lane) => {
    const fd = await lane.openShared("/dev/full");
    ok(closesOnExec(fd));
    equal(linkOf(String(fd.number)), "/dev/full");
    equal(fd.what, "/dev/full");
    await withLane(async (other) => {
      // Another lane takes a copy for the call, and keeps nothing.
      await rejects(other.resetDevice(fd), { errnoName: "ENOTTY" });
      await other.close(fd);
    });
    ok(!fd.open);
  });
});

Deno.test("a lane keeps no file alive that was open before it", async () => {
  const [here, there] = socketPair("kept");
  const file = openPath("/dev/zero", C.O_RDWR);
  const early = new LinuxLane("early");
  await early.close(await early.openNode("/dev/null"));
  closeDescriptor(there);
  // The lane's copy of the other end is gone.
  equal(await untilTold(() => receivePacket(here)), "end");
  closeDescriptor(here);
  closeDescriptor(file);
  await early.end();
});

Deno.test("a lane that shares the process's table closes there, and no copy is made", async () => {
  const lane = new LinuxLane("janitor", { table: "shared" });
  const [here, there] = socketPair("discarded");
  const { number } = there;
  equal(await lane.isIommufd(there), false);
  equal(there.number, number, "it is where it was");
  const closed = lane.close(there);
  equal(there.open, false, "nobody uses it from here on");
  await closed;
  equal(await untilTold(() => receivePacket(here)), "end");
  const file = openPath("/dev/full", C.O_RDWR);
  await lane.end();
  await rejects(lane.close(file), { name: "LaneEndedError" });
  closeDescriptor(file);
  closeDescriptor(here);
});

Deno.test("a lane's table is as before after calls that carried descriptors", async () => {
  const marker = await Deno.makeTempFile();
  const [here, there] = socketPair("carried");
  const file = openPath("/dev/zero", C.O_RDWR);
  await withLane(async (lane) => {
    const kept = await lane.openNode(marker);
    const before = tableWith(marker);
    for (let round = 0; round < 3; round++) {
      equal(await lane.isIommufd(file), false);
      equal(await lane.fileTarget(file), "/dev/zero");
      await rejects(lane.bindIommufd(kept, file), { errnoName: "ENOTTY" });
      const map = { iommufd: file, ioas: 1, dmaBuf: here, start: 0n, length: 1n, writeable: false };
      await rejects(lane.ioasMapFile(map), { errnoName: "ENOTTY" });
      await rejects(lane.armInterrupt(kept, "error", there), { errnoName: "ENOTTY" });
      await lane.close(await lane.openShared("/dev/full"));
    }
    deepEqual(tableWith(marker), before);
    await lane.close(kept);
  });
  [here, there, file].forEach(closeDescriptor);
  await Deno.remove(marker);
});

Deno.test("a lane's descriptor is no other lane's", async () => {
  await withLane(async (lane) => {
    const fd = await lane.openNode("/dev/null");
    await withLane(async (other) => {
      await rejects(other.deviceInfo(fd), { name: "ClosedFdError" });
    });
    await lane.close(fd);
  });
});

Deno.test("a lane says that a function is not there whose configuration space it is to read", async () => {
  await withLane((lane) =>
    rejects(lane.configSpace("ffff:ff:1f.7"), { name: "KernelError", errnoName: "ENOENT" })
  );
});

Deno.test("a lane takes a packet with its descriptors into its own table, and says what they are", async () => {
  const [here, there] = socketPair("asked");
  const file = openPath("/dev/full", C.O_RDWR);
  ok(passPidfds(here));
  await withLane(async (lane) => {
    equal(await lane.receive(here), "empty");
    sendPacket(there, new TextEncoder().encode("lent"), [file, there]);
    closeDescriptor(file);
    const packet = await lane.receive(here);
    if (typeof packet === "string") fail(packet);
    equal(new TextDecoder().decode(packet.bytes), "lent");
    deepEqual([packet.sender.pid, packet.pid, packet.flaw], [Deno.pid, Deno.pid, undefined]);
    const links = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => linkOf(name));
    ok(!links.includes("/dev/full"), "the process's table has nothing of it");
    const [full, socket] = packet.fds;
    ok(full !== undefined && socket !== undefined);
    throws(() => full.number, { name: "ClosedFdError" });
    equal(await lane.fileTarget(full), "/dev/full");
    equal(await lane.deviceAddress(full), undefined);
    ok((await lane.fileTarget(socket)).startsWith("socket:"));
    for (const fd of packet.fds) await lane.close(fd);
    await rejects(lane.fileTarget(full), { name: "ClosedFdError" });
    closeDescriptor(there);
    equal(await untilTold(() => lane.receive(here)), "end");
    await lane.close(here);
  });
});

Deno.test("an error comes back as the kernel said it", async () => {
  await withLane(async (lane) => {
    await rejects(lane.openNode("/nonexistent"), {
      name: "KernelError",
      call: "openNode",
      errno: 2,
      errnoName: "ENOENT",
      subject: "/nonexistent",
    });
    const absent = await lane.openNode("/nonexistent").catch((error: unknown) => error);
    ok(absent instanceof KernelError && /bound to vfio-pci/.test(causeOf(absent)));
    const fd = await lane.openNode("/dev/null");
    const ranges = [{ offset: 0n, length: 4096n }];
    const refusedBy = (call: string) => ({ call, errnoName: "ENOTTY", subject: "/dev/null" });
    await rejects(lane.exportDmaBuf(fd, 2, ranges), refusedBy("VFIO_DEVICE_FEATURE_DMA_BUF"));
    await rejects(lane.deviceInfo(fd), refusedBy("VFIO_DEVICE_GET_INFO"));
    await rejects(lane.regionInfo(fd, 0), refusedBy("VFIO_DEVICE_GET_REGION_INFO"));
    await rejects(lane.readRegion(fd, 7, 0n, 4), refusedBy("VFIO_DEVICE_GET_REGION_INFO"));
    const bytes = new Uint8Array(2);
    await rejects(lane.writeRegion(fd, 7, 4n, bytes), refusedBy("VFIO_DEVICE_GET_REGION_INFO"));
    await rejects(lane.bindIommufd(fd, fd), refusedBy("VFIO_DEVICE_BIND_IOMMUFD"));
    await rejects(lane.attachIoas(fd, 1), refusedBy("VFIO_DEVICE_ATTACH_IOMMUFD_PT"));
    await rejects(lane.resetDevice(fd), refusedBy("VFIO_DEVICE_RESET"));
    await rejects(lane.armInterrupt(fd, "error", undefined), refusedBy("VFIO_DEVICE_SET_IRQS"));
    await rejects(lane.armInterrupt(fd, "request", fd), refusedBy("VFIO_DEVICE_SET_IRQS"));
    await rejects(lane.ioasAlloc(fd), refusedBy("IOMMU_IOAS_ALLOC"));
    await rejects(lane.iommuDestroy(fd, 1), refusedBy("IOMMU_DESTROY"));
    await rejects(lane.ioasCopy(fd, 1, 2, 0n, 4096n), refusedBy("IOMMU_IOAS_COPY"));
    await rejects(lane.ioasUnmap(fd, 1, 0n, 4096n), refusedBy("IOMMU_IOAS_UNMAP"));
    const map = { iommufd: fd, ioas: 1, dmaBuf: fd, start: 0n, length: 1n, writeable: false };
    await rejects(lane.ioasMapFile(map), refusedBy("IOMMU_IOAS_MAP_FILE"));
    deepEqual(await lane.probeDmaBuf(fd), { state: "absent", cause: "kernel" });
    await lane.close(fd);
  });
});

Deno.test("what is no error of the kernel's is an error all the same", async () => {
  await withLane(async (lane) => {
    await rejects(lane.openNode("a\0b"), /contains NUL/);
  });
});

Deno.test("a descriptor that was given up cannot be used on a lane", async () => {
  await withLane(async (lane) => {
    const fd = await lane.openNode("/dev/null");
    await lane.close(fd);
    await rejects(async () => await lane.deviceInfo(fd), { name: "ClosedFdError" });
    await rejects(async () => await lane.close(fd), { name: "ClosedFdError" });
    equal(lane.waiting, undefined);
  });
});

Deno.test("calls are answered in order, and the oldest is the one that waits", async () => {
  await withLane(async (lane) => {
    equal(waiting(lane), undefined);
    const order: string[] = [];
    const first = lane.openNode("/dev/null").finally(() => order.push("open"));
    const second = lane.openNode("/nonexistent").catch(() => order.push("refused"));
    const third = lane.openNode("/dev/zero").finally(() => order.push("open too"));
    const { call, sinceMs } = waiting(lane) ?? { call: "none", sinceMs: -1 };
    equal(call, "openNode");
    ok(sinceMs >= 0);
    const fds = [await first, await third];
    await second;
    deepEqual(order, ["open", "refused", "open too"]);
    equal(lane.waiting, undefined);
    await Promise.all(fds.map((fd) => lane.close(fd)));
  });
});

Deno.test("end waits for what was asked, and refuses what is asked after", async () => {
  const lane = new LinuxLane("ending");
  const opened = lane.openNode("/dev/null");
  const ended = lane.end();
  await rejects(lane.openNode("/dev/null"), LaneEndedError);
  const fd = await opened;
  await ended;
  await lane.end();
  await rejects(lane.close(fd), { name: "LaneEndedError", lane: "ending", why: "it was ended" });
  ok(!fd.open, "it went with the lane's table");
});

Deno.test("a thread that dies rejects all that waits, and all that comes", async () => {
  const lane = new LinuxLane("doomed", { worker: DYING });
  const calls = [lane.openNode("/dev/null"), lane.openNode("/dev/zero")];
  for (const { status, reason } of await Promise.allSettled(calls) as PromiseRejectedResult[]) {
    equal(status, "rejected");
    ok(reason instanceof LaneEndedError);
    ok(reason.message.startsWith("Cannot make a call on lane doomed: "), reason.message);
  }
  equal(lane.waiting, undefined);
  await rejects(lane.openNode("/dev/null"), LaneEndedError);
  await lane.end();
});

Deno.test("a blocked lane delays no other, and says what it waits for", async () => {
  const folder = await Deno.makeTempDir({ prefix: "bargate" });
  const fifo = `${folder}/fifo`;
  equal((await new Deno.Command("mkfifo", { args: [fifo] }).output()).code, 0);
  const blocked = new LinuxLane("blocked", { worker: FIFO });
  const answer = blocked.openNode(fifo);
  await withLane(async (lane) => {
    await lane.close(await lane.openNode("/dev/null"));
    equal(blocked.waiting?.call, "openNode");
  });
  (await Deno.open(fifo, { write: true })).close();
  const fd: Fd = await answer;
  equal(fd.release(), 12345);
  await blocked.end();
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a lane tells of each descriptor before it closes it", async () => {
  const told: [Fd, boolean][] = [];
  const lane = new LinuxLane("telling", { onClose: (fd) => told.push([fd, fd.open]) });
  const fd = await lane.openNode("/dev/null");
  await lane.close(fd);
  deepEqual(told, [[fd, true]]);
  await lane.end();
});

Deno.test("everything but descriptors crosses as it is", () => {
  const bytes = new Uint8Array([1, 2]);
  const value = { a: 1n, b: [{ offset: 1n, length: 2n }], c: undefined, d: bytes, e: "x" };
  const kept = () => fail("there is no descriptor");
  for (const each of [value, undefined]) {
    const sent: Fd[] = [];
    deepEqual(fromMessage(structuredClone(toMessage(each, "table", sent)), kept, sent), each);
    deepEqual(sent, []);
  }
  deepEqual(refusal("odd"), { kind: "failed", message: "odd" });
});
