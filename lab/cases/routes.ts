/**
 * Combinations: how the device is come by (by its character device, by its group, by its group where
 * there is no iommufd, or borrowed), and how the buffer gets to the importer.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { borrowing, borrowPolicy, groupNode, LabOwner } from "./owner_support.ts";
import { endOf, IOVA, LabExport, type StartBargate } from "./support.ts";

const ELSEWHERE = IOVA + 0x100000;
/** For cases that start Bargate more than once, on a machine that others use too. */
const LONG_MS = 300_000;
/** Until a look every five seconds must have seen it. */
const LOOK_MS = 60_000;
const BY_GROUP = ["--route", "group"];
/** Name under which an importer keeps the first descriptor that it receives. */
const RECEIVED = "received0";

const IOMMUFD = "/dev/iommu";
const HIDDEN = `${IOMMUFD}.hidden`;

/** Bargate on a host without iommufd; the importer has had its own before. */
function withoutIommufd(context: CaseContext): StartBargate {
  return (args) => {
    Deno.renameSync(IOMMUFD, HIDDEN);
    context.defer(() => Deno.rename(HIDDEN, IOMMUFD));
    return context.startBargate(args);
  };
}

/** The importer has got its buffer, and bytes move. */
async function receiveAndMap(lab: LabExport): Promise<void> {
  await lab.packetOf("granted");
  await lab.map(RECEIVED);
  assert.equal(await lab.dmaLands(), true);
  await lab.mark();
}

async function assertDead(lab: LabExport): Promise<void> {
  assert.equal(await lab.oldMappingLands(), false);
  assert.equal((await lab.importer.ask(`map ${RECEIVED} ${ELSEWHERE}`)).error, "ENODEV");
}

/** How a grant of a device that Bargate opens ends, with the reason and the means of it. */
interface End {
  readonly how: string;
  readonly go: (context: CaseContext, lab: LabExport) => Promise<unknown>;
  /** Absent: Bargate is not there any more to tell. */
  readonly told?: readonly [reason: string, means: string];
}

const RESET: End = {
  how: "a reset with onReset: revoke",
  go: async (context, lab) => {
    const reset = await context.bargate(["reset", context.devices.nvme.address]);
    assert.equal(reset.status, 0, reset.stderr);
    await lab.packetOf("revoked");
  },
  told: ["device-reset", "hold"],
};

const SIGNAL: End = {
  how: "the last close (Bargate is asked to end)",
  go: async (_, lab) => {
    lab.bargate.kill("SIGTERM");
    await lab.packetOf("revoked");
  },
  told: ["shutdown", "close"],
};

const KILL: End = {
  how: "SIGKILL of Bargate",
  go: async (_, lab) => {
    lab.bargate.kill("SIGKILL");
    await lab.bargate.exited();
    await lab.channelEnds();
  },
};

async function endStory(context: CaseContext, lab: LabExport, end: End): Promise<void> {
  await receiveAndMap(lab);
  await end.go(context, lab);
  await assertDead(lab);
  if (end.told !== undefined) {
    assert.equal((await lab.bargate.wait()).status, 0);
    const { reason, means } = endOf(lab.events);
    assert.deepEqual([reason, means], end.told);
  }
  await lab.importer.send("exit 0");
}

/** What becomes of the owner's node and of the grant, where an owner used the group. */
async function groupOwnerStory(context: CaseContext, by: "container" | "iommufd"): Promise<void> {
  const owner = await LabOwner.holdingByGroup(context, by);
  const lab = await LabExport.startWith(context, borrowPolicy(context, owner.identity));
  await lab.map();
  assert.equal(await lab.dmaLands(), true);
  await lab.mark();
  const started = performance.now();
  await owner.control.must("close held");
  // The device is closed, for no copy is held: the group can be opened by somebody else.
  await owner.control.must("close group");
  await owner.control.must("close container");
  const { address } = context.devices.nvme;
  await owner.control.must(`hold-group ${await groupNode(address)} ${address} ${by}`);
  assert.equal(await lab.oldMappingLands(), false);
  assert.equal((await lab.importer.ask(`map data ${ELSEWHERE}`)).error, "ENODEV");
  await owner.control.must("close held");
  await lab.event("ended", LOOK_MS);
  const ms = Math.round(performance.now() - started);
  context.figure("from the owner's close to the grant's end in the audit, ms", ms);
  assert.equal(endOf(lab.events).reason, "owner-gone");
  assert.equal(await lab.finish(), 0);
}

/** Cases of combinations. */
export const cases: readonly LabCase[] = [
  ...[RESET, KILL].map((end): LabCase => ({
    name: `route: by group and sent, ${end.how} is for good`,
    limitMs: LONG_MS,
    run: async (context) =>
      await endStory(context, await LabExport.send(context, { flags: BY_GROUP }), end),
  })),
  ...[RESET, SIGNAL, KILL].map((end): LabCase => ({
    name: `route: by group and container where there is no iommufd, ${end.how} is for good`,
    limitMs: LONG_MS,
    run: async (context) => {
      const spec = { flags: BY_GROUP, grace: "100ms" };
      await endStory(context, await LabExport.send(context, spec, withoutIommufd(context)), end);
    },
  })),
  {
    name: "route: borrowed and sent, the owner's close ends the grant, and Bargate with it",
    limitMs: LONG_MS,
    async run(context) {
      const owner = await LabOwner.holding(context);
      const lab = await LabExport.send(context, borrowing(owner.identity));
      await receiveAndMap(lab);
      await owner.control.must("close held");
      assert.equal((await lab.packetOf("revoked"))["reason"], "owner-gone");
      await assertDead(lab);
      assert.equal((await lab.bargate.wait()).status, 0);
      assert.deepEqual([endOf(lab.events).reason, endOf(lab.events).means], [
        "owner-gone",
        "close",
      ]);
      await lab.importer.send("exit 0");
    },
  },
  {
    name: "route: lent and sent, an importer that lets go is seen to have let go",
    limitMs: LONG_MS,
    async run(context) {
      const owner = await LabOwner.holding(context);
      const identity = await owner.listening();
      const [lab] = await Promise.all([
        LabExport.send(context, borrowing(identity, { grace: "30s" })),
        owner.lend(),
      ]);
      await receiveAndMap(lab);
      lab.bargate.kill("SIGTERM");
      await lab.packetOf("revoking");
      await lab.importer.must(`unmap ${IOVA} 0x2000`);
      await lab.importer.must(`close ${RECEIVED}`);
      assert.equal((await lab.bargate.wait()).status, 0);
      assert.deepEqual([endOf(lab.events).reason, endOf(lab.events).means], [
        "shutdown",
        "release",
      ]);
    },
  },
  ...(["container", "iommufd"] as const).map((by): LabCase => ({
    name: `route: borrowed from an owner that has the device by its group, with ${by}`,
    limitMs: LONG_MS,
    run: (context) => groupOwnerStory(context, by),
  })),
];
