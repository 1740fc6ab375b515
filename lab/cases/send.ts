/** From a policy to DMA for an importer that Bargate did not start: `export --send`. @module */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { join } from "../path.ts";
import {
  endOf,
  eventsOf,
  IOVA,
  LabExport,
  listeningImporter,
  type PolicySpec,
  policyText,
  startSend,
  writePolicy,
} from "./support.ts";

/** For cases that start Bargate more than once, on a machine that others use too. */
const LONG_MS = 120_000;

/** Name under which the importer keeps the first descriptor that it receives. */
const RECEIVED = "received0";

/** The importer takes its buffer from the packet that brings it, and maps it. */
async function receiveAndMap(lab: LabExport): Promise<void> {
  const granted = await lab.packetOf("granted");
  assert.deepEqual([granted["export"], granted["fdName"]], ["lab/data", undefined]);
  await lab.map(RECEIVED);
  assert.equal(await lab.dmaLands(), true);
}

/** The old mapping is dead, and so is the descriptor. */
async function assertDead(lab: LabExport): Promise<void> {
  assert.equal(await lab.oldMappingLands(), false);
  assert.equal((await lab.importer.ask(`map ${RECEIVED} ${IOVA + 0x100000}`)).error, "ENODEV");
}

async function sha256Of(path: string): Promise<string> {
  const bytes = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
  return new Uint8Array(bytes).toHex();
}

interface Refusal {
  readonly name: string;
  readonly identity: string;
  readonly message: RegExp;
}

const REFUSALS: readonly Refusal[] = [
  {
    name: "of another user",
    identity: "{ user: daemon }",
    message: /user must be daemon, uid 1 \(received uid 65534\)/,
  },
  {
    name: "of another executable",
    identity: "{ user: nobody, executable: /bin/sh }",
    message: /executable must be \/bin\/sh \(received .*importer\)/,
  },
  {
    name: "of another hash",
    identity: `{ user: nobody, sha256: "${"0".repeat(64)}" }`,
    message: /sha256 must be 0{64} \(received [0-9a-f]{64}\)/,
  },
  {
    name: "of another unit",
    identity: "{ user: nobody, unit: nvmf_tgt.service }",
    message: /unit must be nvmf_tgt\.service \(received none\)/,
  },
];

/** Nothing was opened, and the importer was told that it is not the one. */
async function assertTurnedAway(context: CaseContext, spec: PolicySpec, message: RegExp) {
  const importer = await listeningImporter(context);
  const bargate = await startSend(context, importer.path, spec);
  await importer.control.must("channel-accept 30000", 35_000);
  await importer.control.must('channel-send {"type":"hello","v":1}');
  const answer = await importer.control.must("channel-recv 30000", 35_000);
  assert.equal((JSON.parse(String(answer["packet"])) as { type: string }).type, "refused");
  const ran = await bargate.wait();
  assert.equal(ran.status, 1, ran.stderr);
  assert.match(ran.stderr, message);
  assert.deepEqual(eventsOf(bargate), []);
}

