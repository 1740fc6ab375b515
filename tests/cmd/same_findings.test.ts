/** A host is the same host, whether it is looked at as a file or as it stands (here: simulated). */
import assert from "node:assert/strict";
import type { Context } from "../../cmd/context.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { planningFacts } from "../../cmd/planning_facts.ts";
import type { HostFacts } from "../../cmd/prepare_plan.ts";
import { readInventory } from "../../cmd/read_inventory.ts";
import "../../ffi/preload.ts";
import { fromFileUrl } from "../support/paths.ts";
import { bargate } from "./run_here.ts";

const HOSTS = new URL("../../examples/hosts/", import.meta.url);
const LABORATORY = fromFileUrl(new URL("laboratory.json", HOSTS));
const POLICIES = fromFileUrl(new URL("../../examples/policies/", import.meta.url));
/** It says a little that makes no sense, and is a host all the same. */
const WITH_WARNING = fromFileUrl(
  new URL("../corpus/snapshots/bad/config-of-another.json", import.meta.url),
);

/** It is no host: nothing is behind a circle of bridges. */
const UNFIT = fromFileUrl(
  new URL("../corpus/snapshots/bad/parent-cycle-of-two.json", import.meta.url),
);

/** Nothing but the importer's device makes functions other than the exporter matter. */
function policy(device: string): string {
  return `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
devices:
  ssd: { match: { id: "1b36:0010", address: "0000:01:00.0" } }
importers:
  a: { identity: { user: nobody }, driver: iommufd, device: ${device} }
exports:
  - { name: data, device: ssd, bar: 2, slices: [{ offset: 0, length: 64KiB }], importers: [a] }
`;
}

async function planned(stdin: string, where: "--sim" | "--inventory") {
  const { status, stdout, stderr } = await bargate(
    ["plan", "--format", "json", where, LABORATORY, "-"],
    { stdin },
  );
  const { diagnostics } = JSON.parse(stdout === "" ? "{}" : stdout);
  assert.ok(Array.isArray(diagnostics), stderr);
  return [status, diagnostics.map(({ code, message }) => [code, message])];
}

Deno.test("an importer's device is looked for among all functions of the host", async (t) => {
  const cases: readonly [string, ExitStatus][] = [
    [`{ id: "1b36:0010" }`, ExitStatus.hostNotReady],
    [`{ address: "0000:00:14.0" }`, ExitStatus.done],
    [`{ address: "0000:04:00.0" }`, ExitStatus.hostNotReady],
  ];
  for (const [device, status] of cases) {
    await t.step(device, async () => {
      const asFile = await planned(policy(device), "--inventory");
      assert.deepEqual(await planned(policy(device), "--sim"), asFile);
      assert.equal(asFile[0], status, JSON.stringify(asFile));
    });
  }
});

/** All that verbs decide by. */
async function factsBy(where: "--sim" | "--inventory", file: string) {
  const stderr = { write: () => {} };
  const context = { process: { stderr } } as unknown as Context;
  const facts: HostFacts = where === "--inventory"
    ? await readInventory(file)
    : await planningFacts(context, file);
  const { pageSize, diagnostics } = facts;
  return { file: facts.file, pageSize, diagnostics, taken: facts.take(() => false) };
}

Deno.test("a simulated host has the facts of its file: none is lost, none is made up", async (t) => {
  const names = [...Deno.readDirSync(HOSTS)].map(({ name }) => name)
    .filter((name) => name.endsWith(".json")).sort();
  assert.ok(names.length > 8);
  for (const name of names) {
    await t.step(name, async () => {
      const file = fromFileUrl(new URL(name, HOSTS));
      assert.deepEqual(await factsBy("--sim", file), await factsBy("--inventory", file));
    });
  }
  await t.step("what is wrong with the file", async () => {
    const asFile = await factsBy("--inventory", WITH_WARNING);
    assert.ok(asFile.diagnostics.length > 0 && asFile.taken !== undefined);
    assert.deepEqual(await factsBy("--sim", WITH_WARNING), asFile);
  });
});

