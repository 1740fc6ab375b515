/** What a plan tells of its ioctls, held against what the kernel gets. @module */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { IoctlTrace, type TracedIoctl } from "../guest/ioctl_trace.ts";
import { encodeHex } from "../hex.ts";
import { join } from "../path.ts";
import { LabExport, policyText, writePolicy } from "./support.ts";

const LIMIT_MS = 300_000;
const START_MS = 120_000;
const REGION_INFO = 0x3b6c;
/** Where a region's number stands in `struct vfio_region_info`. */
const REGION_INDEX = 8;

interface PlannedIoctl {
  readonly name: string;
  readonly request: string;
  readonly bytes: string;
}

interface Step {
  readonly call: string;
  readonly only?: string;
  readonly ioctls?: readonly PlannedIoctl[];
}

/** The ioctls of a plan for a host with iommufd, in order. */
async function plannedIoctls(file: string): Promise<readonly PlannedIoctl[]> {
  const { runs } = JSON.parse(await Deno.readTextFile(file));
  assert.equal(runs.length, 1);
  return (runs[0].steps as readonly Step[])
    .filter(({ only }) => only !== "without-iommufd")
    .flatMap(({ ioctls = [] }) => ioctls);
}

/** Whether an ioctl is the one that was planned; `..` is any byte. */
function isAsPlanned({ request, bytes }: TracedIoctl, planned: PlannedIoctl): boolean {
  const wanted = planned.bytes.match(/../g) ?? [];
  return request === Number(planned.request) &&
    wanted.every((byte, index) => byte === ".." || Number.parseInt(byte, 16) === bytes[index]);
}

/** The kernel's answer did not fit, and is asked for once more: the plan says that this can be. */
function isLonger(made: TracedIoctl, before: TracedIoctl | undefined): boolean {
  return made.request === REGION_INFO && before?.request === REGION_INFO &&
    made.bytes[REGION_INDEX] === before.bytes[REGION_INDEX] &&
    (made.bytes[0] ?? 0) > (before.bytes[0] ?? 0);
}

function textOf(made: TracedIoctl | undefined): string {
  if (made === undefined) return "nothing";
  return `0x${made.request.toString(16)} ${encodeHex(made.bytes)}`;
}

async function threadsOf(pid: number): Promise<ReadonlySet<number>> {
  const tasks = await Array.fromAsync(Deno.readDir(`/proc/${pid}/task`), ({ name }) => name);
  return new Set(tasks.map(Number));
}

async function bytesAreThose(context: CaseContext, flags: readonly string[]): Promise<void> {
  const policy = await writePolicy(context, policyText(context));
  const file = join(context.scratch, "plan.json");
  const ran = await context.bargate(["plan", policy, ...flags, "--out", file], {
    limitMs: START_MS,
  });
  assert.equal(ran.status, 0, ran.stderr);
  const planned = await plannedIoctls(file);
  const trace = await IoctlTrace.start();
  context.defer(() => trace.stop());
  const lab = await LabExport.startWith(context, policyText(context), [...flags, "--plan", file]);
  const threads = await threadsOf(lab.bargate.pid);
  const made = (await trace.read()).filter(({ tid }) => threads.has(tid));
  assert.equal(await lab.finish(), 0);
  const once = made.filter((each, index) => !isLonger(each, made[index - 1]));
  planned.forEach((each, index) => {
    const found = once[index];
    const message = `${index}: ${each.name} ${each.request} ${each.bytes}, and was ${
      textOf(found)
    }`;
    assert.ok(found !== undefined && isAsPlanned(found, each), message);
  });
  context.figure("ioctls of the plan that the kernel got byte for byte", planned.length);
}

/** Cases of a plan's bytes. */
export const cases: readonly LabCase[] = [
  {
    name: "plan ioctls: the kernel gets those of the plan, in its order, byte for byte",
    limitMs: LIMIT_MS,
    run: (context) => bytesAreThose(context, []),
  },
  {
    name: "plan ioctls: the kernel gets those of the plan, in its order, byte for byte (by group)",
    limitMs: LIMIT_MS,
    run: (context) => bytesAreThose(context, ["--route", "group"]),
  },
];
