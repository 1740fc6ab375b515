/**
 * Simulated devices whose descriptors are the operating system's own: run by `hosted.test.ts` in a process
 * of its own, for descriptors of other tests come and go.
 *
 * @module
 */
import assert from "node:assert/strict";
import { simulatedHost } from "../../cmd/simulated_host.ts";
import { demoImporter, Words } from "../../cmd/demo_importer.ts";
import { systemClock } from "../../engine/clock.ts";
import { type Event, EventLog } from "../../engine/event.ts";
import type { Fd } from "../../engine/fd.ts";
import { Guardian } from "../../engine/guardian.ts";
import { makePlan } from "../../engine/plan.ts";
import { loadPolicySet } from "../../policy/load.ts";
import type { HostedKernel } from "../../sim/hosted_kernel.ts";
import {
  filesOf,
  hosted,
  LABEL,
  leavingNothing,
  LENGTH,
  NODE,
  openDevice,
  Orderly,
  port,
  ready,
  real,
  snapshotOf,
  SSD,
  ssd,
} from "./hosted_support.ts";

const RANGES = [{ offset: 0x1000n, length: LENGTH }];
const CONFIG = 7;
const COMMAND = 4n;
const FIRST_LINE = "head -n 1 /proc/self/fd/4; wc -c < /proc/self/fd/4";
const REVOKED = "0";
const VALID = `${LABEL}\n${LENGTH}`;

async function export_(kernel: HostedKernel) {
  const { lane, device, iommufd } = await openDevice(kernel);
  const dmaBuf = await lane.exportDmaBuf(device, 2, RANGES);
  return { lane, device, iommufd, dmaBuf };
}

async function setDecode(
  { lane, device }: Pick<Awaited<ReturnType<typeof export_>>, "lane" | "device">,
  on: boolean,
): Promise<void> {
  await lane.writeRegion(device, CONFIG, COMMAND, new Uint8Array([on ? 2 : 0, 0]));
}

Deno.test("a child inherits the buffer alone, and reads its slice", async () => {
  await leavingNothing(async () => {
    const kernel = hosted();
    const { lane, device, iommufd, dmaBuf } = await export_(kernel);
    const child = Orderly.start(kernel, [dmaBuf]);
    // 5 is the folder that ls reads.
    assert.equal(await child.ask("ls -m /proc/self/fd"), "0, 1, 2, 3, 4, 5");
    assert.equal(await child.ask(FIRST_LINE), VALID);
    assert.match(await child.ask("readlink /proc/self/fd/4"), /simulated dma-buf: BAR 2 of/);
    assert.deepEqual(await child.end(), { how: "exited", status: 0 });
    for (const fd of [dmaBuf, device]) await lane.close(fd);
    kernel.close(iommufd);
  });
});

Deno.test("references count what others have, wherever it is", async () => {
  await leavingNothing(async () => {
    const kernel = hosted();
    const { lane, device, iommufd, dmaBuf } = await export_(kernel);
    const references = () => kernel.dmaBufFacts(dmaBuf).references;
    assert.equal(references(), 1);

    const ioas = await lane.ioasAlloc(iommufd);
    const map = { iommufd, ioas, dmaBuf, start: 0n, length: LENGTH, writeable: true };
    const iova = await lane.ioasMapFile(map);
    assert.equal(references(), 2);
    await lane.ioasUnmap(iommufd, ioas, iova, LENGTH);
    assert.equal(references(), 1);

    const [ours, theirs] = kernel.socketPair("a message on its way");
    kernel.send(ours, new Uint8Array(1), [dmaBuf]);
    assert.equal(references(), 2);
    kernel.close(theirs);
    kernel.close(ours);
    assert.equal(references(), 1);

    const child = Orderly.start(kernel, [dmaBuf]);
    assert.equal(references(), 2);
    await child.letGo(4);
    assert.equal(references(), 1);
    await child.end();

    const facts = kernel.dmaBufFacts(dmaBuf);
    assert.deepEqual([facts.size, facts.exporter, facts.closeOnExec], [
      LENGTH,
      "vfio_pci_core",
      true,
    ]);
    for (const fd of [dmaBuf, device]) await lane.close(fd);
    kernel.close(iommufd);
  });
});

