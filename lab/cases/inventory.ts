/**
 * `bargate inventory` on a real kernel. What it says is checked in as `examples/hosts/laboratory.json`;
 * the first case tells when the two differ, and leaves the new one where the host finds it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { msixRanges } from "../../host/config_space.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { bind } from "../guest/setup.ts";
import { CMB_BYTES } from "../machine/topology.ts";
import { join } from "../path.ts";
import { inventorySays, lspciSays } from "./inventory_lspci.ts";
import { CMBMSC, whileOpen } from "./other_process.ts";
import { policyText, writePolicy } from "./support.ts";

const RECORDED = "examples/hosts/laboratory.json";
/** Under load a start of Deno in the guest takes its time. */
const LIMIT_MS = 240_000;

function read(bytes: Uint8Array): HostSnapshot {
  const { snapshot, problems } = parseSnapshot(bytes);
  assert.deepEqual(problems, []);
  assert.ok(snapshot !== undefined);
  return snapshot;
}

async function take(context: CaseContext): Promise<{ path: string; snapshot: HostSnapshot }> {
  const path = join(context.exchange, "inventory.json");
  const ran = await context.bargate(["inventory", "--out", path], { limitMs: LIMIT_MS });
  assert.deepEqual([ran.status, ran.stdout, ran.stderr], [0, "", ""]);
  return { path, snapshot: read(await Deno.readFile(path)) };
}

/** What is the same in every boot, whatever cases ran before: no addresses that the kernel gave out. */
function stable(
  { kernel, cpu, pageSize, iommu, functions, nvme, rdma, drm }: HostSnapshot,
): unknown {
  return {
    config: kernel.config,
    cpu,
    pageSize,
    iommu,
    functions: functions.map(stableFunction),
    // Numbers are given out in the order in which drivers come.
    named: [nvme, rdma, drm].map((each) => each?.map((device) => device.function).sort()),
  };
}

function stableFunction(entry: SnapshotFunction): unknown {
  const {
    cdev,
    groupNode: _node,
    powerState: _power,
    runtimeStatus: _status,
    config,
    bars,
    ...others
  } = entry;
  const { groupAccess: _group, cdevAccess: _access, driverOverride: _override, ...rest } = others;
  return {
    ...rest,
    cdev: cdev !== undefined,
    config: [config.length, config[0x0e], msixRanges(config)],
    bars: bars.map(({ start: _start, ...bar }) => bar),
  };
}

async function comparesWithRecorded(context: CaseContext): Promise<void> {
  const { snapshot } = await take(context);
  const recorded = read(await Deno.readFile(join(context.checkout, RECORDED)));
  const message = `${RECORDED} is stale: the new one is inventory.json in the folder that is kept`;
  assert.deepEqual(stable(snapshot), stable(recorded), message);
}

/** Sysfs asks for the capability, not for the account; one that may read Deno's cache is at hand. */
const WITHOUT_RIGHTS = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"];

async function withoutRights(context: CaseContext): Promise<void> {
  const main = join(context.checkout, "cmd/main.ts");
  const args = ["run", "-A", "--cached-only", main, "inventory", "--format", "json"];
  const ran = await context.run([...WITHOUT_RIGHTS, Deno.execPath(), ...args], {
    limitMs: LIMIT_MS,
  });
  assert.equal(ran.status, 0, ran.stderr);
  const ordinary = read(new TextEncoder().encode(ran.stdout));
  const { snapshot } = await take(context);
  assert.equal(
    ran.stderr,
    `warning: could not read of ${snapshot.functions.length} functions: ` +
      "config beyond 64 bytes (needs CAP_SYS_ADMIN)\n",
  );
  const header = (entry: SnapshotFunction) => {
    return { ...entry, config: entry.config.length, unreadable: [] };
  };
  const short = { config: 64, unreadable: [] };
  assert.deepEqual(
    ordinary.functions.map(header),
    snapshot.functions.map((entry) => ({ ...entry, ...short })),
  );
  const path = join(context.scratch, "ordinary.json");
  await Deno.writeTextFile(path, ran.stdout);
  const plan = await planned(context, ["--inventory", path]);
  assert.equal(plan.status, 4);
  assert.match(plan.stdout, /"BG2011"/);
}

async function planned(context: CaseContext, flags: readonly string[]) {
  const policy = await writePolicy(context, policyText(context));
  const args = ["plan", policy, "--format", "json", ...flags];
  return await context.bargate(args, { limitMs: LIMIT_MS });
}

async function plansTheSame(context: CaseContext): Promise<void> {
  const { path } = await take(context);
  const [here, there] = [await planned(context, []), await planned(context, ["--inventory", path])];
  assert.equal(here.status, 0, here.stderr);
  assert.equal(there.status, 0, there.stderr);
  const { inventory, ...rest } = JSON.parse(there.stdout);
  assert.equal(inventory, path);
  assert.deepEqual(rest, JSON.parse(here.stdout));
}

/**
 * What controllers say of their buffers: not enabled, where it is, and that there is none. The
 * kernel's own driver had all of them at first and enabled their buffers, and no reset undoes that.
 */
