/**
 * Exports of `region: nvme.cmb` on a real kernel. QEMU's controller keeps CMBMSC over every reset; a
 * real one loses it, and so the cases take it away just before they reset.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { until } from "../guest/until.ts";
import { CMB_BYTES } from "../machine/topology.ts";
import { join } from "../path.ts";
import { CMBMSC, whileOpen, writeControl } from "./other_process.ts";
import { endOf, IOVA, LabExport, SLICE, writePolicy } from "./support.ts";

/** Bargate is started several times, on a machine that others use too. */
const LIMIT_MS = 420_000;
const START_MS = 120_000;
/** Where the importer finds the bytes that the cases move: it maps the whole buffer. */
const AT = IOVA + SLICE.offset;
const NOT_ENABLED = new Uint8Array(8);
/** CRE and CMSE. */
const ENABLED = 3;

interface Spec {
  readonly device?: string;
  readonly deny?: string;
}

function policy({ devices: { nvme } }: CaseContext, { device = "", deny = "" }: Spec = {}): string {
  return `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: lab }
devices:
  ssd: { match: { id: "${nvme.id}", address: "${nvme.address}" }${device} }
importers:
  engine: { identity: { user: nobody }, driver: iommufd }
exports:
  - name: data
    device: ssd
    bar: ${SLICE.bar}
    region: nvme.cmb
    importers: [engine]
    onReset: restore
    grace: 500ms
${deny}`;
}

/** Somebody else has, or has not, enabled the buffer; as it was when the case is over. */
async function startWith(context: CaseContext, value: Uint8Array): Promise<void> {
  const { nvme } = context.devices;
  const before = await writeControl(context, nvme, value);
  context.defer(async () => {
    await writeControl(context, nvme, before);
  });
}

/** What a reset does to a real controller. */
function loseControl({ devices: { nvme }, writeBar }: CaseContext): Promise<void> {
  return writeBar(nvme.address, 0, Number(CMBMSC), new Uint8Array(1));
}

/** Somebody else resets it, past VFIO. */
function resetOutside({ devices: { nvme } }: CaseContext): Promise<void> {
  return Deno.writeTextFile(`/sys/bus/pci/devices/${nvme.address}/reset`, "1");
}

/** Whether CRE and CMSE are set. The program reads bytes, of which QEMU answers the first only. */
async function isEnabled({ devices: { nvme }, readBar }: CaseContext): Promise<boolean> {
  const [bits = 0] = await readBar(nvme.address, 0, Number(CMBMSC), 1);
  return bits === ENABLED;
}

/** CMBMSC of a device that nobody has open. */
async function control(context: CaseContext): Promise<bigint> {
  const bytes = await whileOpen(
    context,
    context.devices.nvme,
    (lane, device) => lane.readRegion(device, 0, CMBMSC, 8),
  );
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
}

interface Refused {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** An export that must not come to be. @returns codes of the errors */
async function refused(
  context: CaseContext,
  status: number,
  spec: Spec,
  flags: readonly string[] = [],
): Promise<readonly string[]> {
  const path = await writePolicy(context, policy(context, spec));
  const marker = join(context.scratch, "started");
  const ran: Refused = await context.bargate(
    ["export", path, ...flags, "--format", "json", "--exec", "--", "/bin/touch", marker],
    { limitMs: START_MS },
  );
  assert.equal(ran.status, status, ran.stderr);
  await assert.rejects(Deno.stat(marker), Deno.errors.NotFound, "the importer was started");
  const { diagnostics } = JSON.parse(ran.stdout) as {
    diagnostics: readonly { code: string; severity: string }[];
  };
  return diagnostics.filter(({ severity }) => severity === "error").map(({ code }) => code);
}

async function planned(context: CaseContext): Promise<string> {
  const file = join(context.scratch, "plan.json");
  const path = await writePolicy(context, policy(context));
  const ran = await context.bargate(["plan", path, "--probe", "--out", file], {
    limitMs: START_MS,
  });
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stderr, /0000:01:00\.0: opened, which tries a reset/);
  const { grants: [grant] } = JSON.parse(await Deno.readTextFile(file));
  const place = { bar: SLICE.bar, offset: "0x0", size: `0x${CMB_BYTES.toString(16)}` };
  const { state, mayEnable, base: _base, ...where } = grant.device.controllerMemory;
  assert.deepEqual([state, mayEnable, where], ["enabled", false, place]);
  assert.deepEqual(grant.slices, [{ offset: place.offset, length: place.size }]);
  return file;
}

