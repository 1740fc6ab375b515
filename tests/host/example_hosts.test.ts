/** The example hosts: fresh, sound, and what the example policies come to on them. */
import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";
import { pathMatrix } from "../../engine/path_matrix.ts";
import { makePlan } from "../../engine/plan.ts";
import { planJson } from "../../engine/plan_json.ts";
import { exampleHosts } from "../../examples/hosts/generate.ts";
import { ioctlsOf } from "../../cmd/plan_bytes.ts";
import { findCapability, msixRanges } from "../../host/config_space.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import { printSnapshot } from "../../host/print_snapshot.ts";
import schema from "../../host/snapshot.schema.json" with { type: "json" };
import type { HostSnapshot, SnapshotFunction } from "../../host/snapshot.ts";
import type { Diagnostic } from "../../policy/diagnostic.ts";
import { loadPolicySet } from "../../policy/load.ts";

const HOSTS = new URL("../../examples/hosts/", import.meta.url);
const POLICIES = new URL("../../examples/policies/", import.meta.url);
const PLANS = new URL("../corpus/plans/", import.meta.url);
const PATHS = new URL("../corpus/paths/", import.meta.url);

const NAMES = [...Deno.readDirSync(HOSTS)].map(({ name }) => name)
  .filter((name) => name.endsWith(".json")).sort();

function read(name: string): HostSnapshot {
  const { snapshot, problems } = parseSnapshot(Deno.readFileSync(new URL(name, HOSTS)));
  assert.deepEqual(problems, []);
  assert.ok(snapshot !== undefined);
  return snapshot;
}

function functionAt(host: HostSnapshot, address: string): SnapshotFunction {
  const found = host.functions.find((entry) => entry.address === address);
  assert.ok(found !== undefined, address);
  return found;
}

Deno.test("the constructed hosts are fresh", () => {
  const fresh = exampleHosts();
  assert.deepEqual(["laboratory.json", ...fresh.keys()].sort(), NAMES);
  for (const [name, text] of fresh) {
    const message = `${name} is stale: run examples/hosts/generate.ts`;
    assert.equal(Deno.readTextFileSync(new URL(name, HOSTS)), text, message);
  }
});

Deno.test("every example host reads back, is what the schema says, and is printed canonically", () => {
  const validate = new Ajv2020().compile(schema);
  for (const name of NAMES) {
    const text = Deno.readTextFileSync(new URL(name, HOSTS));
    assert.ok(validate(JSON.parse(text)), `${name}: ${JSON.stringify(validate.errors)}`);
    assert.equal([...printSnapshot(read(name))].join(""), text, name);
    const constructed = read(name).description?.startsWith("Constructed: ") ?? false;
    assert.equal(constructed, name !== "laboratory.json", name);
  }
});

Deno.test("every function of the example hosts has its capabilities, and MSI-X inside its BARs", () => {
  for (const name of NAMES) {
    for (const entry of read(name).functions) {
      const express = findCapability(entry.config, 0x10);
      assert.equal(entry.config.length, express === undefined ? 256 : 4096, entry.address);
      const msix = msixRanges(entry.config);
      for (const { bar, offset, length } of msix === undefined ? [] : Object.values(msix)) {
        const size = entry.bars.find(({ index }) => index === bar)?.size ?? 0n;
        assert.ok(offset + length <= size, `${name} ${entry.address} BAR ${bar}`);
      }
    }
  }
});

/** Control word of Access Control Services; undefined if the function has none. */
function accessControl({ config }: SnapshotFunction): number | undefined {
  const view = new DataView(config.buffer, config.byteOffset, config.length);
  for (let at = 0x100, seen = 0; at >= 0x100 && at + 8 <= config.length && seen < 64; seen++) {
    const header = view.getUint32(at, true);
    if ((header & 0xffff) === 0x0d) return view.getUint16(at + 6, true);
    at = header >>> 20;
  }
  return undefined;
}

Deno.test("the storage node redirects and isolates, or does neither", () => {
  const ports = ["0000:02:00.0", "0000:02:04.0", "0000:02:08.0"];
  const REDIRECT = 0x0c;
  const redirected = read("spdk-redirected.json");
  const direct = read("spdk-direct.json");
  for (const port of ports) {
    assert.equal((accessControl(functionAt(redirected, port)) ?? 0) & REDIRECT, REDIRECT);
    assert.equal((accessControl(functionAt(direct, port)) ?? -1) & REDIRECT, 0);
  }
  const beside = (host: HostSnapshot) => {
    const { iommuGroup } = functionAt(host, "0000:03:00.0");
    return host.functions.filter((entry) => entry.iommuGroup === iommuGroup)
      .map(({ driver }) => driver);
  };
  assert.deepEqual(beside(redirected), ["vfio-pci"]);
  assert.ok(beside(direct).includes("mlx5_core"), "the native driver is in the group");
});

