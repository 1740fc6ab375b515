/** What must not leave the device: refused, with the cause named, and nothing exported. @module */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { IoctlTrace, isExport } from "../guest/ioctl_trace.ts";
import { preflightHere } from "./preflight_support.ts";
import { type PolicySpec, policyText, writePolicy } from "./support.ts";

/** Bargate is started on a processor that others use too. */
const LIMIT_MS = 180_000;

interface Refusal {
  readonly what: string;
  readonly policy: (context: CaseContext) => string;
  /** More of the command line, before `--exec`. */
  readonly flags?: readonly string[];
  readonly status: number;
  readonly code: string;
  readonly names: RegExp;
  /** Line and column of the rule that is to blame, where the policy's text is. */
  readonly at?: readonly [number, number];
}

function spec(make: (context: CaseContext) => PolicySpec): Refusal["policy"] {
  return (context) => policyText(context, make(context));
}

const ALL_NVME_DENIED = `---
apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: site }
devices: { any-nvme: { match: { class: "0108" } } }
deny: [{ device: any-nvme, bar: 2, slices: [{ offset: 8KiB, length: 4KiB }], reason: site rule }]
`;

const REFUSALS: readonly Refusal[] = [
  {
    what: "an offset of 0x800",
    policy: spec(() => ({ slices: "{ offset: 0x800, length: 4KiB }" })),
    status: 3,
    code: "BG1401",
    names: /0x800/,
    at: [12, 24],
  },
  {
    what: "a slice of length zero",
    policy: spec(() => ({ slices: "{ offset: 0x1000, length: 0 }" })),
    status: 3,
    code: "BG1403",
    names: /zero/,
  },
  {
    what: "a slice past the end of the BAR",
    policy: spec(() => ({ slices: "{ offset: 0xfff000, length: 8KiB }" })),
    status: 4,
    code: "BG2008",
    names: /0x1001000, past BAR 2 of 0000:01:00\.0, which has 0x1000000 bytes/,
  },
  {
    what: "an empty BAR",
    policy: spec(() => ({ bar: 5 })),
    status: 4,
    code: "BG2005",
    names: /BAR 5 .* empty/,
  },
  {
    what: "the upper half of a 64-bit BAR",
    policy: spec(() => ({ bar: 3 })),
    status: 4,
    code: "BG2005",
    names: /upper half of 64-bit BAR 2/,
  },
  {
    what: "region 7, which is configuration space",
    policy: spec(() => ({ bar: 7 })),
    status: 3,
    code: "BG1106",
    names: /7/,
    at: [11, 10],
  },
  {
    what: "a BAR smaller than a page",
    policy: spec(({ devices }) => ({
      address: devices.ivshmem.address,
      id: devices.ivshmem.id,
      bar: 0,
      slices: "{ offset: 0, length: 4KiB }",
    })),
    status: 4,
    code: "BG2007",
    names: /256 bytes, less than a page/,
  },
  {
    what: "the page of the MSI-X table",
    policy: spec(() => ({ bar: 0, slices: "{ offset: 0x2000, length: 4KiB }" })),
    status: 4,
    code: "BG2010",
    names: /MSI-X table at \[0x2000, 0x3000\)/,
  },
  {
    what: "the page of the MSI-X pending bits",
    policy: spec(() => ({ bar: 0, slices: "{ offset: 0x3000, length: 4KiB }" })),
    status: 4,
    code: "BG2010",
    names: /MSI-X pending bit array at \[0x3000, 0x4000\)/,
  },
  {
    what: "a device with another id than the policy's",
    policy: spec(() => ({ id: "144d:a80a" })),
    status: 4,
    code: "BG2031",
    names: /0000:01:00\.0 is 1b36:0010, .* fits but for its id/,
  },
  {
    what: "a device on another driver",
    policy: spec(({ devices }) => ({ address: devices.nativeNvme.address })),
    status: 4,
    code: "BG2003",
    names: /bound to nvme and not to vfio-pci/,
  },
  {
    what: "a slice that another policy of the set denies",
    policy: (context) => policyText(context) + ALL_NVME_DENIED,
    status: 1,
    code: "BG2013",
    names: /denied on 0000:01:00\.0: site rule/,
  },
  {
    what: "a slice that the policy itself denies",
    policy: spec(() => ({
      deny: "deny: [{ device: ssd, bar: 2, slices: [{ offset: 0, length: 8KiB }], reason: no }]\n",
    })),
    status: 3,
    code: "BG1406",
    names: /denied/i,
  },
  {
    what: "a buffer of two ranges for iommufd",
    policy: spec(() => ({
      slices: "{ offset: 0x1000, length: 4KiB }, { offset: 0x4000, length: 4KiB }",
    })),
    status: 3,
    code: "BG1503",
    names: /iommufd/,
    at: [12, 48],
  },
];

