/**
 * The invariants of the engine over random histories: importers that map, copy, duplicate and keep,
 * operators, devices and faults, in any order.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { SimIommufd } from "../../sim/iommufd.ts";
import type { SimDmaBuf } from "../../sim/vfio.ts";
import { RESET_METHODS, type ResetMethod } from "../../engine/reset_outcome.ts";
import { BRIDGE, type GrantSpec, Scene, settle, simFunction, SSD } from "./support.ts";
import { runs } from "../support/runs.ts";

const OTHER = "0000:02:00.0";

/** One thing that happens. */
type Step =
  | { readonly do: "map" | "keep" | "letGo" | "request" | "copy"; readonly name: string }
  | { readonly do: "release" | "ack"; readonly name: string }
  | { readonly do: "reset"; readonly address: string; readonly method: ResetMethod }
  | { readonly do: "signal"; readonly address: string; readonly which: "request" | "error" }
  | { readonly do: "fault" | "stall"; readonly call: string }
  | { readonly do: "sysfs"; readonly address: string; readonly file: string }
  | { readonly do: "observersLose" }
  | { readonly do: "goOn" }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "shutdown" | "exit" };

const name = fc.constantFrom("a", "b", "c");
const address = fc.constantFrom(SSD, OTHER);

const CALLS = [
  "VFIO_DEVICE_RESET",
  "VFIO_DEVICE_PCI_HOT_RESET",
  "IOMMU_IOAS_UNMAP",
  "IOMMU_IOAS_MAP_FILE",
  "VFIO_DEVICE_FEATURE_DMA_BUF",
  "VFIO_DEVICE_BIND_IOMMUFD",
  "openNode",
  "pread",
  "pwrite",
  "close",
] as const;

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constantFrom("map", "keep", "letGo", "release", "ack", "request", "copy"),
    name,
  }),
  fc.record({
    do: fc.constant("reset"),
    address,
    method: fc.constantFrom(...RESET_METHODS),
  }),
  fc.record({ do: fc.constant("signal"), address, which: fc.constantFrom("request", "error") }),
  fc.record({ do: fc.constantFrom("fault", "stall"), call: fc.constantFrom(...CALLS) }),
  fc.record({
    do: fc.constant("sysfs"),
    address: fc.constantFrom(SSD, OTHER, BRIDGE),
    file: fc.constantFrom("reset", "reset_subordinate", "config", "remove", "driver/unbind"),
  }),
  { weight: 1, arbitrary: fc.constant({ do: "observersLose" }) },
  fc.constant({ do: "goOn" }),
  fc.record({ do: fc.constant("wait"), ms: fc.constantFrom(1, 100, 3_000, 61_000) }),
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("shutdown", "exit") }) },
) as fc.Arbitrary<Step>;

const specs: fc.Arbitrary<GrantSpec[]> = fc.tuple(
  ...["a", "b", "c"].map((grant, index) =>
    fc.record({
      name: fc.constant(grant),
      address: fc.constant(index === 2 ? OTHER : SSD),
      mapping: fc.constantFrom("importer", "bargate"),
      onReset: fc.constantFrom("revoke", "restore"),
      expiresMs: fc.constantFrom(undefined, 60_000),
      graceMs: fc.constantFrom(0, 500),
      virtual: fc.constant(index === 2),
    })
  ),
) as unknown as fc.Arbitrary<GrantSpec[]>;

/** A scene whose buffers are remembered in the order in which they were exported. */
class History {
  readonly buffers: SimDmaBuf[] = [];
  readonly #stalled: (() => void)[] = [];
  readonly #iommufds: { iommufd: SimIommufd; ioas: number }[] = [];
  readonly scene: Scene;

  constructor(private readonly grants: readonly GrantSpec[]) {
    const hotResetDomain = [SSD, OTHER];
    this.scene = new Scene(
      grants,
      hotResetDomain.map((address) =>
        simFunction(address, { virtual: address === OTHER, hotResetDomain })
      ),
    );
    for (const device of this.scene.kernel.devices.values()) {
      device.onExport = (buffer) => this.buffers.push(buffer);
    }
  }

  /** After an end the slice is unreachable, whoever keeps what. */
  check(): void {
    const { events } = this.scene;
    const exported = events.filter(({ type }) => type === "exported").map(({ grant }) => grant);
    const ended = events.filter(({ type }) => type === "ended").map(({ grant }) => grant);
    assert.equal(new Set(ended).size, ended.length, "one end each");
    for (const grant of ended) {
      const buffer = this.buffers[exported.indexOf(grant)];
      if (buffer === undefined || !exported.includes(grant)) continue;
      const unreachable = buffer.revoked || buffer.references === 0;
      assert.ok(unreachable, `grant ${grant} has ended and can be imported`);
    }
  }

