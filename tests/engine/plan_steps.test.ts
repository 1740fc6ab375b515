/** The steps that a plan tells are the calls that the engine makes. @module */
import assert from "node:assert/strict";
import { ConnectedPeer } from "../../engine/connected_peer.ts";
import { EventLog } from "../../engine/event.ts";
import { Guardian } from "../../engine/guardian.ts";
import type { ImporterSource } from "../../engine/importer_process.ts";
import { KernelError } from "../../engine/kernel_error.ts";
import { makePlan, type Plan } from "../../engine/plan.ts";
import { stepsOf } from "../../engine/plan_steps.ts";
import type { Condition, PlannedCall, PlanStep } from "../../engine/planned_call.ts";
import { StartedProgram } from "../../engine/started_program.ts";
import type { Files } from "../../host/files.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import { readSnapshot } from "../../host/read_snapshot.ts";
import type { HostSnapshot } from "../../host/snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { SimKernel } from "../../sim/sim_kernel.ts";
import { functionsOf } from "../../sim/snapshot_functions.ts";
import { SnapshotFiles } from "../../sim/snapshot_files.ts";
import { SimListener, SimSocket } from "../../sim/sockets.ts";
import { MemoryFiles } from "../support/memory_files.ts";
import { owned, OWNER, OWNER_PID } from "./owner_scene.ts";
import { RecordingKernel } from "./recording_kernel.ts";
import { AT, ManualClock, planned, settle, SSD } from "./support.ts";

const EXAMPLES = new URL("../../examples/", import.meta.url);
const SOCKET = "/run/importer.sock";
const PEER = { pid: 500, uid: 65534, gid: 65534 };
const ACCOUNT = { uid: 65534, gid: 65534, name: "nobody" };

function read(name: string): HostSnapshot {
  const { snapshot } = parseSnapshot(Deno.readFileSync(new URL(`hosts/${name}.json`, EXAMPLES)));
  assert.ok(snapshot !== undefined);
  const files = new SnapshotFiles(snapshot, new MemoryFiles({}));
  const host = { release: snapshot.kernel.release, pageSize: snapshot.pageSize };
  return readSnapshot(files, host).snapshot;
}

/** Importers of the examples are accounts that a test has not; who it is does not matter here. */
function policy(name: string): string {
  return Deno.readTextFileSync(new URL(`policies/${name}.yaml`, EXAMPLES))
    .replaceAll(/identity: \{[^}]*\}/g, "identity: { user: nobody }");
}

/** Several devices, several grants of one device, several ranges, and an importer that maps nothing. */
const MANY = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: many }
defaults: { collateral: device }
devices:
  ssd: { match: { id: "1b36:0010", address: "0000:01:00.0" } }
  other: { match: { id: "1b36:0010", address: "0000:02:00.0" } }
importers:
  nic: { identity: { user: nobody }, driver: mlx5 }
exports:
  - { name: a, device: ssd, bar: 2, slices: [{ offset: 0, length: 4KiB }, { offset: 16KiB, length: rest }], importers: [nic] }
  - { name: b, device: other, bar: 2, slices: [{ offset: 8KiB, length: 8KiB }], importers: [nic] }
  - { name: c, device: ssd, bar: 2, slices: [{ offset: 4KiB, length: 4KiB }], importers: [nic] }