Deno.test("the other hosts have what they are for", () => {
  const gpus = read("gpu-node.json").functions.filter(({ vendor }) => vendor === "10de");
  assert.equal(gpus.length, 8);
  assert.deepEqual([...new Set(gpus.map(({ numaNode }) => numaNode))], [0, 1]);
  const virtual = read("vm-host.json").functions.filter(({ physfn }) => physfn !== undefined);
  assert.equal(virtual.length, 4);
  assert.equal(read("arm64-64k.json").pageSize, 65536);
  assert.equal(read("laboratory.json").pageSize, 4096);
});

/** Which policy on which host; what comes out is in a file of the same name. */
const CASES: readonly (readonly [host: string, policy: string])[] = [
  ["laboratory", "cmb-to-edu"],
  ["spdk-redirected", "cmb-to-rnic"],
  ["spdk-direct", "cmb-to-rnic"],
  ["spdk-redirected", "doorbells-to-rnic"],
  ["spdk-redirected", "cmb-to-edu"],
  ["gpu-node", "gpu-to-rnic"],
  ["gpu-node", "doorbells-to-rnic"],
  ["vm-host", "vf-to-vmm"],
  ["arm64-64k", "cmb-on-large-pages"],
  ["arm64-64k", "doorbells-to-rnic"],
  ["amd-zen", "cmb-on-large-pages"],
  ["intel-desktop", "cmb-on-large-pages"],
  ["variant", "cmb-on-large-pages"],
];

/** Each pair of a host in a line: who, whom, how far, why, and what redirects; then who holds groups. */
function pathsOf(host: HostSnapshot): readonly string[] {
  const { exporters, importers, judge } = pathMatrix(host);
  const paths = exporters.flatMap(({ entry: from }) =>
    importers.map(({ entry: to }) => {
      const { kind, path, reason, redirecting } = judge(from, to);
      const ports = redirecting.map(({ address }) => ` ${address}`).join("");
      return `${from.address} ${to.address}: ${kind} ${path.distance}, ${reason.code}${ports}`;
    })
  );
  const held = exporters.flatMap(({ entry, viability }) =>
    (viability?.spoilers() ?? []).map(({ address, driver }) =>
      `${entry.address} held by ${address} ${driver}`
    )
  );
  return [...paths, ...held];
}

Deno.test("on the example hosts the paths and the groups are what is expected", async (t) => {
  for (const name of NAMES) {
    await t.step(name, () => {
      const url = new URL(name.replace(".json", ".expected.json"), PATHS);
      const made = pathsOf(read(name));
      if (Deno.env.get("UPDATE_PLANS") === "1") {
        Deno.writeTextFileSync(url, `${JSON.stringify(made, null, 2)}\n`);
      }
      assert.deepEqual(made, JSON.parse(Deno.readTextFileSync(url)));
    });
  }
});

/** What a grant is; the plan tells more about it. */
const DECISIVE = [
  "export",
  "importer",
  "device",
  "bar",
  "slices",
  "access",
  "revocation",
  "resetDomain",
  "ioctl",
] as const;

function told(diagnostics: readonly Diagnostic[]): unknown[] {
  return diagnostics.map(({ code, severity, line, column, message, fix }) => {
    return { code, severity, line, column, message, fix };
  });
}

function planned(hostName: string, policyName: string): unknown {
  const host = read(`${hostName}.json`);
  const file = `${policyName}.yaml`;
  const text = Deno.readTextFileSync(new URL(file, POLICIES));
  const { set, diagnostics } = loadPolicySet([{ file, text }], { pageSize: host.pageSize });
  if (set === undefined) return { policy: "invalid", diagnostics: told(diagnostics) };
  const plan = makePlan(set, host);
  const value = planJson(plan, ioctlsOf);
  const all = told([...diagnostics, ...plan.diagnostics]);
  const grants = plan.diagnostics.some(({ severity }) => severity === "error")
    ? []
    : value["grants"] as Record<string, unknown>[];
  const picked = grants.map((grant) =>
    Object.fromEntries(DECISIVE.map((key) => [key, grant[key]]))
  );
  return JSON.parse(JSON.stringify({ grants: picked, diagnostics: all }));
}

Deno.test("the example policies come to what is expected on the example hosts", async (t) => {
  for (const [host, policy] of CASES) {
    await t.step(`${policy} on ${host}`, () => {
      const url = new URL(`${policy}-on-${host}.expected.json`, PLANS);
      const made = planned(host, policy);
      if (Deno.env.get("UPDATE_PLANS") === "1") {
        Deno.writeTextFileSync(url, `${JSON.stringify(made, null, 2)}\n`);
      }
      assert.deepEqual(made, JSON.parse(Deno.readTextFileSync(url)));
    });
  }
});
