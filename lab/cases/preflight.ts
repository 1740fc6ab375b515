/**
 * `bargate preflight` on a real kernel. That it names the cause of each refusal beforehand is part of
 * the cases `refused:`, and that it gives no false alarm part of every case that exports.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { type PolicySpec, policyText, writePolicy } from "./support.ts";

const LIMIT_MS = 240_000;

async function look(context: CaseContext, spec: PolicySpec, flags: readonly string[] = []) {
  const path = await writePolicy(context, policyText(context, spec));
  const ran = await context.bargate(["preflight", path, "--format", "json", ...flags], {
    limitMs: LIMIT_MS,
  });
  const { hosts: [host], diagnostics } = JSON.parse(ran.stdout);
  return { ran, host, codes: diagnostics.map(({ code }: { code: string }) => code) };
}

async function looksLive(context: CaseContext): Promise<void> {
  const enabled = `/sys/bus/pci/devices/${context.devices.nvme.address}/enable`;
  const { ran, host, codes } = await look(context, {}, ["--live"]);
  assert.deepEqual([ran.status, codes, host.ready], [0, [], true], ran.stdout);
  assert.deepEqual(host.grants.map(({ revocation }: { revocation: unknown }) => revocation), [
    ["release", "hold", "close"],
  ]);
  assert.deepEqual(host.notChecked, []);
  assert.equal((await Deno.readTextFile(enabled)).trim(), "0", "the device is closed again");
}

async function tellsBusy(context: CaseContext): Promise<void> {
  const node = await context.vfioNode(context.devices.nvme.address);
  const importer = context.importer();
  context.start([context.program("importer"), importer.socketPath]);
  await importer.connected();
  await importer.must(`hold ${node}`);
  const { ran, codes } = await look(context, {}, ["--live"]);
  assert.deepEqual([ran.status, codes], [4, ["BG2042"]], ran.stdout);
}

/** Cases of preflight. */
export const cases: readonly LabCase[] = [
  {
    name: "preflight: a device that can export is opened, asked, and closed again",
    limitMs: LIMIT_MS,
    run: looksLive,
  },
  {
    name: "preflight: a device that another process has open is told beforehand",
    limitMs: LIMIT_MS,
    run: tellsBusy,
  },
];