/** Of an invalid policy nothing is to be said of a host. */
async function saysBeforehand(
  text: string,
  { flags, code, names, status }: Refusal,
): Promise<void> {
  const found = await preflightHere(text, flags);
  if (status === ExitStatus.invalidPolicy) return assert.equal(found, undefined);
  const [first] = found?.diagnostics ?? [];
  assert.equal(first?.code, code);
  assert.match(first.message, names);
}

async function refuse(context: CaseContext, refusal: Refusal): Promise<void> {
  const trace = await IoctlTrace.start();
  context.defer(() => trace.stop());
  const text = refusal.policy(context);
  const path = await writePolicy(context, text);
  await saysBeforehand(text, refusal);
  const marker = `${context.scratch}/started`;
  const ran = await context.bargate([
    ...["export", path, "--format", "json", ...refusal.flags ?? []],
    ...["--exec", "--", "/bin/touch", marker],
  ]);
  assert.equal(ran.status, refusal.status, ran.stderr);
  const { diagnostics } = JSON.parse(ran.stdout);
  const [first] = diagnostics;
  assert.equal(first?.code, refusal.code, ran.stdout);
  assert.match(first.message, refusal.names);
  if (refusal.at !== undefined) assert.deepEqual([first.line, first.column], refusal.at);
  assert.ok(first.fix, "says what to do");
  await assert.rejects(Deno.stat(marker), Deno.errors.NotFound, "the importer was started");
  assert.equal((await trace.read()).filter(isExport).length, 0, "the kernel was asked to export");
}

/** What the refusals rely on: that an export would have been seen. */
async function seesAnExport(context: CaseContext): Promise<void> {
  const path = await writePolicy(context, policyText(context));
  const trace = await IoctlTrace.start();
  context.defer(() => trace.stop());
  const ran = await context.bargate(["export", path, "--exec", "--", "/bin/true"]);
  assert.equal(ran.status, 0, ran.stderr);
  assert.equal((await trace.read()).filter(isExport).length, 1);
}

/** A name that no importer has is a mistake of the command line, and no denial. */
async function refuseStranger(context: CaseContext): Promise<void> {
  const path = await writePolicy(context, policyText(context));
  const marker = `${context.scratch}/started`;
  const ran = await context.bargate([
    ...["export", path, "--importer", "stranger", "--exec", "--", "/bin/touch", marker],
  ]);
  assert.equal(ran.status, ExitStatus.usage, ran.stderr);
  assert.match(ran.stderr, /no policy has an importer stranger/);
  await assert.rejects(Deno.stat(marker), Deno.errors.NotFound, "the importer was started");
}

/** Cases of refusals. */
export const cases: readonly LabCase[] = [
  ...REFUSALS.map((refusal): LabCase => ({
    name: `refused: ${refusal.what}`,
    limitMs: LIMIT_MS,
    run: (context) => refuse(context, refusal),
  })),
  {
    name: "refused: an export that is allowed is seen where the refused must not be",
    limitMs: LIMIT_MS,
    run: seesAnExport,
  },
  { name: "refused: an importer that the policy doesn't name", run: refuseStranger },
];
