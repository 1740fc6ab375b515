/** A device that another process owns. @module */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import type { ImporterControl } from "../guest/importer.ts";
import type { Running } from "../guest/process.ts";
import { endOf, IOVA, LabExport, SLICE } from "./support.ts";

const ELSEWHERE = IOVA + 0x100000;

/** The policy's device is borrowed from whoever this says. */
function policy({ devices }: CaseContext, owner: string): string {
  const { id, address } = devices.nvme;
  return `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: lab }
devices:
  ssd:
    match: { id: "${id}", address: "${address}" }
    acquire: borrow
    owner: ${owner}
importers:
  engine: { identity: { user: nobody }, driver: iommufd }
exports:
  - name: data
    device: ssd
    bar: ${SLICE.bar}
    slices: [{ offset: ${SLICE.offset}, length: ${SLICE.length} }]
    importers: [engine]
    grace: 200ms
    revocation: cooperative
`;
}

interface Owner {
  readonly process: Running;
  readonly control: ImporterControl;
}

/** A program that has the device open, as SPDK would. */
async function startOwner(context: CaseContext): Promise<Owner> {
  const control = context.importer();
  const process = context.start([context.program("importer"), control.socketPath]);
  await control.must(`hold ${await context.vfioNode(context.devices.nvme.address)}`);
  return { process, control };
}

function ownerOf(context: CaseContext): string {
  return `{ user: root, executable: ${context.program("importer")} }`;
}

/** Each way in which an owner can go. */
const ENDS: readonly { readonly how: string; readonly go: (owner: Owner) => Promise<unknown> }[] = [
  { how: "the owner's close", go: ({ control }) => control.must("close held") },
  { how: "the owner's exit", go: ({ control }) => control.send("exit 0") },
  {
    how: "SIGKILL of the owner",
    go: async ({ process }) => {
      process.kill("SIGKILL");
      await process.exited();
    },
  },
];

/** Cases of borrowed devices. */
export const cases: readonly LabCase[] = [
  {
    name: "borrow: a slice of another process's device is lent, and let go",
    async run(context) {
      const owner = await startOwner(context);
      const lab = await LabExport.startWith(context, policy(context, ownerOf(context)));
      await lab.map("data");
      assert.equal(await lab.dmaLands(), true);
      assert.equal(await lab.finish(), 0);
      assert.deepEqual([endOf(lab.events).reason, endOf(lab.events).means], [
        "importer-gone",
        "release",
      ]);
      await owner.control.must("close held");
    },
  },
  ...ENDS.map(({ how, go }): LabCase => ({
    name: `borrow: ${how} ends the grant at once, for no copy is held`,
    async run(context) {
      const owner = await startOwner(context);
      const lab = await LabExport.startWith(context, policy(context, ownerOf(context)));
      await lab.map("data");
      assert.equal(await lab.dmaLands(), true);
      await lab.mark();
      const started = performance.now();
      await go(owner);
      await lab.event("ended");
      const ms = Math.round(performance.now() - started);
      context.figure("from the owner's end to the grant's in the audit, ms", ms);
      assert.equal(await lab.oldMappingLands(), false);
      assert.equal((await lab.importer.ask(`map data ${ELSEWHERE}`)).error, "ENODEV");
      assert.equal(endOf(lab.events).reason, "owner-gone");
      assert.equal(await lab.finish(), 0);
    },
  })),
  {
    name: "borrow: a device that somebody else has open is not lent",
    async run(context) {
      const owner = await startOwner(context);
      const path = `${context.scratch}/policy.yaml`;
      const stranger = `{ user: nobody, executable: ${context.program("importer")} }`;
      await Deno.writeTextFile(path, policy(context, stranger));
      const ran = await context.bargate(["export", path, "--exec", "--", "/bin/true"]);
      assert.equal(ran.status, 1, ran.stderr);
      assert.match(ran.stderr, /user must be nobody, uid 65534 \(received uid 0\)/);
      await owner.control.must("close held");
      const nobody = await context.bargate(["export", path, "--exec", "--", "/bin/true"]);
      assert.equal(nobody.status, 4, nobody.stderr);
      assert.match(nobody.stderr, /no process that can be its owner has it open/);
    },
  },
];