Deno.test("plan, preflight and init say the same of a file and of its simulation", async (t) => {
  const run = async (args: readonly string[]) => {
    const { status, stdout, stderr } = await bargate(args);
    assert.ok(stdout !== "", stderr);
    return { status, stdout };
  };
  await t.step("plan", async () => {
    const planned = async (where: string) =>
      await run(["plan", "--format", "json", where, LABORATORY, POLICIES]);
    const { status, stdout } = await planned("--sim");
    const { simulated: _, ...plan } = JSON.parse(stdout);
    const asFile = await planned("--inventory");
    const { inventory: _file, ...other } = JSON.parse(asFile.stdout);
    assert.deepEqual({ status, plan }, { status: asFile.status, plan: other });
  });
  await t.step("preflight", async () => {
    const looked = async (where: string) => {
      const { status, stdout } = await run([
        ...["preflight", "--format", "json", where, LABORATORY, POLICIES],
      ]);
      const { diagnostics, hosts } = JSON.parse(stdout);
      return { status, diagnostics, grants: hosts.map((each: { grants: unknown }) => each.grants) };
    };
    const asFile = await looked("--inventory");
    assert.ok(asFile.diagnostics.length > 0);
    assert.deepEqual(await looked("--sim"), asFile);
  });
  await t.step("init", async () => {
    const written = async (where: string) => {
      const { stdout } = await run(["init", where, LABORATORY]);
      return stdout.replace("the simulated host ", "").replaceAll(/ +$/gm, "");
    };
    assert.equal(await written("--sim"), await written("--inventory"));
  });
});

/** What a verb says of a file, however it is told to take it. */
async function saidOf(where: "--sim" | "--inventory", file: string, args: readonly string[]) {
  const { status, stdout, stderr } = await bargate([...args, where, file]);
  return { status, stdout, stderr };
}

Deno.test("a file that is no host is told of alike, simulated or not, in every format", async (t) => {
  const formats = {
    plan: ["human", "json", "jsonl"],
    preflight: ["human", "json", "jsonl", "sarif", "github", "junit"],
  };
  for (const [verb, names] of Object.entries(formats)) {
    for (const format of names) {
      await t.step(`${verb} --format ${format}`, async () => {
        const args = [verb, POLICIES, "--format", format];
        const asFile = await saidOf("--inventory", UNFIT, args);
        assert.deepEqual(await saidOf("--sim", UNFIT, args), asFile);
        assert.equal(asFile.status, ExitStatus.hostNotReady);
        const all = `${asFile.stdout}${asFile.stderr}`;
        assert.match(all, /BG2115/);
        assert.match(all, /\/functions\/[0-9]+\/parent/);
      });
    }
  }
  await t.step("init", async () => {
    const asFile = await saidOf("--inventory", UNFIT, ["init"]);
    assert.deepEqual(await saidOf("--sim", UNFIT, ["init"]), asFile);
    assert.equal(asFile.status, ExitStatus.hostNotReady);
    assert.match(asFile.stderr, /BG2115/);
  });
  await t.step("inventory", async () => {
    const { status, stdout, stderr } = await bargate(["inventory", "--sim", UNFIT]);
    assert.deepEqual([status, stdout], [ExitStatus.hostNotReady, ""]);
    assert.match(stderr, /BG2115/);
  });
  await t.step("preflight of a file that cannot be read", async () => {
    for (const format of ["human", "json", "sarif"]) {
      const args = ["preflight", POLICIES, "--format", format];
      const asFile = await saidOf("--inventory", "/nonexistent", args);
      assert.deepEqual(await saidOf("--sim", "/nonexistent", args), asFile);
      assert.match(asFile.stdout, /BG2122/);
    }
  });
});
