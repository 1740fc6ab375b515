/** A simulated host over the real kernel, and a child that does what it is told. @module */
import "../../ffi/preload.ts";
import assert from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import type { Child, ChildEnd, Lane } from "../../engine/kernel.ts";
import { libc } from "../../ffi/libc.ts";
import { LinuxFiles } from "../../ffi/linux_files.ts";
import { LinuxKernel } from "../../ffi/linux_kernel.ts";
import { LinuxMemoryFiles } from "../../ffi/memory_files.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import { HostedKernel } from "../../sim/hosted_kernel.ts";
import { SnapshotFiles } from "../../sim/snapshot_files.ts";
import { functionsOf } from "../../sim/snapshot_functions.ts";
import type { SimFunction } from "../../sim/vfio.ts";

export const SSD = "0000:01:00.0";
export const NODE = "/dev/vfio/devices/vfio0";
export const LENGTH = 0x2000n;
export const LABEL = `BAR 2 of ${SSD}, byte 0x1000 (simulated)`;

/** An NVMe function below a root port. */
export function ssd(more: Partial<SnapshotFunction> = {}): SnapshotFunction {
  const config = new Uint8Array(256);
  const view = new DataView(config.buffer);
  view.setUint32(0, 0x0010_1b36, true);
  view.setUint32(8, 0x0108_0200, true);
  return {
    address: SSD,
    vendor: "1b36",
    device: "0010",
    subsystem: "0000:0000",
    class: "010802",
    driver: "vfio-pci",
    iommuGroup: 7,
    groupNode: "/dev/vfio/7",
    parent: "0000:00:01.0",
    cdev: NODE,
    resetMethods: ["flr", "bus"],
    powerState: "D0",
    config,
    bars: [
      { index: 0, kind: "memory64", start: 0xfe00_0000n, size: 0x4000n, prefetchable: false },
      { index: 2, kind: "memory64", start: 0x8_0000_0000n, size: 0x100_0000n, prefetchable: true },
    ],
    unreadable: [],
    ...more,
  };
}

/** A root port, which nobody opens. */
export function port(): SnapshotFunction {
  const config = new Uint8Array(256);
  new DataView(config.buffer).setUint32(0, 0x000c_1b36, true);
  config[0x0b] = 0x06;
  config[0x0a] = 0x04;
  config[0x0e] = 1;
  return {
    address: "0000:00:01.0",
    vendor: "1b36",
    device: "000c",
    class: "060400",
    driver: "pcieport",
    parent: "pci0000:00",
    resetMethods: [],
    config,
    bars: [],
    unreadable: [],
  };
}

export function snapshotOf(functions: readonly SnapshotFunction[]): HostSnapshot {
  return {
    kernel: { release: "7.3.4" },
    pageSize: 4096,
    iommu: ["dmar0"],
    functions: functions.toSorted((a, b) => a.address < b.address ? -1 : 1),
  };
}

export const real = new LinuxKernel();

/** Files of a simulated host. */
export function filesOf(snapshot: HostSnapshot): SnapshotFiles {
  return new SnapshotFiles(snapshot, new LinuxFiles());
}

/** @returns a simulated host of its own */
export function hosted(snapshot = snapshotOf([port(), ssd()])): HostedKernel {
  return hostOf(functionsOf(snapshot), snapshot);
}

/** The same, of just these devices. */
export function hostOf(
  functions: readonly SimFunction[],
  snapshot = snapshotOf([]),
): HostedKernel {
  return new HostedKernel({
    real,
    memory: new LinuxMemoryFiles(),
    files: filesOf(snapshot),
    functions,
    release: snapshot.kernel.release,
    pageSize: snapshot.pageSize,
    hasIommufd: true,
    account: (user) => real.account(user),
    groupId: (group) => real.groupId(group),
  });
}

/** Runs a test, and makes sure that it leaves no descriptor behind. */
export async function leavingNothing(work: () => Promise<void>): Promise<void> {
  await real.idle();
  const before = targets();
  await work();
  await real.idle();
  assert.deepEqual(targets(), before);
}

function targets(): string[] {
  return real.ownDescriptors().map(({ number, target }) => `${number} ${target}`);
}

/** A device, bound and ready. */
export async function openDevice(
  kernel: HostedKernel,
): Promise<{ lane: Lane; device: Fd; iommufd: Fd }> {
  const lane = kernel.openLane("test");
  const iommufd = kernel.openIommufd();
  const device = await lane.openNode(NODE);
  await lane.bindIommufd(device, iommufd);
  return { lane, device, iommufd };
}

const F_SETFL = 4;
const TAKES_ORDERS =
  'while order=$(dd bs=4096 count=1 <&3 2>/dev/null) && [ -n "$order" ]; do eval "$order"; printf %s "$out" >&3; done';

/** A shell that runs what it is sent, and answers with what that writes. Its own files begin at 4. */
export class Orderly {
  private constructor(
    private readonly kernel: HostedKernel,
    private readonly control: Fd,
    private readonly child: Child,
  ) {}

  static start(kernel: HostedKernel, fds: readonly Fd[]): Orderly {
    const [ours, theirs] = kernel.socketPair("orders");
    // A shell waits only where a read does.
    libc().fcntl(theirs.number, F_SETFL, 0);
    const given = [theirs, ...fds].map((fd, index) => ({ name: `n${index}`, fd }));
    const child = kernel.spawn({
      path: "/bin/sh",
      argv: ["sh", "-c", TAKES_ORDERS],
      env: { PATH: "/usr/bin:/bin" },
      fds: given,
      stdoutToStderr: false,
    });
    kernel.close(theirs);
    return new Orderly(kernel, ours, child);
  }

  get pid(): number {
    return this.child.pid;
  }

  /** @param order that writes something */
  ask(order: string): Promise<string> {
    return this.#order(`out=$(${order})`);
  }

  async #order(order: string): Promise<string> {
    this.kernel.send(this.control, new TextEncoder().encode(order));
    await ready(this.kernel, this.control);
    const packet = this.kernel.receive(this.control);
    assert.ok(typeof packet !== "string", String(packet));
    return new TextDecoder().decode(packet.bytes);
  }

  /** Closes a descriptor of its own. */
  async letGo(number: number): Promise<void> {
    assert.equal(await this.#order(`exec ${number}<&-; out=done`), "done");
  }

  /** Its end, by its own will. */
  async end(): Promise<ChildEnd | undefined> {
    this.kernel.close(this.control);
    await ready(this.kernel, this.child.pidfd);
    const end = this.kernel.childEnd(this.child);
    this.kernel.close(this.child.pidfd);
    return end;
  }
}

/** Waits until a descriptor has something. */
export async function ready(kernel: HostedKernel, fd: Fd): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const watch = kernel.watch(fd, resolve);
  await promise;
  watch.stop();
}