Deno.test("a revoke empties the child's buffer, and its content comes back", async () => {
  await leavingNothing(async () => {
    const kernel = hosted();
    const exported = await export_(kernel);
    const { lane, device, iommufd, dmaBuf } = exported;
    const child = Orderly.start(kernel, [dmaBuf]);
    await child.ask("printf written >> /proc/self/fd/4; echo done");
    const LONGER = `${LABEL}\n${LENGTH + 7n}`;
    assert.equal(await child.ask(FIRST_LINE), LONGER);

    await setDecode(exported, false);
    assert.equal(await child.ask(FIRST_LINE), REVOKED);
    assert.equal(kernel.dmaBufFacts(dmaBuf).size, LENGTH, "a dma-buf keeps its size");
    await lane.resetDevice(device);
    assert.equal(await child.ask(FIRST_LINE), REVOKED, "decode is off over the reset");

    await setDecode(exported, true);
    assert.equal(await child.ask("head -n 1 /proc/self/fd/4"), LABEL);
    await lane.resetDevice(device);
    assert.equal(await child.ask("head -n 1 /proc/self/fd/4"), LABEL, "a bounce ends nothing");
    await child.end();
    for (const fd of [dmaBuf, device]) await lane.close(fd);
    kernel.close(iommufd);
  });
});

Deno.test("the last close of the device is for good, whatever is opened later", async () => {
  await leavingNothing(async () => {
    const kernel = hosted();
    const { lane, device, iommufd, dmaBuf } = await export_(kernel);
    const child = Orderly.start(kernel, [dmaBuf]);
    await lane.close(dmaBuf);
    assert.equal(await child.ask(FIRST_LINE), VALID, "it is the device that counts");
    await lane.close(device);
    assert.equal(await child.ask(FIRST_LINE), REVOKED);

    const again = await lane.openNode(NODE);
    await lane.bindIommufd(again, iommufd);
    assert.equal(await child.ask(FIRST_LINE), REVOKED);
    const [theirs] = await sendBack(kernel, child);
    assert.ok(theirs);
    const ioas = await lane.ioasAlloc(iommufd);
    const map = { iommufd, ioas, dmaBuf: theirs, start: 0n, length: LENGTH, writeable: true };
    await assert.rejects(lane.ioasMapFile(map), /ENODEV/);
    kernel.close(theirs);
    await child.end();
    await lane.close(again);
    kernel.close(iommufd);
    assert.equal(kernel.table.size, 0);
  });
});

/** The child's copy, taken by its pidfd's owner as a hostile importer would keep it. */
function sendBack(kernel: HostedKernel, child: Orderly): Promise<readonly Fd[]> {
  const pidfd = kernel.openProcess(child.pid);
  const fd = real.borrow(pidfd, 4, "kept by an importer");
  kernel.close(pidfd);
  return Promise.resolve([fd]);
}

Deno.test("a device descriptor that somebody else has keeps the device open", async () => {
  await leavingNothing(async () => {
    const kernel = hosted();
    const { lane, device, iommufd, dmaBuf } = await export_(kernel);
    const child = Orderly.start(kernel, [dmaBuf, device]);
    await lane.close(device);
    assert.equal(await child.ask(FIRST_LINE), VALID);
    await child.letGo(5);
    // That it was the last is told by the event loop.
    const [a, b] = kernel.socketPair("turn");
    kernel.send(a, new Uint8Array(1));
    await ready(kernel, b);
    assert.equal(await child.ask(FIRST_LINE), REVOKED);
    for (const fd of [a, b, iommufd, dmaBuf]) kernel.close(fd);
    await child.end();
  });
});

Deno.test("an eventfd that a simulated device signals is a real one", async () => {
  await leavingNothing(async () => {
    const kernel = hosted();
    const { lane, device, iommufd } = await openDevice(kernel);
    const eventFd = kernel.eventFd("request");
    await lane.armInterrupt(device, "request", eventFd);
    kernel.devices.get(NODE)?.interrupts.get("request")?.signal();
    await ready(kernel, eventFd);
    assert.equal(kernel.readEventFd(eventFd), 1n);
    await lane.close(device);
    for (const fd of [eventFd, iommufd]) kernel.close(fd);
  });
});

