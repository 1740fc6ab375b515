/** A borrowed function whose owner hot-resets through the function beside it. @module */
import assert from "node:assert/strict";
import type { Event } from "../../engine/event.ts";
import type { CaseContext, LabCase } from "../guest/case.ts";
import type { ImporterControl } from "../guest/importer.ts";
import { endOf, IOVA, LabExport, SLICE } from "./support.ts";

const LONG_MS = 180_000;

/** The function beside the owner's is borrowed. */
function policy(context: CaseContext, onReset: "revoke" | "restore"): string {
  const { id, address } = context.devices.dual1;
  return `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: lab }
devices:
  ssd:
    match: { id: "${id}", address: "${address}" }
    acquire: borrow
    owner: { user: root, executable: ${context.program("importer")} }
importers:
  engine: { identity: { user: nobody }, driver: iommufd }
exports:
  - name: data
    device: ssd
    bar: ${SLICE.bar}
    slices: [{ offset: ${SLICE.offset}, length: ${SLICE.length} }]
    importers: [engine]
    onReset: ${onReset}
    grace: 60s
    revocation: cooperative
`;
}

interface Lent {
  readonly lab: LabExport;
  readonly owner: ImporterControl;
}

/** An owner of both functions, as a VMM is, and a slice of the second that has been lent. */
async function lend(
  context: CaseContext,
  onReset: "revoke" | "restore",
  flags: readonly string[],
): Promise<Lent> {
  const { dual0, dual1 } = context.devices;
  const owner = context.importer();
  context.start([context.program("importer"), owner.socketPath]);
  await owner.must(`hold ${await context.vfioNode(dual0.address)} zero`);
  await owner.must(`hold ${await context.vfioNode(dual1.address)} one`);
  const lab = await LabExport.startWith(context, policy(context, onReset), flags);
  await lab.map();
  assert.ok(await lab.dmaLands(IOVA, dual1.address));
  await lab.mark(dual1.address);
  return { lab, owner };
}

/** @returns when it began, and when the kernel was done, ms since the epoch */
async function hotReset({ owner }: Lent): Promise<readonly [number, number]> {
  const begun = Date.now();
  await owner.must("hot-reset zero", 30_000);
  return [begun, Date.now()];
}

function figures(
  context: CaseContext,
  [begun, done]: readonly [number, number],
  event: Event,
): void {
  const told = Date.parse(event.time);
  context.figure("the owner's hot reset itself, ms", done - begun);
  context.figure(`from its begin to "${event.type}" in the audit, ms`, told - begun);
}

/** Of the device that was borrowed, nobody having touched it: the kernel bounced its buffers. */
function assertCause(context: CaseContext, { cause }: Event): void {
  assert.equal(cause?.source, "revoke-trace", context.devices.dual1.address);
  assert.match(cause?.detail ?? "", /^all buffers revoked, by thread [0-9]+ \(importer\)$/);
}

async function ends(context: CaseContext): Promise<void> {
  const { address } = context.devices.dual1;
  const lent = await lend(context, "revoke", ["--trace-revokes"]);
  const { lab } = lent;
  const times = await hotReset(lent);
  const revoking = await lab.event("revoking");
  figures(context, times, revoking);
  assert.equal(revoking.reason, "device-reset");
  assertCause(context, revoking);
  assert.equal((await lab.packetOf("revoking"))["reason"], "device-reset");
  assert.equal(await lab.oldMappingLands(IOVA, address), false);
  await lab.importer.must(`unmap ${IOVA} ${SLICE.length}`);
  const released = Date.now();
  await lab.importer.must("close data");
  const ended = await lab.event("ended");
  context.figure("from the importer's close to the end, ms", Date.parse(ended.time) - released);
  assert.deepEqual([ended.reason, ended.means], ["device-reset", "release"]);
  assert.equal(endOf(lab.events).grant, revoking.grant);
  assert.equal(await lab.finish(), 0);
}

async function restores(context: CaseContext): Promise<void> {
  const { address } = context.devices.dual1;
  const lent = await lend(context, "restore", ["--trace-revokes"]);
  const { lab } = lent;
  const times = await hotReset(lent);
  const restored = await lab.event("restored");
  figures(context, times, restored);
  const suspended = await lab.event("suspended");
  assertCause(context, await lab.event("device-reset"));
  // A look that the hot reset is the occasion of can come first.
  assert.match(suspended.cause?.source ?? "", /^(revoke-trace|probe)$/);
  await lab.packetOf("suspended");
  assert.equal((await lab.packetOf("restored"))["after"], "dead");
  assert.equal(await lab.oldMappingLands(IOVA, address), false, "the bounce has emptied it");
  await lab.importer.must(`unmap ${IOVA} ${SLICE.length}`);
  await lab.map();
  assert.ok(await lab.dmaLands(IOVA, address));
  assert.ok(!lab.events.some(({ type }) => type === "ended"));
  assert.equal(await lab.finish(), 0);
}

/** No file of sysfs was written to, and no probe tells of what is over: it says so at the start. */
async function unseen(context: CaseContext): Promise<void> {
  const { address } = context.devices.dual1;
  const lent = await lend(context, "revoke", []);
  const { lab, owner } = lent;
  const unobserved = lab.events.find(({ type }) => type === "unobserved");
  assert.match(unobserved?.cause?.detail ?? "", /resets by the owner are not seen/);
  await hotReset(lent);
  assert.equal(await lab.oldMappingLands(IOVA, address), false, "the kernel has revoked");
  await owner.send("exit 0");
  assert.equal((await lab.event("ended")).reason, "owner-gone");
  const seen = lab.events.map(({ type }) => type);
  assert.ok(!seen.includes("suspended") && !seen.includes("device-reset"), seen.join(" "));
  assert.equal(await lab.finish(), 0);
}

/** Cases of an owner that resets. */
export const cases: readonly LabCase[] = [
  {
    name: "borrow: the owner's hot reset through a neighbour ends the grant, traced",
    limitMs: LONG_MS,
    run: ends,
  },
  {
    name: "borrow: the owner's hot reset through a neighbour suspends and restores, traced",
    limitMs: LONG_MS,
    run: restores,
  },
  {
    name: "borrow: the owner's hot reset is not seen without the trace, and Bargate says so",
    limitMs: LONG_MS,
    run: unseen,
  },
];
