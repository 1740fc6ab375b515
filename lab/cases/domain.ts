/** Resets of functions that are reset together, through Bargate's command line. @module */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { bind } from "../guest/setup.ts";
import type { LabDevice } from "../machine/topology.ts";
import { IOVA, LabExport, SLICE, writePolicy } from "./support.ts";

/** For cases that start Bargate more than once, on a machine that others use too. */
const LONG_MS = 180_000;

/** Exports of the cases, and where the importer maps each. */
const EXPORTS = ["zero", "one", "far"] as const;
type Export = typeof EXPORTS[number];
const IOVAS: Readonly<Record<Export, number>> = {
  zero: IOVA,
  one: IOVA + 0x10000,
  far: IOVA + 0x20000,
};
const ELSEWHERE = IOVA + 0x100000;

function deviceOf({ devices }: CaseContext, name: Export): LabDevice {
  return { zero: devices.dual0, one: devices.dual1, far: devices.nvme }[name];
}

type OnReset = "revoke" | "restore";

/** Slices of both functions of one device, and of another device. */
function policy(
  context: CaseContext,
  onReset: Partial<Record<Export, OnReset>> = {},
  names: readonly Export[] = EXPORTS,
): string {
  const devices = names.map((name) => {
    const { id, address } = deviceOf(context, name);
    return `  ${name}: { match: { id: "${id}", address: "${address}" } }\n`;
  });
  const exports = names.map((name) =>
    `  - name: ${name}
    device: ${name}
    bar: ${SLICE.bar}
    slices: [{ offset: ${SLICE.offset}, length: ${SLICE.length} }]
    importers: [engine]
    onReset: ${onReset[name] ?? "revoke"}
    grace: 500ms
`
  );
  return `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: lab }
devices:
${devices.join("")}importers:
  engine: { identity: { user: nobody }, driver: iommufd }
exports:
${exports.join("")}`;
}

/** A running export of all, mapped, with DMA that lands. */
class Domain {
  private constructor(readonly context: CaseContext, readonly lab: LabExport) {}

  static async start(
    context: CaseContext,
    onReset: Partial<Record<Export, OnReset>> = {},
  ): Promise<Domain> {
    const domain = new Domain(
      context,
      await LabExport.startWith(context, policy(context, onReset)),
    );
    for (const name of EXPORTS) await domain.lab.map(name, IOVAS[name]);
    for (const name of EXPORTS) assert.ok(await domain.lands(name), name);
    return domain;
  }

  address(name: Export): string {
    return deviceOf(this.context, name).address;
  }

  lands(name: Export): Promise<boolean> {
    return this.lab.dmaLands(IOVAS[name], this.address(name));
  }

  /** Neither through the old mapping nor through a new one. */
  async isDead(name: Export): Promise<boolean> {
    const { lab } = this;
    await lab.mark(this.address(name));
    const lands = await lab.oldMappingLands(IOVAS[name], this.address(name));
    return !lands && (await lab.importer.ask(`map ${name} ${ELSEWHERE}`)).error === "ENODEV";
  }

  /** Why grants have ended so far. */
  get ends(): Record<string, string | undefined> {
    const ended = this.lab.events.filter(({ type }) => type === "ended");
    return Object.fromEntries(ended.map((event) => [event.export ?? "", event.reason]));
  }

  /** The bridge above both functions. */
  async bridge(): Promise<string> {
    const path = await Deno.realPath(`/sys/bus/pci/devices/${this.address("zero")}`);
    return path.slice(0, path.lastIndexOf("/"));
  }
}

async function asked(context: CaseContext): Promise<void> {
  const domain = await Domain.start(context);
  const [zero, one] = [domain.address("zero"), domain.address("one")];
  const through = (await domain.bridge()).split("/").at(-1);
  const alone = ["reset", zero, "--method", "bus"];
  const denied = await context.bargate([...alone, "--format", "json"]);
  assert.equal(denied.status, 1, denied.stderr);
  assert.deepEqual(JSON.parse(denied.stdout), {
    device: zero,
    method: "bus",
    denied: true,
    hits: [{ export: "lab/one", importer: "lab/engine", device: one, through }],
  });
  const human = await context.bargate(alone);
  assert.equal(human.status, 1, human.stderr);
  assert.match(human.stdout, new RegExp(`lab/one to lab/engine, on ${one}, by the reset of`));
  assert.deepEqual(domain.ends, {});
  for (const name of EXPORTS) assert.ok(await domain.lands(name), name);

  const done = await context.bargate([...alone, "--domain", "--format", "json"]);
  assert.equal(done.status, 0, done.stderr);
  const importer = "lab/engine";
  assert.deepEqual(JSON.parse(done.stdout), {
    device: zero,
    ended: 2,
    failed: 0,
    restored: 0,
    devices: [
      { device: zero, grants: [{ export: "lab/zero", importer, became: "ended" }] },
      { device: one, grants: [{ export: "lab/one", importer, became: "ended" }] },
    ],
  });
  const ends = domain.lab.events.filter(({ type }) => type === "ended");
  const times = (type: string) =>
    domain.lab.events.filter((event) => event.type === type).map(({ time }) => Date.parse(time));
  const from = Math.min(...times("revoking"));
  context.figure("bus reset, asked to the last end (ms)", Math.max(...times("ended")) - from);
  context.figure("bus reset, asked to done (ms)", Math.max(...times("device-reset")) - from);
  assert.deepEqual(domain.ends, { "lab/zero": "device-reset", "lab/one": "device-reset" });
  assert.deepEqual(ends.map(({ means }) => means), ["hold", "hold"]);
  assert.ok(await domain.isDead("zero"));
  assert.ok(await domain.isDead("one"));
  assert.ok(await domain.lands("far"));
  assert.equal(await domain.lab.finish(), 0);
}