`;

function plan(text: string, host: HostSnapshot, route?: "cdev" | "group"): Plan {
  const { set, diagnostics } = loadPolicySet([{ file: "p.yaml", text }], {
    pageSize: host.pageSize,
  });
  assert.ok(set !== undefined, JSON.stringify(diagnostics));
  const made = makePlan(set, host, route === undefined ? {} : { route });
  const errors = made.diagnostics.filter(({ severity }) => severity === "error");
  assert.deepEqual(errors, []);
  return made;
}

/** The same host; its NVMe controllers have serial numbers. */
function withSerials(host: HostSnapshot): HostSnapshot {
  const functions = host.functions.map((entry, index) => {
    if (entry.class !== "010802") return entry;
    const config = new Uint8Array(4096);
    config.set(entry.config);
    const view = new DataView(config.buffer);
    view.setUint32(0x100, 0x0001_0003, true);
    view.setUint32(0x104, index, true);
    view.setUint32(0x108, 0x001b_21ff, true);
    return { ...entry, config };
  });
  return { ...host, functions };
}

/** A step in the words of the recording: what a call gives is seen where it is used. */
function told({ made }: PlanStep): Record<string, unknown> {
  if (made.call === "borrow") {
    const by = made.by === "pidfd_getfd" ? made.by : "socket";
    return { call: made.call, address: made.address, by };
  }
  if (made.call === "exportDmaBuf" || made.call === "ioasAlloc") return { ...made };
  const { gives: _gives, ...rest } = made as PlannedCall & { gives?: string };
  return rest;
}

/** What must have been called on a host, and what must have been delivered. */
function expected(steps: readonly PlanStep[], host: Condition) {
  const made = steps.filter(({ only }) => only === undefined || only === host);
  const last = made.at(-1)?.made;
  assert.ok(last?.call === "deliver");
  return { calls: made.slice(0, -1).map(told), delivered: last.buffers };
}

interface Run {
  readonly plan: Plan;
  readonly host: HostSnapshot;
  readonly way: "exec" | "send";
  readonly iommufd?: boolean;
}

async function run({ plan, host, way, iommufd = true }: Run) {
  const kernel = new SimKernel({ functions: functionsOf(host), accounts: [ACCOUNT] });
  const { pageSize } = host;
  const recording = new RecordingKernel(kernel, { pageSize, iommufd });
  const clock = new ManualClock();
  const guardian = guardianOf(plan, recording, clock);
  const connections: number[] = [];
  const source = way === "exec" ? program(plan) : listener(kernel, plan, connections);
  await guardian.meet(source);
  await guardian.open();
  const ended = guardian.run(source);
  await settle();
  const { calls, delivered } = recording;
  recording.over = true;
  for (const child of kernel.children) kernel.exit(child);
  for (const number of connections) kernel.table.close(number);
  kernel.processes.get(PEER.pid)?.end();
  await clock.advance(10_000);
  assert.equal((await ended).trouble, false);
  return { calls, delivered };
}

function guardianOf(plan: Plan, { port }: RecordingKernel, clock: ManualClock): Guardian {
  return new Guardian(plan, {
    kernel: port,
    clock,
    log: new EventLog(plan.policy, () => clock.now(), () => {}),
    limitMs: 1000,
    files: new MemoryFiles({}),
  });
}

function program({ grants }: Plan): ImporterSource {
  const recipient = { account: ACCOUNT, executable: "/usr/bin/importer" };
  const rest = { argv: ["importer"], env: {}, stdoutToStderr: false };
  return new StartedProgram(grants[0]?.importer.name ?? "", { recipient, ...rest });
}

/** A process that listens and says hello. */
function listener(
  kernel: SimKernel,
  { grants: [grant] }: Plan,
  connections: number[],
): ImporterSource {
  assert.ok(grant !== undefined);
  kernel.addProcess(PEER);
  const number = kernel.listenAs(PEER, SOCKET);
  const file = kernel.table.get(number);
  assert.ok(file instanceof SimListener);
  file.onReadable = () => {
    const connection = kernel.acceptAs(number) ?? -1;
    connections.push(connection);
    const hello = new TextEncoder().encode(JSON.stringify({ type: "hello", v: 1 }));
    kernel.sendAs(PEER, connection, hello, []);
  };
  const files = { realPath: (path: string) => path } as Files;
  return new ConnectedPeer({ path: SOCKET, importer: grant.importer, files, allowSameUser: false });
}

const CASES: readonly (readonly [policy: string, host: string])[] = [
  ["cmb-to-edu", "laboratory"],
  ["cmb-to-rnic", "spdk-redirected"],
  ["doorbells-to-rnic", "spdk-redirected"],
  ["gpu-to-rnic", "gpu-node"],
  ["vf-to-vmm", "vm-host"],
  ["cmb-on-large-pages", "spdk-redirected"],
];

for (const way of ["exec", "send"] as const) {
  Deno.test(`the steps of the examples' plans are what the engine calls (${way})`, async (t) => {
    for (const [name, hostName] of CASES) {
      await t.step(`${name} on ${hostName}`, async () => {
        const host = read(hostName);
        const made = plan(policy(name), host);
        const seen = await run({ plan: made, host, way });
        const steps = stepsOf(made.grants);
        assert.deepEqual(seen, expected(steps, "with-iommufd"));
        assert.ok(steps.some(({ made: { call } }) => call === "exportDmaBuf"));
      });
    }
  });
}

