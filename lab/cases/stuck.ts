/** An importer that never lets go: what it holds up, and what it does not. @module */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { IOVA, LabExport, SLICE } from "./support.ts";

const SECOND_IOVA = 0x200000;

/** One importer, two devices. */
function policy({ devices }: CaseContext): string {
  const { nvme, nvme2 } = devices;
  return `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: lab }
devices:
  one: { match: { id: "${nvme.id}", address: "${nvme.address}" } }
  two: { match: { id: "${nvme2.id}", address: "${nvme2.address}" } }
importers:
  engine: { identity: { user: nobody }, driver: iommufd }
exports:
${
    ["one", "two"].map((device) =>
      `  - name: of-${device}
    device: ${device}
    bar: ${SLICE.bar}
    slices: [{ offset: ${SLICE.offset}, length: ${SLICE.length} }]
    importers: [engine]
    grace: 100ms
`
    ).join("")
  }`;
}

/** Both mapped, and one held by a fence that nobody will signal. */
async function stuckExport(context: CaseContext, stuck: string): Promise<LabExport> {
  // Fences by hand are a debugging aid that root keeps to itself.
  await Deno.chmod("/sys/kernel/debug", 0o755);
  await Deno.chmod("/sys/kernel/debug/sync/sw_sync", 0o666);
  const lab = await LabExport.startWith(context, policy(context));
  await lab.importer.must(`map of-one ${IOVA}`);
  await lab.importer.must(`map of-two ${SECOND_IOVA}`);
  await lab.importer.must(`stick of-${stuck}`);
  return lab;
}

/** The fence is signalled when the importer ends; the device must be free for the next case. */
async function letGo(context: CaseContext, lab: LabExport): Promise<void> {
  await lab.importer.send("exit 0");
  await lab.bargate.exited(30_000);
  for (const { address } of [context.devices.nvme, context.devices.nvme2]) {
    const node = await context.vfioNode(address);
    const opened = await context.run([context.program("export_bench"), node, "2", "1", "1"]);
    assert.equal(opened.status, 0, opened.stderr);
  }
}

/** Cases of importers that hold on. */
export const cases: readonly LabCase[] = [
  // The order of the closes is the kernel's, so each device has its turn to be the stuck one.
  ...[["one", "two"], ["two", "one"]].map(([stuck = "", other = ""]): LabCase => ({
    name: `stuck: after SIGKILL device ${stuck}, which cannot be revoked, keeps no other one open`,
    limitMs: 120_000,
    async run(context) {
      const lab = await stuckExport(context, stuck);
      const started = performance.now();
      lab.bargate.kill("SIGKILL");
      const elsewhere = IOVA + 0x300000;
      let again = await lab.importer.ask(`map of-${other} ${elsewhere}`);
      while (again.ok && performance.now() - started < 20_000) {
        await lab.importer.must(`unmap ${elsewhere} ${SLICE.length}`);
        again = await lab.importer.ask(`map of-${other} ${elsewhere}`);
      }
      assert.equal(again.error, "ENODEV");
      const ms = Math.round(performance.now() - started);
      context.figure("from SIGKILL to the other device's end, ms", ms);
      await letGo(context, lab);
    },
  })),
  {
    name: "stuck: a revoke that does not return is reported, and the other device ends",
    limitMs: 120_000,
    async run(context) {
      const lab = await stuckExport(context, "one");
      await lab.importer.must("ignore-sigterm");
      lab.bargate.kill("SIGTERM");
      const late = await lab.event("late", 40_000);
      assert.equal(late.device, context.devices.nvme.address);
      const detail = late.cause?.detail ?? "";
      assert.match(detail, /close 0000:01:00\.0 has not returned/);
      assert.match(detail, /not let go of: lab\/of-one by importer engine/);
      const ended = lab.events.filter(({ type }) => type === "ended");
      assert.deepEqual(ended.map((event) => event.export), ["lab/of-two"]);
      assert.equal(
        (await lab.importer.ask(`map of-two ${SECOND_IOVA + 0x100000}`)).error,
        "ENODEV",
      );
      await letGo(context, lab);
      const { status } = await lab.bargate.wait();
      assert.equal(status, 6);
    },
  },
];