async function probes(context: CaseContext): Promise<void> {
  const { nvme, nvme2, sriov, nativeNvme } = context.devices;
  const enabled = await whileOpen(context, nvme, async (lane, device) => {
    const before = await lane.readRegion(device, 0, CMBMSC, 8);
    await lane.writeRegion(device, 0, CMBMSC, new Uint8Array(8));
    return before;
  });
  await bind({ ...sriov, driver: "vfio-pci" });
  try {
    const path = join(context.exchange, "probed.json");
    const args = ["inventory", "--probe", "--out", path];
    const ran = await context.bargate(args, { limitMs: LIMIT_MS });
    assert.deepEqual([ran.status, ran.stdout, ran.stderr], [0, "", ""]);
    const { functions } = read(await Deno.readFile(path));
    const said = new Map(functions.map((each) => [each.address, each.controllerMemory]));
    assert.deepEqual(said.get(nvme.address), { state: "disabled" });
    assert.deepEqual(said.get(sriov.address), { state: "none" });
    const memory = { state: "enabled", bar: 2, offset: 0n, size: BigInt(CMB_BYTES) };
    assert.deepEqual(said.get(nvme2.address), memory);
    const persistent = new Map(functions.map((each) => [each.address, each.persistentMemory]));
    assert.deepEqual(persistent.get(nvme.address), { state: "none" });
    assert.deepEqual(persistent.get(nvme2.address), { state: "disabled", bar: 4 });
    assert.equal(said.get(nativeNvme.address), undefined, "it is its driver's");
    assert.equal(said.get("0000:00:14.0"), undefined, "it is no controller");
  } finally {
    await bind(sriov);
    await whileOpen(
      context,
      nvme,
      (lane, device) => lane.writeRegion(device, 0, CMBMSC, enabled),
    );
  }
}

/** Somebody else's device is left alone, and that is told. */
async function probesNoOpenDevice(context: CaseContext): Promise<void> {
  const { nvme, nvme2 } = context.devices;
  await whileOpen(context, nvme, async () => {
    const args = ["inventory", "--probe", "--owners", "--format", "json"];
    const devices = ["--device", nvme.address, "--device", nvme2.address];
    const ran = await context.bargate([...args, ...devices], { limitMs: LIMIT_MS });
    assert.equal(ran.status, 0, ran.stderr);
    assert.match(ran.stderr, /^warning: left out what the controller 0000:01:00\.0 says: Cannot /);
    const { functions } = read(new TextEncoder().encode(ran.stdout));
    const said = functions.filter((each) => each.controllerMemory !== undefined);
    assert.deepEqual(said.map(({ address }) => address), [nvme2.address]);
    const openBy = (wanted: string) =>
      functions.find(({ address }) => address === wanted)?.openBy?.map(({ pid }) => pid);
    assert.deepEqual([openBy(nvme.address), openBy(nvme2.address)], [[Deno.pid], []]);
  });
}

async function agreesWithLspci(context: CaseContext): Promise<void> {
  const { snapshot } = await take(context);
  const ran = await context.run(["lspci", "-D", "-nn", "-vvv"], { limitMs: LIMIT_MS });
  assert.equal(ran.status, 0, ran.stderr);
  await Deno.writeTextFile(join(context.exchange, "lspci.txt"), ran.stdout);
  const said = lspciSays(ran.stdout);
  const addresses = snapshot.functions.map(({ address }) => address);
  assert.deepEqual([...said.keys()].sort(), addresses);
  for (const entry of snapshot.functions) {
    assert.deepEqual(inventorySays(entry), said.get(entry.address), entry.address);
  }
  const all = [...said.values()];
  // The comparison is worth something only if there is something to compare.
  assert.ok(all.some(({ msix }) => msix !== undefined) && all.some(({ acs }) => acs !== undefined));
  assert.ok(all.some(({ functionReset }) => functionReset));
  assert.ok(all.every(({ group }) => group !== undefined));
}

/** Those of the inventory. */
export const cases: readonly LabCase[] = [
  {
    name: "inventory: of the guest is the one that is checked in",
    limitMs: LIMIT_MS,
    run: comparesWithRecorded,
  },
  {
    name: "inventory: without a capability less is read, and the right that is missing is named",
    limitMs: 2 * LIMIT_MS,
    run: withoutRights,
  },
  {
    name: "inventory: lspci says the same of every function: ids, BARs, MSI-X, ACS, group",
    limitMs: LIMIT_MS,
    run: agreesWithLspci,
  },
  {
    name:
      "inventory: --probe tells a memory buffer that is not enabled from one that is, and from none",
    limitMs: 2 * LIMIT_MS,
    run: probes,
  },
  {
    name:
      "inventory: --probe leaves a device alone that another process has open, --owners says which",
    limitMs: LIMIT_MS,
    run: probesNoOpenDevice,
  },
  {
    name: "inventory: a plan on the file is the plan on the host",
    limitMs: 2 * LIMIT_MS,
    run: plansTheSame,
  },
];