async function exportsIt(context: CaseContext): Promise<void> {
  await startWith(context, new Uint8Array([ENABLED, 0, 0, 0, 0, 0, 0, 0]));
  const deny =
    `deny: [{ device: ssd, bar: 2, slices: [{ offset: 8MiB, length: 4KiB }], reason: queues }]\n`;
  assert.deepEqual(await refused(context, 1, { deny }), ["BG2013"]);
  const plan = await planned(context);
  const lab = await LabExport.startWith(context, policy(context), ["--plan", plan]);
  await lab.map();
  assert.equal(await lab.dmaLands(AT), true);
  assert.ok(!lab.events.some(({ type }) => type === "memory-enabled"));
  // What nobody may enable again is lost with a reset, and what was granted of it ends.
  await loseControl(context);
  await resetOutside(context);
  const revoking = await lab.event("revoking");
  assert.deepEqual([revoking.reason, revoking.cause?.source], ["device-reset", "registers"]);
  assert.match(revoking.cause?.detail ?? "", /is not enabled, .* does not let Bargate enable it/);
  await lab.event("ended");
  assert.equal(endOf(lab.events).reason, "device-reset");
  assert.equal((await lab.importer.ask(`map data ${IOVA + 0x4000000}`)).error, "ENODEV");
  await lab.finish();
  const codes = await refused(context, 4, {}, ["--plan", plan]);
  assert.deepEqual(codes.slice(0, 2), ["BG2026", "BG2311"]);
}

async function enables(context: CaseContext): Promise<void> {
  const { nvme } = context.devices;
  await startWith(context, NOT_ENABLED);
  const lab = await LabExport.startWith(context, policy(context, { device: ", enableCmb: true" }));
  assert.match((await lab.event("memory-enabled")).cause?.detail ?? "", /CMBMSC was written/);
  assert.ok(await isEnabled(context));
  await lab.map();
  assert.equal(await lab.dmaLands(AT), true);
  const enabledTimes = () => lab.events.filter(({ type }) => type === "memory-enabled").length;
  const enabledAgain = (times: number) =>
    until(
      `the buffer to be enabled ${times} times`,
      30_000,
      () => Promise.resolve(enabledTimes() >= times || undefined),
    );
  await loseControl(context);
  const reset = await context.bargate(["reset", nvme.address], { limitMs: START_MS });
  assert.equal(reset.status, 0, reset.stderr);
  await enabledAgain(2);
  assert.ok(await isEnabled(context));
  await loseControl(context);
  await resetOutside(context);
  await enabledAgain(3);
  assert.ok(await isEnabled(context));
  const second = AT + 0x4000000;
  await lab.map("data", second - SLICE.offset);
  assert.equal(await lab.dmaLands(second), true);
  assert.ok(!lab.events.some(({ type }) => type === "ended"));
  assert.equal(await lab.finish(), 0);
  const [, , line = ""] = (await Deno.readTextFile(`/sys/bus/pci/devices/${nvme.address}/resource`))
    .split("\n");
  const base = BigInt(line.split(" ")[0] ?? "0");
  assert.equal(await control(context), base | BigInt(ENABLED), "and the buffer's address");
}

/** Cases of the region. */
export const cases: readonly LabCase[] = [
  {
    name:
      "memory buffer: the region is exported where its controller says, as planned, or not at all",
    about: "A deny inside it refuses it; a reset that takes it away ends it.",
    limitMs: LIMIT_MS,
    run: exportsIt,
  },
  {
    name: "memory buffer: enableCmb enables it, and again after resets by an operator and others",
    limitMs: LIMIT_MS,
    run: enables,
  },
];
