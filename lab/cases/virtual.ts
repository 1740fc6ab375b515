/** Exports from virtual functions: DMA into their registers, and how they end. @module */
import assert from "node:assert/strict";
import { openBound, RIGHT } from "../conformance/virtual_functions.ts";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { makeVfs, preparePf, setVfs } from "../guest/virtual_functions.ts";
import { join } from "../path.ts";
import { Bench } from "./port_bench.ts";
import { endOf, IOVA, LabExport, type PolicySpec, policyText, writePolicy } from "./support.ts";

/** The controller's status: QEMU's virtual functions answer 2, "fatal", for nobody has set them up. */
const STATUS = { offset: 0x1c, bytes: "02000000" } as const;
/** What is in the engine's buffer before. */
const BEFORE = 0xaa;
const WRONG = "ffffffff-4455-6677-8899-aabbccddeeff";

/** A policy for the registers of a virtual function, or of its PF: they have no memory buffer. */
export function vfSpec(context: CaseContext, address: string, more: PolicySpec = {}): PolicySpec {
  const slices = "{ offset: 0, length: 8KiB }";
  return { address, id: context.devices.sriov.id, bar: 0, slices, ...more };
}

/** The only virtual function of a native PF, exported and mapped. */
async function exported(
  context: CaseContext,
  more: PolicySpec = {},
): Promise<{ lab: LabExport; address: string; pf: string }> {
  const pf = await preparePf(context, "nvme");
  const [address = ""] = await makeVfs(context, 1);
  const lab = await LabExport.start(context, vfSpec(context, address, more));
  await lab.map();
  assert.equal(await lands(lab), true);
  return { lab, address, pf };
}

/** Whether the engine reads the virtual function's status register through a mapping. */
export async function lands({ importer }: LabExport, iova = IOVA): Promise<boolean> {
  await importer.must(`engine-fill ${BEFORE} 4`);
  await importer.must(`dma-read ${iova + STATUS.offset} 4`);
  return (await importer.must("engine-peek 4"))["bytes"] === STATUS.bytes;
}

/** The mapping is dead by the IOMMU's word, and the buffer by the kernel's. */
async function isDead(context: CaseContext, lab: LabExport): Promise<void> {
  const mark = await context.kernelLog.mark();
  assert.equal(await lands(lab), false);
  await context.kernelLog.waitForFault(mark);
  assert.equal((await lab.importer.ask(`map data ${IOVA + 0x100000}`)).error, "ENODEV");
}

async function refusesMsix(context: CaseContext): Promise<void> {
  await preparePf(context, "nvme");
  const [address = ""] = await makeVfs(context, 1);
  const slices = "{ offset: 0x1000, length: 8KiB }";
  const policy = await writePolicy(
    context,
    policyText(context, vfSpec(context, address, { slices })),
  );
  const ran = await context.bargate(["plan", policy]);
  assert.equal(ran.status, 4, ran.stdout);
  assert.match(ran.stderr, /BG2010[^]*MSI-X table at \[0x2000, 0x3000\)/);
}

async function pfReset(context: CaseContext): Promise<void> {
  const { lab, pf } = await exported(context, { onReset: "revoke" });
  const begun = Date.now();
  await Deno.writeTextFile(join(pf, "reset"), "1");
  const ended = await lab.event("ended");
  context.figure(
    "sysfs reset of the PF, cause to end of its VF (ms)",
    Date.parse(ended.time) - begun,
  );
  assert.deepEqual([ended.reason, ended.means], ["device-reset", "close"]);
  const begin = lab.events.find(({ type }) => type === "revoking");
  assert.equal(begin?.cause?.source, "sysfs");
  context.figure("sysfs reset of the PF, cause", begin?.cause?.detail ?? "");
  await isDead(context, lab);
  assert.equal(await lab.finish(), 0);
}