  async take(what: Step): Promise<void> {
    const { scene } = this;
    if (scene.child.end !== undefined) return;
    const fd = "name" in what ? scene.child.fds.get(what.name) : undefined;
    const open = fd !== undefined && scene.kernel.table.get(fd) !== undefined;
    switch (what.do) {
      case "map":
        if (open && !scene.buffer(what.name).revoked) scene.importBuffer(what.name);
        return;
      case "keep":
        if (open) scene.kernel.table.duplicate(fd);
        return;
      case "letGo":
        if (open) scene.kernel.table.close(fd);
        return;
      case "release":
      case "ack": {
        const grant = scene.events.findLast(({ type, export: of }) =>
          type === "delivered" && of === `demo/${what.name}`
        )?.grant;
        await scene.send({ type: what.do, grant });
        return;
      }
      case "request":
        await this.#request(what.name);
        return;
      case "copy":
        for (const { iommufd, ioas } of this.#iommufds) iommufd.copyAll(ioas);
        return;
      case "reset":
        // A refusal (a fault, a closed device) is an answer; it must not break an invariant. Nobody
        // waits for the answer: what comes next comes in between.
        void Promise.allSettled([this.#reset(what.address, what.method)]);
        return;
      case "stall":
        this.#stalled.push(scene.kernel.stall(what.call));
        return;
      case "goOn":
        this.goOn();
        return;
      case "signal":
        scene.kernel.devices.get(`/dev/vfio/devices/${what.address}`)
          ?.interrupts.get(what.which)?.signal();
        return;
      case "sysfs":
        await this.#outside(what.address, what.file);
        return;
      case "observersLose":
        scene.kernel.fileWatches.overrun();
        for (const socket of scene.kernel.uevents) socket.push("overrun");
        return;
      case "fault":
        scene.kernel.failNext(what.call, "EAGAIN");
        return;
      case "wait":
        await scene.clock.advance(what.ms);
        return;
      case "shutdown":
        void Promise.allSettled([scene.guardian.shutdown("SIGTERM")]);
        return;
      case "exit":
        scene.kernel.exit(scene.child);
    }
  }

  /** Of a bus with the whole domain: both devices are reset together. */
  #reset(address: string, method: ResetMethod) {
    return this.scene.guardian.reset(address, method, "test", method === "bus");
  }

  /**
   * Somebody writes a file of sysfs. The end of each grant that a reset ends has begun at once then,
   * whatever is stuck.
   */
  async #outside(of: string, file: string): Promise<void> {
    const { scene } = this;
    const hit = new Set(of === BRIDGE ? [SSD, OTHER] : [of]);
    const ending = new Set(
      this.grants.filter(({ onReset }) => onReset === "revoke").map(({ name }) => `demo/${name}`),
    );
    const exported = scene.events.filter(({ type, device, export: of }) =>
      type === "exported" && hit.has(device ?? "") && ending.has(of ?? "")
    );
    await scene.touch(file, "open", of);
    await scene.touch(file, "modify", of);
    const resets = file === "reset" || (of === BRIDGE && file === "reset_subordinate");
    if (!resets) return;
    for (const { grant } of exported) {
      const begun = scene.events.some((event) =>
        event.grant === grant && (event.type === "revoking" || event.type === "ended")
      );
      assert.ok(begun, `grant ${grant} has seen a reset`);
    }
  }

  /** Every call that waits is answered. */
  goOn(): void {
    for (const goOn of this.#stalled.splice(0).reverse()) goOn();
  }

  /** The importer asks Bargate to map, keeps its address space, and closes its own iommufd. */
  async #request(grant: string): Promise<void> {
    const { scene } = this;
    const { iommufd, ioas } = scene.kernelIommufd();
    const number = scene.kernel.table.install(iommufd);
    this.#iommufds.push({ iommufd, ioas });
    await scene.send({ type: "request", export: grant, ioas }, [number]);
    scene.kernel.table.close(number);
  }
}

Deno.test("the invariants hold over random histories", async () => {
  const histories = fc.asyncProperty(
    specs,
    fc.array(step, { maxLength: 12 }),
    async (grants, steps) => {
      const history = new History(grants);
      await history.scene.start();
      for (const what of steps) {
        await history.take(what);
        await settle();
        history.check();
      }
      history.goOn();
      await history.scene.finish();
      history.check();
      const { scene } = history;
      const planned = scene.events.filter(({ type }) => type === "planned").length;
      const ended = scene.events.filter(({ type }) => type === "ended").length;
      assert.equal(ended, planned, "every grant has its end");
      assert.equal(scene.kernel.dumpable, false);
      assert.ok(
        [...scene.kernel.devices.values()].every(({ isOpen }) => !isOpen),
        "devices closed",
      );
      const keptByImporter = new Set(scene.kernel.table.open().map(({ kind }) => kind));
      keptByImporter.delete("dma-buf");
      assert.deepEqual([...keptByImporter], [], "Bargate keeps nothing open");
      assert.ok(history.buffers.every((buffer) => buffer.revoked || buffer.references === 0));
    },
  );
  await fc.assert(histories, { numRuns: runs(2000) });
});