/** Cases of importers that were there before. */
export const cases: readonly LabCase[] = [
  {
    name: "send: a process that was there before gets the dma-buf, and a reset takes it for good",
    limitMs: LONG_MS,
    async run(context) {
      const lab = await LabExport.send(context, { onReset: "revoke" });
      await receiveAndMap(lab);
      const reset = await context.bargate(["reset", context.devices.nvme.address]);
      assert.equal(reset.status, 0, reset.stderr);
      assert.equal((await lab.packetOf("revoked"))["reason"], "device-reset");
      await lab.mark();
      await assertDead(lab);
      await context.kernelLog.waitForFault(context.logStart);
      const { status } = await lab.bargate.wait();
      assert.equal(status, 0, "nothing is granted any more, so Bargate has ended");
      const end = endOf(lab.events);
      assert.deepEqual([end.reason, end.means], ["device-reset", "hold"]);
      await lab.channelEnds();
      await lab.importer.send("exit 0");
    },
  },
  {
    name: "send: Bargate maps for a process that was there before, and bytes move",
    async run(context) {
      const lab = await LabExport.send(context, { mapping: "bargate" });
      await lab.request();
      assert.equal(await lab.dmaLands(), true);
      assert.equal(await lab.finish(), 0);
      assert.equal(endOf(lab.events).means, "unmap");
    },
  },
  {
    name: "send: the importer's exit ends its grants, and Bargate with status 0",
    async run(context) {
      const lab = await LabExport.send(context);
      await receiveAndMap(lab);
      await lab.importer.send("exit 3");
      assert.equal((await lab.bargate.wait()).status, 0);
      assert.equal(endOf(lab.events).reason, "importer-gone");
    },
  },
  {
    name: "send: a signal tells the importer, takes what it keeps, and leaves it alive",
    async run(context) {
      const lab = await LabExport.send(context, { grace: "100ms" });
      await receiveAndMap(lab);
      await lab.mark();
      lab.bargate.kill("SIGTERM");
      assert.equal((await lab.packetOf("revoking"))["reason"], "shutdown");
      assert.equal((await lab.packetOf("revoked"))["reason"], "shutdown");
      await assertDead(lab);
      assert.equal((await lab.bargate.wait()).status, 0);
      await lab.channelEnds();
      await lab.importer.send("exit 0");
    },
  },
  {
    name: "send: SIGKILL of Bargate ends the grant at once, and the importer reads EOF",
    async run(context) {
      const lab = await LabExport.send(context);
      await receiveAndMap(lab);
      await lab.mark();
      lab.bargate.kill("SIGKILL");
      await lab.bargate.exited();
      await lab.channelEnds();
      await assertDead(lab);
      await lab.importer.send("exit 0");
    },
  },
  ...REFUSALS.map(({ name, identity, message }): LabCase => ({
    name: `send: an importer ${name} is turned away before the device is opened`,
    run: (context) => assertTurnedAway(context, { identity }, message),
  })),
  {
    name: "send: the right executable and hash are let in",
    async run(context) {
      const path = context.program("importer");
      const sha256 = await sha256Of(path);
      const identity = `{ user: nobody, group: nogroup, executable: ${path}, sha256: "${sha256}" }`;
      const lab = await LabExport.send(context, { identity });
      await receiveAndMap(lab);
      assert.equal(await lab.finish(), 0);
    },
  },
  {
    name: "send: a program of the right hash is started as well, and one of another is not",
    limitMs: LONG_MS,
    async run(context) {
      const path = context.program("importer");
      const sha256 = await sha256Of(path);
      const lab = await LabExport.start(context, {
        identity: `{ user: nobody, sha256: "${sha256}" }`,
      });
      assert.equal(await lab.finish(), 0);
      const other = await writePolicy(
        context,
        policyText(context, { identity: `{ user: nobody, sha256: "${"0".repeat(64)}" }` }),
      );
      const ran = await context.bargate(["export", other, "--exec", "--", path]);
      assert.equal(ran.status, 1, ran.stderr);
      assert.match(ran.stderr, new RegExp(`sha256 of .* must be 0{64} \\(received ${sha256}`));
    },
  },
  {
    name: "send: without a hello in time the importer gets nothing",
    async run(context) {
      const importer = await listeningImporter(context);
      const bargate = await startSend(context, importer.path);
      await importer.control.must("channel-accept 30000", 35_000);
      const ran = await bargate.wait();
      assert.equal(ran.status, 5, ran.stderr);
      assert.match(ran.stderr, /no hello came within 10 s/);
      assert.deepEqual(eventsOf(bargate), []);
    },
  },
  {
    name: "send: where nobody listens, Bargate says so",
    async run(context) {
      const bargate = await startSend(context, join(context.scratch, "absent.sock"));
      const ran = await bargate.wait();
      assert.equal(ran.status, 5, ran.stderr);
      assert.match(ran.stderr, /there is no such socket; is the importer running/);
    },
  },
];