async function vfsTakenAway(context: CaseContext): Promise<void> {
  const { lab } = await exported(context, { onReset: "restore" });
  const begun = Date.now();
  const written = setVfs(context, 0).then(() => Date.now());
  const ended = await lab.event("ended");
  context.figure("sriov_numvfs 0, cause to end (ms)", Date.parse(ended.time) - begun);
  context.figure("sriov_numvfs 0, until its write returned (ms)", await written - begun);
  assert.equal(ended.reason, "device-removed");
  const begin = lab.events.find(({ type }) => type === "revoking");
  context.figure("sriov_numvfs 0, cause", `${begin?.cause?.source}: ${begin?.cause?.detail}`);
  await isDead(context, lab);
  assert.equal(await lab.finish(), 0);
}

async function resetRevokes(context: CaseContext): Promise<void> {
  const { lab, address } = await exported(context, { onReset: "revoke" });
  const reset = await context.bargate(["reset", address]);
  assert.equal(reset.status, 0, reset.stderr);
  assert.equal((await lab.packetOf("revoked"))["reason"], "device-reset");
  const end = endOf(lab.events);
  const begin = lab.events.find(({ type }) => type === "revoking");
  const took = Date.parse(end.time) - Date.parse(begin?.time ?? "");
  context.figure("bargate reset of a VF, begun to ended (ms)", took);
  assert.deepEqual([end.reason, end.means], ["device-reset", "new-generation"]);
  const order = lab.events.map(({ type }) => type);
  assert.ok(
    order.indexOf("ended") < order.indexOf("device-reset"),
    "the end comes before the reset",
  );
  await isDead(context, lab);
  assert.equal(await lab.finish(), 0);
}

async function resetRestores(context: CaseContext): Promise<void> {
  const { lab, address } = await exported(context, { onReset: "restore" });
  const reset = await context.bargate(["reset", address]);
  assert.equal(reset.status, 0, reset.stderr);
  assert.equal((await lab.packetOf("restored"))["after"], "dead");
  assert.equal(await lands(lab), false);
  await lab.importer.must(`unmap ${IOVA} ${0x2000}`);
  await lab.map();
  assert.equal(await lands(lab), true);
  assert.ok(!lab.events.some(({ type }) => type === "ended"));
  assert.equal(await lab.finish(), 0);
}

async function heldInDecode(context: CaseContext): Promise<void> {
  const { lab, address } = await exported(context, { onReset: "revoke" });
  const reset = await context.bargate(["reset", "--method", "decode", address]);
  assert.equal(reset.status, 0, reset.stderr);
  assert.equal((await lab.packetOf("revoked"))["reason"], "decode-off");
  const [end, held] = [endOf(lab.events), lab.events.find(({ type }) => type === "device-held")];
  assert.deepEqual([end.reason, end.means, held?.cause?.detail], ["decode-off", "hold", "D3hot"]);
  await isDead(context, lab);
  assert.equal(await lab.finish(), 0);
}

async function heldAndLetGo(context: CaseContext): Promise<void> {
  const { lab, address } = await exported(context, { onReset: "restore" });
  const reset = await context.bargate(["reset", "--method", "decode", address]);
  assert.equal(reset.status, 0, reset.stderr);
  assert.equal((await lab.packetOf("restored"))["after"], "dead");
  assert.equal(await lands(lab), false, "D3hot revoked it, and iommufd's mapping stays dead");
  await lab.importer.must(`unmap ${IOVA} ${0x2000}`);
  await lab.map();
  assert.equal(await lands(lab), true);
  assert.equal(await lab.finish(), 0);
}

/** A virtual function of a PF that another process has under vfio-pci, with a token. */
async function guardedVf(context: CaseContext): Promise<string> {
  await preparePf(context, "vfio-pci");
  const { address } = context.devices.sriov;
  const owner = new Bench(context, address);
  owner.keep(await openBound(owner, await context.vfioNode(address), RIGHT));
  const [vf = ""] = await makeVfs(context, 1);
  return vf;
}