async function restored(context: CaseContext): Promise<void> {
  const domain = await Domain.start(context, { one: "restore" });
  const { lab } = domain;
  const done = await context.bargate([
    "reset",
    domain.address("zero"),
    "--method",
    "bus",
    "--domain",
  ]);
  assert.equal(done.status, 0, done.stderr);
  assert.match(done.stdout, /grants ended: 1, restored or renewed: 1\n/);
  assert.match(done.stdout, /lab\/one to lab\/engine: restored/);
  assert.deepEqual(domain.ends, { "lab/zero": "device-reset" });
  assert.ok(await domain.isDead("zero"));
  await lab.packetOf("suspended");
  assert.equal((await lab.packetOf("restored"))["after"], "dead");
  await lab.mark(domain.address("one"));
  assert.equal(await lab.oldMappingLands(IOVAS.one, domain.address("one")), false);
  await lab.importer.must(`unmap ${IOVAS.one} ${SLICE.length}`);
  await lab.map("one", IOVAS.one);
  assert.ok(await domain.lands("one"));
  assert.ok(await domain.lands("far"));
  assert.equal(await lab.finish(), 0);
}

/** By a reset of the port above, past VFIO: the kernel revokes nothing. */
async function subordinate(context: CaseContext): Promise<void> {
  const domain = await Domain.start(context);
  const bridge = await domain.bridge();
  const begun = Date.now();
  await Deno.writeTextFile(`${bridge}/reset_subordinate`, "1");
  const written = Date.now();
  for (const name of ["lab/zero", "lab/one"]) {
    const line = await domain.lab.bargate.line(
      "stdout",
      (text) => text.includes(`"type":"ended"`) && text.includes(`"export":"${name}"`),
      20_000,
    );
    const ended = JSON.parse(line);
    assert.equal(ended.reason, "device-reset");
    context.figure(`${name}, cause to end (ms)`, Date.parse(ended.time) - begun);
  }
  context.figure("the write itself (ms)", written - begun);
  assert.ok(await domain.isDead("zero"));
  assert.ok(await domain.isDead("one"));
  assert.ok(await domain.lands("far"));
  const revoking = domain.lab.events.filter(({ type }) => type === "revoking");
  assert.ok(revoking.every(({ cause }) => cause?.detail?.includes("reset_subordinate")));
  assert.equal(await domain.lab.finish(), 0);
}

async function planned(context: CaseContext): Promise<void> {
  const [zero, one] = [deviceOf(context, "zero").address, deviceOf(context, "one").address];
  const through = (await Deno.realPath(`/sys/bus/pci/devices/${zero}`)).split("/").at(-2);
  const both = await writePolicy(context, policy(context));
  const json = await context.bargate(["plan", both, "--format", "json"]);
  assert.equal(json.status, 0, json.stderr);
  const domains = Object.fromEntries(
    JSON.parse(json.stdout).grants.map((grant: { export: string; resetDomain: unknown }) => [
      grant.export,
      grant.resetDomain,
    ]),
  );
  const on = (address: string, name: string) => [
    { address, through, grants: [{ export: name, importer: "lab/engine" }] },
  ];
  assert.deepEqual(domains, {
    "lab/zero": on(one, "lab/one"),
    "lab/one": on(zero, "lab/zero"),
    "lab/far": [],
  });
  const alone = await writePolicy(context, policy(context, {}, ["zero"]));
  const human = await context.bargate(["plan", alone]);
  assert.equal(human.status, 0, human.stderr);
  const line = `reset with ${one} (vfio-pci, not in this plan), by a reset of ${through}`;
  assert.ok(human.stdout.includes(line), human.stdout);
}

/** The neighbour is bound to no VFIO driver: the kernel would refuse, and nothing ends for it. */
async function foreign(context: CaseContext): Promise<void> {
  const { dual0, dual1 } = context.devices;
  const lab = await LabExport.startWith(context, policy(context, {}, ["zero"]));
  await lab.map("zero", IOVAS.zero);
  context.defer(() => bind(dual1));
  await Deno.writeTextFile("/sys/bus/pci/drivers/vfio-pci/unbind", dual1.address);
  const refused = await context.bargate(["reset", dual0.address, "--method", "bus", "--domain"]);
  assert.equal(refused.status, 5, refused.stderr);
  assert.match(refused.stderr, new RegExp(`${dual1.address} would be reset too`));
  assert.ok(await lab.dmaLands(IOVAS.zero, dual0.address));
  assert.ok(!lab.events.some(({ type }) => type === "ended" || type === "revoking"));
  assert.equal(await lab.finish(), 0);
}

/** Cases of reset domains. */
export const cases: readonly LabCase[] = [
  {
    name: "domain: a bus reset is refused with a list, and with --domain ends just what it hits",
    limitMs: LONG_MS,
    run: asked,
  },
  {
    name: "domain: a bus reset restores the neighbour that is to be restored",
    limitMs: LONG_MS,
    run: restored,
  },
  {
    name: "domain: reset_subordinate of the port above ends the grants of both functions",
    limitMs: LONG_MS,
    run: subordinate,
  },
  { name: "domain: plan lists what is reset together", limitMs: LONG_MS, run: planned },
  {
    name: "domain: a bus reset is refused beside a function that is not ours",
    limitMs: LONG_MS,
    run: foreign,
  },
];