Deno.test("queues of events are readable while something waits in them", async () => {
  await leavingNothing(async () => {
    const kernel = hosted();
    const inotify = kernel.openInotify("files");
    const reset = `/sys/bus/pci/devices/${SSD}/reset`;
    const watch = kernel.addFileWatch(inotify, reset, ["modify"]);
    assert.throws(() => kernel.addFileWatch(inotify, "/etc/passwd", ["modify"]), /ENOENT/);
    assert.throws(() => kernel.addFileWatch(inotify, `${reset}x`, ["modify"]), /ENOENT/);
    kernel.fileWatches.tell(reset, "modify");
    await ready(kernel, inotify);
    assert.deepEqual(kernel.readFileEvents(inotify), [{ watch, kind: "modify" }]);
    assert.deepEqual(kernel.readFileEvents(inotify), []);
    const uevents = kernel.openUevents();
    assert.equal(kernel.receiveUevent(uevents), "empty");
    for (const fd of [inotify, uevents]) kernel.close(fd);
  });
});

Deno.test("a guardian sees a reset by somebody else, and takes a real process's slice back", async () => {
  const policy = new URL("../../examples/policies/cmb-to-edu.yaml", import.meta.url);
  const text = await Deno.readTextFile(policy);
  const { set } = loadPolicySet([{ file: "p.yaml", text }], { pageSize: 4096 });
  assert.ok(set !== undefined);
  const snapshot = snapshotOf([port(), ssd()]);
  await leavingNothing(async () => {
    const kernel = hosted(snapshot);
    const events: Event[] = [];
    const plan = makePlan(set, snapshot);
    const log = new EventLog(plan.policy, Date.now, (event) => events.push(event));
    const files = filesOf(snapshot);
    const guardian = new Guardian(plan, {
      kernel,
      clock: systemClock,
      log,
      limitMs: 30_000,
      files,
    });
    const [ours, theirs] = kernel.socketPair("words");
    const words = new Words(kernel, ours);
    const me = {
      uid: kernel.uid,
      gid: Deno.gid() ?? 0,
      name: "me",
      home: Deno.env.get("HOME") ?? "/",
    };
    const source = demoImporter("engine", me, theirs);
    await guardian.meet(source);
    await guardian.open();
    const end = guardian.run(source);
    await words.waitFor(`read: ${LABEL}`);

    kernel.fileWatches.tell(`/sys/bus/pci/devices/${SSD}/reset`, "modify");
    for (const said of ["revoked device-reset", "read: nothing", "end"]) await words.waitFor(said);
    assert.deepEqual(await end, { child: { how: "exited", status: 0 }, trouble: false });
    const [revoking] = events.filter(({ type }) => type === "revoking");
    assert.equal(revoking?.cause?.source, "sysfs");
    const [ended] = events.filter(({ type }) => type === "ended");
    assert.deepEqual([ended?.reason, ended?.means], ["device-reset", "close"]);
    kernel.close(theirs);
    words.close();
    assert.equal(kernel.table.size, 0);
  });
});

Deno.test("nothing of the machine is reached: no borrowed descriptor, no node", () => {
  const kernel = hosted();
  const own = kernel.openProcess(kernel.pid);
  const other = kernel.openProcess(Deno.ppid);
  assert.throws(() => kernel.borrow(other, 0, "somebody's device"), /EOPNOTSUPP/);
  kernel.close(other);
  assert.throws(() => kernel.identify("/dev/null"), /ENOENT/);
  assert.throws(() => kernel.identify("/sys"), /ENOENT/);
  kernel.close(own);
});

Deno.test("there is an iommufd where the kernel has one, with character devices or without", async () => {
  const { cdev: _, ...byGroup } = ssd();
  const host = (option: "n" | "y" | undefined, fn: ReturnType<typeof ssd>) => {
    const made = snapshotOf([port(), fn]);
    const config = option === undefined ? {} : { config: { CONFIG_IOMMUFD: option } };
    return { ...made, kernel: { ...made.kernel, ...config } };
  };
  await leavingNothing(() => {
    const cases = [["y", byGroup, true], ["n", byGroup, false], [undefined, ssd(), true]] as const;
    for (const [option, fn, there] of cases) {
      const { kernel } = simulatedHost(host(option, fn), () => {});
      if (there) kernel.close(kernel.openIommufd());
      else assert.throws(() => kernel.openIommufd(), { errnoName: "ENOENT" });
    }
    return Promise.resolve();
  });
});