Deno.test("the steps by group, with and without iommufd, are what the engine calls", async (t) => {
  const host = read("laboratory");
  for (const [name, text] of [["cmb-to-edu", policy("cmb-to-edu")], ["many", MANY]] as const) {
    for (const iommufd of [true, false]) {
      await t.step(`${name}, ${iommufd ? "with" : "without"} iommufd`, async () => {
        const made = plan(text, host, "group");
        const seen = await run({ plan: made, host, way: "exec", iommufd });
        const wanted = expected(stepsOf(made.grants), iommufd ? "with-iommufd" : "without-iommufd");
        assert.deepEqual(seen, wanted);
      });
    }
  }
});

Deno.test("the steps of devices with serial numbers are what the engine calls", async () => {
  const host = withSerials(read("laboratory"));
  for (const route of ["cdev", "group"] as const) {
    const made = plan(MANY, host, route);
    const seen = await run({ plan: made, host, way: "send" });
    const steps = stepsOf(made.grants);
    assert.deepEqual(seen, expected(steps, "with-iommufd"));
    assert.equal(steps.filter(({ expect }) => expect?.["serial"] !== undefined).length, 2);
  }
});

/** Two controllers of which one has its buffer enabled, and the other is to be. */
const MEMORIES = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: memories }
defaults: { collateral: device }
devices:
  ssd: { match: { id: "1b36:0010", address: "0000:01:00.0" }, enableCmb: true }
  other: { match: { id: "1b36:0010", address: "0000:02:00.0" } }
importers:
  engine: { identity: { user: nobody }, driver: iommufd }
exports:
  - { name: a, device: ssd, bar: 2, region: nvme.cmb, importers: [engine] }
  - { name: b, device: other, bar: 2, region: nvme.cmb, importers: [engine] }
