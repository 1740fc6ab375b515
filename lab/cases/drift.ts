/**
 * Devices that are not what was planned. QEMU exchanges none under a running guest: instead sysfs is
 * made to tell something else, by files mounted over its own, before the plan is made or after.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { join } from "../path.ts";
import { assertFree, borrowPolicy, LabOwner } from "./owner_support.ts";
import { policyText, writePolicy } from "./support.ts";

/** Bargate is started several times, on a machine that others use too. */
const LIMIT_MS = 300_000;
/** Nobody has this one. */
const SERIAL = "00-1b-21-ff-ff-a0-12-34";

/** What sysfs is made to say of the device. */
interface Lie {
  readonly what: string;
  readonly file: string;
  readonly tell: (truth: Uint8Array) => Uint8Array;
}

/** Ids are read from `modalias`, where all of them stand. */
const OTHER_ID: Lie = {
  what: "another id",
  file: "modalias",
  tell: (truth) => {
    const text = new TextDecoder().decode(truth);
    return new TextEncoder().encode(text.replace(/d0{4}[0-9A-F]{4}(?=sv)/, "d00000011"));
  },
};
const LARGER_BAR: Lie = { what: "a larger BAR", file: "resource", tell: twiceAsLarge };
const WITH_SERIAL: Lie = { what: "a serial number", file: "config", tell: withSerial };

/** BAR 2, as `resource` has it: first and last address, and flags. */
function twiceAsLarge(truth: Uint8Array): Uint8Array {
  const lines = new TextDecoder().decode(truth).split("\n");
  const [start = "", last = "", flags = ""] = lines[2]?.split(" ") ?? [];
  const end = 2n * (BigInt(last) + 1n) - BigInt(start);
  lines[2] = [start, `0x${(end - 1n).toString(16).padStart(16, "0")}`, flags].join(" ");
  return new TextEncoder().encode(lines.join("\n"));
}

/** The serial number becomes the last of the extended capabilities. */
function withSerial(truth: Uint8Array): Uint8Array {
  const config = truth.slice();
  const view = new DataView(config.buffer);
  const own = 0x800;
  let at = 0x100;
  for (let next; (next = view.getUint32(at, true) >>> 20) !== 0;) at = next;
  const header = view.getUint32(at, true);
  const place = header === 0 ? at : own;
  if (header !== 0) view.setUint32(at, (header | own << 20) >>> 0, true);
  view.setUint32(place, 0x0001_0003, true);
  view.setUint32(place + 4, 0xffa0_1234, true);
  view.setUint32(place + 8, 0x001b_21ff, true);
  return config;
}

/** @returns how to let sysfs tell the truth again */
async function tellLie(context: CaseContext, { file, tell }: Lie): Promise<() => Promise<void>> {
  const path = await Deno.realPath(`/sys/bus/pci/devices/${context.devices.nvme.address}/${file}`);
  const instead = join(context.scratch, file);
  await Deno.writeFile(instead, tell(await Deno.readFile(path)));
  const mounted = await context.run(["mount", "--bind", instead, path]);
  assert.equal(mounted.status, 0, mounted.stderr);
  let over = false;
  const end = async () => {
    if (over) return;
    over = true;
    const { status, stderr } = await context.run(["umount", "--lazy", path]);
    assert.equal(status, 0, stderr);
  };
  context.defer(end);
  return end;
}

/** A program that would be an importer; it must not be started. */
function command(context: CaseContext, path: string): readonly string[] {
  return ["export", path, "--exec", "--", "/bin/touch", join(context.scratch, "started")];
}

async function assertNotStarted({ scratch }: CaseContext): Promise<void> {
  await assert.rejects(Deno.stat(join(scratch, "started")), Deno.errors.NotFound);
}

const OPENED: readonly (readonly [lie: Lie, id: string, match: string, message: RegExp])[] = [
  [OTHER_ID, "1b36:0011", "", /its id is 1b36:0010, and not 1b36:0011/],
  [LARGER_BAR, "1b36:0010", "", /BAR 2 of the open device has 16777216 bytes where the plan has/],
  [WITH_SERIAL, "1b36:0010", `, serial: "${SERIAL}"`, /its serial number is none, and not 00-1b/],
];

/** The plan believes sysfs, and the open device is asked again: also as one of many. */
async function openedStory(context: CaseContext): Promise<void> {
  for (const [lie, id, match, message] of OPENED) {
    const text = policyText(context, { id });
    const address = `address: "${context.devices.nvme.address}"`;
    const changed = text.replace(`${address} }`, `${address}${match} }, many: true`);
    assert.notEqual(changed, text);
    const path = await writePolicy(context, changed);
    const truth = await tellLie(context, lie);
    const planned = await context.bargate(["plan", path]);
    assert.equal(planned.status, 0, `${lie.what}: ${planned.stderr}`);
    const ran = await context.bargate(command(context, path));
    await truth();
    assert.match(ran.stderr, message, lie.what);
    assert.equal(ran.status, 4, ran.stderr);
    await assertNotStarted(context);
    await assertFree(context);
  }
}

/** The owner is asked once the plan is made: what changes until it answers is seen. */
async function borrowedStory(context: CaseContext): Promise<void> {
  const owner = LabOwner.start(context);
  const path = await writePolicy(context, borrowPolicy(context, await owner.listening()));
  const ways = [
    [OTHER_ID, "asked", /Cannot borrow .* its id is 1b36:0011, and not 1b36:0010/],
    [LARGER_BAR, "planned", /BAR 2 of the open device has 16777216 bytes where the plan has/],
  ] as const;
  for (const [lie, from, message] of ways) {
    await owner.hold();
    const early = from === "planned" ? await tellLie(context, lie) : undefined;
    const running = context.startBargate(command(context, path));
    await owner.asked();
    const late = early ?? await tellLie(context, lie);
    await owner.control.must('channel-send-fd held {"v":1,"type":"lent"}');
    await owner.control.must("channel-recv 20000", 25_000);
    await owner.control.must("close bargate");
    const ran = await running.wait();
    await late();
    assert.match(ran.stderr, message, lie.what);
    assert.equal(ran.status, 4, ran.stderr);
    await assertNotStarted(context);
    await owner.control.must("close held");
    await assertFree(context);
  }
}

/** The cases. */
export const cases: readonly LabCase[] = [
  {
    name: "drift: an open device of another id, BAR size or serial number is not exported from",
    limitMs: LIMIT_MS,
    run: openedStory,
  },
  {
    name: "drift: a device that is another when its owner lends it is not exported from",
    limitMs: LIMIT_MS,
    run: borrowedStory,
  },
];
