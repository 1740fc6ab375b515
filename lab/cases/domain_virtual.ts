/** A reset of a physical function hits the virtual ones, whichever Bargate has them. @module */
import assert from "node:assert/strict";
import { openBound, RIGHT } from "../conformance/virtual_functions.ts";
import type { CaseContext, LabCase } from "../guest/case.ts";
import type { Running } from "../guest/process.ts";
import { makeVfs, preparePf } from "../guest/virtual_functions.ts";
import { join } from "../path.ts";
import { Bench } from "./port_bench.ts";
import { endOf, IOVA, LabExport, policyText } from "./support.ts";
import { lands, vfSpec } from "./virtual.ts";

const LONG_MS = 300_000;
/** A PF under vfio-pci, with a token of its virtual functions. @returns the file with the token */
async function tokenOfPf(context: CaseContext): Promise<string> {
  await preparePf(context, "vfio-pci");
  const { address } = context.devices.sriov;
  const owner = new Bench(context, address);
  // The token outlives who has set it.
  await owner.lane.close(await openBound(owner, await context.vfioNode(address), RIGHT));
  const path = join(context.scratch, "tokens");
  await Deno.writeTextFile(path, `${address} ${RIGHT}\n`);
  await Deno.chmod(path, 0o600);
  return path;
}

/** Another Bargate, with a grant on the physical function. */
async function exportPf(context: CaseContext): Promise<Running> {
  const path = join(context.scratch, "pf.yaml");
  const text = policyText(context, vfSpec(context, context.devices.sriov.address));
  await Deno.writeTextFile(path, text.replace("name: lab", "name: pf"));
  const flags = ["--format", "jsonl", "--exec", "--", "/bin/sleep", "600"];
  const bargate = context.startBargate(["export", path, ...flags]);
  await bargate.line("stdout", (line) => line.includes(`"type":"delivered"`), 90_000);
  return bargate;
}

async function acrossGuardians(context: CaseContext): Promise<void> {
  const { address } = context.devices.sriov;
  const tokens = await tokenOfPf(context);
  const pf = await exportPf(context);
  const [vf = ""] = await makeVfs(context, 1);
  const flags = ["--vf-token-file", tokens];
  const lab = await LabExport.startWith(context, policyText(context, vfSpec(context, vf)), flags);
  await lab.map();
  assert.ok(await lands(lab));
  const denied = await context.bargate(["reset", address, "--format", "json"]);
  assert.equal(denied.status, 1, denied.stderr);
  assert.deepEqual(JSON.parse(denied.stdout).hits, [
    { export: "lab/data", importer: "lab/engine", device: vf, through: address },
  ]);
  assert.ok(await lands(lab), "nothing was done");
  const done = await context.bargate(["reset", address, "--domain", "--format", "json"]);
  assert.equal(done.status, 0, done.stderr);
  const { ended, devices } = JSON.parse(done.stdout);
  assert.equal(ended, 2);
  const ends = devices.map((each: { device: string; grants: { became: string }[] }) => [
    each.device,
    ...each.grants.map(({ became }) => became),
  ]);
  assert.deepEqual(ends, [[address, "ended"], [vf, "ended"]]);
  const end = endOf(lab.events);
  assert.equal(end.reason, "device-reset");
  const begin = lab.events.find(({ type }) => type === "revoking");
  assert.equal(begin?.cause?.source, "operator");
  const took = Date.parse(end.time) - Date.parse(begin?.time ?? "");
  context.figure("the VF's grant makes way for the PF's reset, asked to ended (ms)", took);
  assert.equal(await lands(lab), false);
  assert.equal((await lab.importer.ask(`map data ${IOVA + 0x100000}`)).error, "ENODEV");
  const line = await pf.line("stdout", (text) => text.includes(`"type":"device-reset"`), 5_000);
  assert.ok(Date.parse(JSON.parse(line).time) >= Date.parse(end.time), "it has ended before");
  assert.equal(await lab.finish(), 0);
}

/** Cases of physical functions and their virtual ones. */
export const cases: readonly LabCase[] = [
  {
    name: "domain: a reset of a PF is refused over a grant that another Bargate has on its VF",
    limitMs: LONG_MS,
    run: acrossGuardians,
  },
];