`;

function withMemories(host: HostSnapshot): HostSnapshot {
  const place = { bar: 2, offset: 0n, size: 0x100_0000n };
  const states: Readonly<Record<string, "disabled" | "enabled">> = {
    "0000:01:00.0": "disabled",
    "0000:02:00.0": "enabled",
  };
  const functions = host.functions.map((entry) => {
    const state = states[entry.address];
    return state === undefined ? entry : { ...entry, controllerMemory: { state, ...place } };
  });
  return { ...host, functions };
}

Deno.test("the steps of memory buffers are what the engine calls, and what it writes", async () => {
  const host = withMemories(read("laboratory"));
  for (const route of ["cdev", "group"] as const) {
    const made = plan(MEMORIES, host, route);
    const seen = await run({ plan: made, host, way: "send" });
    const steps = stepsOf(made.grants);
    assert.deepEqual(seen, expected(steps, "with-iommufd"));
    const written = steps.flatMap(({ made }) => made.call === "writeRegion" ? [made.bytes] : []);
    assert.deepEqual(written, ["00000000", "030000fc"]);
  }
});

Deno.test("the steps of several devices, grants and ranges are what the engine calls", async () => {
  const host = read("laboratory");
  const made = plan(MANY, host);
  const seen = await run({ plan: made, host, way: "send" });
  assert.deepEqual(seen, expected(stepsOf(made.grants), "with-iommufd"));
  assert.deepEqual(seen.delivered.map(({ name }) => name), ["a", "c", "b"]);
});

Deno.test("the buffers of one of many devices have the names that the engine gives them", async () => {
  const host = read("laboratory");
  const text = MANY.replace(
    /other: .*/,
    `other: { match: { id: "1b36:0010", driver: vfio-pci }, many: true }`,
  )
    .replace("[{ offset: 8KiB, length: 8KiB }]", "[{ offset: 8KiB, length: 4KiB }]");
  const made = plan(text, host);
  const { delivered } = await run({ plan: made, host, way: "exec" });
  assert.deepEqual(delivered, expected(stepsOf(made.grants), "with-iommufd").delivered);
  const names = delivered.map(({ name }) => name);
  assert.ok(names.includes("b@0000-01-00.0"), names.join(" "));
  assert.equal(new Set(names).size, names.length);
});

Deno.test("the steps of a device whose descriptor is taken are what the engine calls", async () => {
  let recording: RecordingKernel | undefined;
  const specs = [{}, { name: "more" }] as const;
  const { scene, end } = await owned(specs[0], undefined, {}, [specs[1]], (kernel) => {
    recording = new RecordingKernel(kernel, { borrowed: SSD });
    return { kernel: recording.port };
  });
  await scene.start();
  assert.ok(recording !== undefined);
  recording.over = true;
  const { calls, delivered } = recording;
  const seen = { calls, delivered };
  const grants = specs.map((spec) => planned({ owner: OWNER, ...spec }));
  assert.deepEqual(seen, expected(stepsOf(grants), "with-iommufd"));
  await scene.finish();
  end();
});

Deno.test("the steps of a device whose descriptor is sent are what the engine calls", async () => {
  const path = "/run/spdk/bargate.sock";
  const owner = { ...OWNER, socket: { value: path, at: AT } };
  let recording: RecordingKernel | undefined;
  const { scene, node, end } = await owned({ owner }, undefined, {}, [], (kernel) => {
    recording = new RecordingKernel(kernel, { borrowed: SSD });
    return { kernel: recording.port };
  });
  const self = { pid: OWNER_PID, uid: 65534, gid: 65534 };
  const listening = scene.kernel.listenAs(self, path);
  const file = scene.kernel.table.get(listening);
  assert.ok(file instanceof SimListener);
  file.onReadable = () => {
    const connection = scene.kernel.acceptAs(listening) ?? -1;
    const socket = scene.kernel.table.get(connection);
    assert.ok(socket instanceof SimSocket);
    socket.onReadable = () => {
      if (socket.queue.shift() === undefined) return void scene.kernel.table.close(connection);
      const answer = new TextEncoder().encode(JSON.stringify({ v: 1, type: "lent" }));
      scene.kernel.sendAs(self, connection, answer, [node.number]);
    };
  };
  await scene.start();
  assert.ok(recording !== undefined);
  recording.over = true;
  const { calls, delivered } = recording;
  const seen = { calls, delivered };
  assert.deepEqual(seen, expected(stepsOf([planned({ owner })]), "with-iommufd"));
  await scene.finish();
  end();
});

/** Another answer than a step expects. */
function otherThan({ call }: PlannedCall, answer: unknown): unknown {
  switch (call) {
    case "deviceAddress":
      return "0000:ff:1f.7";
    case "readRegion":
      return (answer as Uint8Array).map((byte) => byte ^ 0xff);
    case "regionInfo":
      return { ...answer as { size: bigint }, size: (answer as { size: bigint }).size * 2n };
    case "probeDmaBuf":
      return { state: "absent", cause: "driver" };
    case "dmaBufFacts":
      return { ...answer as object, closeOnExec: false };
    case "ioasMapFile":
      throw new KernelError("IOMMU_IOAS_MAP_FILE", 19, "ENODEV", "dma-buf");
    default:
      throw new RangeError(`${call} expects nothing`);
  }
}

Deno.test("another answer than a step expects ends everything, and nothing is delivered", async (t) => {
  const plain = withSerials(read("laboratory"));
  for (
    const [route, iommufd, text, host] of [
      ["cdev", true, MANY, plain],
      ["group", true, MANY, plain],
      ["group", false, MANY, plain],
      ["cdev", true, MEMORIES, withMemories(plain)],
    ] as const
  ) {
    const made = plan(text, host, route);
    const condition = iommufd ? "with-iommufd" : "without-iommufd";
    const steps = stepsOf(made.grants)
      .filter(({ only }) => only === undefined || only === condition);
    for (const [number, step] of steps.entries()) {
      if (step.expect === undefined) continue;
      const of = made.grants[0]?.rule.qualifiedName;
      const name = `${number}: ${step.made.call} by ${route}, ${condition}, ${of}`;
      await t.step(name, async () => {
        const kernel = new SimKernel({ functions: functionsOf(host), accounts: [ACCOUNT] });
        const falsify = (call: number, answer: unknown) => {
          if (call === number) {
            recording.over = true;
            return otherThan(step.made, answer);
          }
          if (answer instanceof Error) throw answer;
          return answer;
        };
        const recording = new RecordingKernel(kernel, { iommufd, falsify });
        const clock = new ManualClock();
        const guardian = guardianOf(made, recording, clock);
        await assert.rejects(guardian.open());
        assert.ok(recording.over, "it was asked");
        assert.deepEqual([recording.delivered, kernel.children], [[], []]);
        assert.deepEqual(kernel.table.open(), [], "nothing is left open");
      });
    }
  }
});