async function writeTokens(context: CaseContext, text: string): Promise<string[]> {
  const path = join(context.scratch, "tokens");
  await Deno.writeTextFile(path, text);
  await Deno.chmod(path, 0o600);
  return ["--vf-token-file", path];
}

async function tokenNeeded(context: CaseContext): Promise<void> {
  const vf = await guardedVf(context);
  const policy = await writePolicy(context, policyText(context, vfSpec(context, vf)));
  const tried = async (flags: readonly string[], says: RegExp) => {
    const ran = await context.bargate(["export", policy, ...flags, "--exec", "--", "/bin/true"]);
    assert.equal(ran.status, 4, ran.stderr);
    assert.match(ran.stderr, says);
    assert.doesNotMatch(ran.stderr + ran.stdout, /4455-6677/);
  };
  await tried([], /0000:04:00\.0 is its PF under vfio-pci; .*--vf-token-file \(EACCES\)/);
  const wrong = await writeTokens(context, WRONG);
  for (const route of ["cdev", "group"]) {
    await tried(
      ["--route", route, ...wrong],
      /VF token is not the one .*correct it .*\(EACCES\)/,
    );
  }
}

async function tokenOpens(context: CaseContext, route: readonly string[]): Promise<void> {
  const vf = await guardedVf(context);
  const tokens = await writeTokens(
    context,
    `# of the VMM\n${context.devices.sriov.address} ${RIGHT}\n`,
  );
  const flags = [...route, ...tokens];
  const lab = await LabExport.start(context, vfSpec(context, vf, { onReset: "revoke", flags }));
  await lab.map();
  assert.equal(await lands(lab), true);
  for (const name of ["cmdline", "environ"]) {
    const text = await Deno.readTextFile(`/proc/${lab.bargate.pid}/${name}`);
    assert.doesNotMatch(text, /4455-6677/);
  }
  const reset = await context.bargate(["reset", vf]);
  assert.equal(reset.status, 0, reset.stderr);
  assert.equal(endOf(lab.events).means, "new-generation", "it was opened again, with the token");
  await isDead(context, lab);
  assert.equal(await lab.finish(), 0);
  assert.doesNotMatch(lab.bargate.stdout + lab.bargate.stderr, /4455-6677/);
}

/** Cases of exports from virtual functions. */
export const cases: readonly LabCase[] = [
  { name: "virtual: the MSI-X page of a VF does not leave it", run: refusesMsix },
  {
    name: "virtual: a sysfs reset of the PF ends the grant of its VF",
    limitMs: 240_000,
    run: pfReset,
  },
  {
    name: "virtual: sriov_numvfs 0 ends the grant, and the write returns",
    limitMs: 240_000,
    run: vfsTakenAway,
  },
  {
    name: "virtual: bargate reset of a VF with onReset: revoke is for good",
    limitMs: 240_000,
    run: resetRevokes,
  },
  {
    name: "virtual: bargate reset of a VF with onReset: restore ends nothing",
    limitMs: 240_000,
    run: resetRestores,
  },
  {
    name: "virtual: bargate reset --method decode holds a VF by D3hot, and ends its grant",
    limitMs: 240_000,
    run: heldInDecode,
  },
  {
    name: "virtual: bargate reset --method decode with onReset: restore lets go of it again",
    limitMs: 240_000,
    run: heldAndLetGo,
  },
  {
    name: "virtual: without the PF's token, or with a wrong one, nothing is exported",
    limitMs: 300_000,
    run: tokenNeeded,
  },
  {
    name: "virtual: with the PF's token a VF is exported from, and opened again",
    limitMs: 240_000,
    run: (context) => tokenOpens(context, []),
  },
  {
    name: "virtual: with the PF's token a VF is exported from, and opened again (by group)",
    limitMs: 240_000,
    run: (context) => tokenOpens(context, ["--route", "group"]),
  },
];
