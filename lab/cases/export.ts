/** From a policy to DMA between two devices, and its end. @module */
import assert from "node:assert/strict";
import type { LabCase } from "../guest/case.ts";
import { endOf, IOVA, LabExport, SLICE } from "./support.ts";

/** A reset as an operator asks for it. */
const METHODS = [
  { method: "function", reason: "device-reset", what: "VFIO_DEVICE_RESET" },
  { method: "decode", reason: "decode-off", what: "memory bit off and on" },
] as const;

/** The same road by each way to open a device. */
const ROUTES = [
  { flags: [], by: "" },
  { flags: ["--route", "group"], by: " (by group)" },
] as const;

const METHODS_BY_ROUTE = METHODS.flatMap((method) =>
  ROUTES.map((route) => ({ ...method, ...route }))
);

/** Bargate is started, and often twice, on a processor that others use too. */
const LIMIT_MS = 180_000;

/** Cases of the whole road. */
export const cases: readonly LabCase[] = [
  ...ROUTES.map(({ flags, by }): LabCase => ({
    name: `export: a child that got the dma-buf maps it, and bytes move between two devices${by}`,
    async run(context) {
      const lab = await LabExport.start(context, { flags });
      const fds = await lab.importer.must("fds");
      assert.deepEqual([fds["count"], fds["data"], fds["bargate"]], [2, 3, 4]);
      await lab.map();
      assert.equal(await lab.dmaLands(), true);
      assert.equal(await lab.finish(), 0);
      assert.equal(endOf(lab.events).reason, "importer-gone");
    },
  })),
  {
    name: "export: Bargate maps for an importer that never sees the dma-buf, and bytes move",
    async run(context) {
      const lab = await LabExport.start(context, { mapping: "bargate" });
      const fds = await lab.importer.must("fds");
      assert.deepEqual([fds["count"], fds["bargate"]], [1, 3]);
      await lab.request();
      assert.equal(await lab.dmaLands(), true);
      assert.equal(await lab.finish(), 0);
      const end = endOf(lab.events);
      assert.deepEqual([end.reason, end.means], ["importer-gone", "unmap"]);
    },
  },
  {
    name: "export: the child's exit status is Bargate's",
    async run(context) {
      const lab = await LabExport.start(context);
      await lab.importer.send("exit 42");
      assert.equal((await lab.bargate.wait()).status, 42);
    },
  },
  ...METHODS_BY_ROUTE.map(({ method, reason, what, flags, by }): LabCase => ({
    name: `end: ${what} with onReset: revoke is for good${by}`,
    limitMs: LIMIT_MS,
    async run(context) {
      const lab = await LabExport.start(context, { onReset: "revoke", flags });
      await lab.map();
      assert.equal(await lab.dmaLands(), true);
      const reset = await context.bargate([
        "reset",
        "--method",
        method,
        context.devices.nvme.address,
      ]);
      assert.equal(reset.status, 0, reset.stderr);
      const revoked = await lab.packetOf("revoked");
      assert.equal(revoked["reason"], reason);
      await lab.mark();
      await lab.assertOldMappingDead();
      const again = await lab.importer.ask(`map data ${IOVA + 0x100000}`);
      assert.equal(again.error, "ENODEV");
      const end = endOf(lab.events);
      assert.deepEqual([end.reason, end.means], [reason, "hold"]);
      assert.equal(await lab.finish(), 0);
    },
  })),
  ...METHODS_BY_ROUTE.map(({ method, what, flags, by }): LabCase => ({
    name: `end: ${what} with onReset: restore ends nothing, and the importer maps again${by}`,
    limitMs: LIMIT_MS,
    async run(context) {
      const lab = await LabExport.start(context, { onReset: "restore", flags });
      await lab.map();
      assert.equal(await lab.dmaLands(), true);
      const reset = await context.bargate([
        "reset",
        "--method",
        method,
        context.devices.nvme.address,
      ]);
      assert.equal(reset.status, 0, reset.stderr);
      const restored = await lab.packetOf("restored");
      assert.equal(restored["after"], "dead");
      await lab.mark();
      await lab.assertOldMappingDead();
      await lab.importer.must(`unmap ${IOVA} ${SLICE.length}`);
      await lab.map();
      assert.equal(await lab.dmaLands(), true);
      assert.ok(!lab.events.some(({ type }) => type === "ended"));
      assert.equal(await lab.finish(), 0);
    },
  })),
  {
    name: "end: Bargate maps again after a reset with onReset: restore",
    limitMs: LIMIT_MS,
    async run(context) {
      const lab = await LabExport.start(context, { mapping: "bargate", onReset: "restore" });
      await lab.request();
      const reset = await context.bargate(["reset", context.devices.nvme.address]);
      assert.equal(reset.status, 0, reset.stderr);
      assert.equal((await lab.packetOf("restored"))["after"], "resumable");
      assert.equal(await lab.dmaLands(), true);
      assert.equal(await lab.finish(), 0);
    },
  },
  {
    name: "end: the last close (Bargate is asked to end) is for good",
    limitMs: LIMIT_MS,
    async run(context) {
      const lab = await LabExport.start(context);
      await lab.map();
      assert.equal(await lab.dmaLands(), true);
      await lab.mark();
      await lab.importer.must("ignore-sigterm");
      lab.bargate.kill("SIGTERM");
      assert.equal((await lab.packetOf("revoking"))["reason"], "shutdown");
      assert.equal((await lab.packetOf("revoked"))["reason"], "shutdown");
      await lab.assertOldMappingDead();
      assert.equal((await lab.importer.ask(`map data ${IOVA + 0x100000}`)).error, "ENODEV");
      const end = await lab.event("ended");
      assert.deepEqual([end.reason, end.means], ["shutdown", "close"]);
      assert.equal(await lab.finish(), 0);
    },
  },
  ...ROUTES.map(({ flags, by }): LabCase => ({
    name: `end: SIGKILL of Bargate ends the grant at once, and the child reads EOF${by}`,
    limitMs: LIMIT_MS,
    async run(context) {
      const lab = await LabExport.start(context, { flags });
      await lab.map();
      assert.equal(await lab.dmaLands(), true);
      await lab.mark();
      lab.bargate.kill("SIGKILL");
      await lab.bargate.exited();
      await lab.channelEnds();
      await lab.assertOldMappingDead();
      const again = await lab.importer.ask(`map data ${IOVA + 0x100000}`);
      assert.equal(again.error, "ENODEV");
      await lab.importer.send("exit 0");
    },
  })),
  {
    name: "end: an expired grant is dead, and its importer lives on",
    limitMs: LIMIT_MS,
    async run(context) {
      const lab = await LabExport.start(context, { expires: "8s", grace: "100ms" });
      await lab.map();
      assert.equal(await lab.dmaLands(), true);
      await lab.mark();
      assert.equal((await lab.packetOf("revoked"))["reason"], "expired");
      await lab.assertOldMappingDead();
      assert.equal((await lab.importer.ask(`map data ${IOVA + 0x100000}`)).error, "ENODEV");
      assert.equal(endOf(lab.events).means, "close");
      assert.equal(await lab.finish(), 0);
    },
  },
  ...ROUTES.map(({ flags, by }): LabCase => ({
    name: `end: a copy of the area makes the unmap insufficient, and the next means is taken${by}`,
    limitMs: LIMIT_MS,
    async run(context) {
      const lab = await LabExport.start(context, { mapping: "bargate", grace: "100ms", flags });
      const grant = await lab.request();
      assert.equal(await lab.dmaLands(), true);
      const copy = 0x400000;
      await lab.importer.must(`copy ${IOVA} ${SLICE.length} ${copy}`);
      assert.equal(await lab.dmaLands(copy), true);
      await lab.mark();
      await lab.importer.must(`channel-send ${JSON.stringify({ type: "release", grant })}`);
      assert.equal((await lab.packetOf("revoked"))["reason"], "released");
      await lab.assertOldMappingDead(copy);
      const insufficient = await lab.event("means-insufficient");
      assert.equal(insufficient.means, "unmap");
      assert.deepEqual([endOf(lab.events).reason, endOf(lab.events).means], ["released", "close"]);
      assert.equal(await lab.finish(), 0);
    },
  })),
  {
    name: "end: an importer that lets go is seen to have let go",
    limitMs: LIMIT_MS,
    async run(context) {
      const lab = await LabExport.start(context);
      await lab.map();
      const granted = await lab.packetOf("granted");
      await lab.importer.must(`unmap ${IOVA} ${SLICE.length}`);
      await lab.importer.must("close data");
      const release = { type: "release", grant: granted["grant"] };
      await lab.importer.must(`channel-send ${JSON.stringify(release)}`);
      assert.equal((await lab.packetOf("revoked"))["reason"], "released");
      assert.equal(endOf(lab.events).means, "release");
      assert.equal(await lab.finish(), 0);
    },
  },
  {
    name: "end: an unbind asks for the device, and gets it when the grant has ended",
    limitMs: LIMIT_MS,
    async run(context) {
      const { address } = context.devices.nvme;
      const lab = await LabExport.start(context);
      await lab.map();
      assert.equal(await lab.dmaLands(), true);
      await Deno.writeTextFile(`/sys/bus/pci/devices/${address}/driver/unbind`, address);
      context.defer(() => Deno.writeTextFile("/sys/bus/pci/drivers_probe", address));
      assert.equal((await lab.packetOf("revoked"))["reason"], "device-removed");
      assert.equal((await lab.importer.ask(`map data ${IOVA + 0x100000}`)).error, "ENODEV");
      assert.equal(endOf(lab.events).reason, "device-removed");
      assert.equal(await lab.finish(), 0);
    },
  },
];
