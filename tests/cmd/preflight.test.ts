/** `preflight`: many hosts in one run, its formats, its exit status. */
import { Ajv } from "ajv/dist/ajv.js";
import assert from "node:assert/strict";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { fromFileUrl } from "../support/paths.ts";
import sarifSchema from "./sarif-2.1.0-rtm.5.schema.json" with { type: "json" };
import { bargate } from "./run_here.ts";
import { bargate as bargateProcess, withFolder } from "./run_verb.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const POLICY = `${ROOT}examples/policies/cmb-to-edu.yaml`;
const READY = `${ROOT}examples/hosts/laboratory.json`;
const DRIFTED = `${ROOT}examples/hosts/spdk-redirected.json`;
const ABSENT = `${ROOT}examples/hosts/gpu-node.json`;
const MAIN = `${ROOT}cmd/main.ts`;
const HOSTS = [READY, DRIFTED, ABSENT].flatMap((file) => ["--inventory", file]);

Deno.test("preflight looks at many hosts in one run, with no right but to read files", async () => {
  const ran = await bargateProcess(["preflight", POLICY, ...HOSTS, "--format", "json"]);
  assert.equal(ran.status, ExitStatus.hostNotReady, ran.stderr);
  const { hosts, diagnostics, summary, policy } = JSON.parse(ran.stdout);
  assert.match(policy, /^sha256:/);
  assert.deepEqual(
    hosts.map(({ host, ready }: { host: string; ready: boolean }) => [host, ready]),
    [[READY, true], [DRIFTED, false], [ABSENT, false]],
  );
  assert.deepEqual(
    diagnostics.map(({ code, host, line, column }: Record<string, unknown>) => [
      code,
      host,
      line,
      column,
    ]),
    [["BG2031", DRIFTED, 11, 12], ["BG2001", ABSENT, 11, 12]],
  );
  assert.deepEqual([summary.hosts, summary.ready, summary.errors, summary.files], [3, 1, 2, 1]);
  assert.deepEqual(hosts[0].grants, [{
    export: "cmb-to-edu/cmb-data",
    importer: "cmb-to-edu/engine",
    device: "0000:01:00.0",
    bar: 2,
    revocation: ["release", "hold", "close"],
  }]);
});

Deno.test("preflight's exit status is that of the worst host", async () => {
  const status = async (...args: string[]) => (await bargate(["preflight", ...args])).status;
  assert.equal(await status(POLICY, "--inventory", READY), ExitStatus.done);
  assert.equal(
    await status(POLICY, "--inventory", READY, "--inventory", ABSENT),
    ExitStatus.hostNotReady,
  );
  assert.equal(
    await status(POLICY, "--inventory", READY, "--importer", "stranger"),
    ExitStatus.usage,
  );
  assert.equal(await status(MAIN, "--inventory", READY), ExitStatus.invalidPolicy);
  assert.equal(await status(POLICY, "--inventory", "/nonexistent"), ExitStatus.usage);
  assert.equal(await status(POLICY, "--inventory", READY, "--live"), ExitStatus.usage);
  assert.equal(await status(POLICY, "--inventory", READY, "--sim", READY), ExitStatus.usage);
});

const PAGES = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: pages }
devices:
  ssd: { match: { id: "144d:a80a", address: "000d:01:00.0" } }
importers:
  a: { identity: { user: nvmf }, driver: iommufd }
  b: { identity: { user: other }, driver: iommufd }
exports:
  - { name: data, device: ssd, bar: 2, slices: [{ offset: 0, length: 64KiB }], importers: [a], collateral: device }
  - { name: more, device: ssd, bar: 2, slices: [{ offset: 0x11000, length: 4KiB }], importers: [b], collateral: device }
`;

Deno.test("preflight holds policies against each host's pages, as plan does", async () => {
  const large = `${ROOT}examples/hosts/arm64-64k.json`;
  const told = async (verb: string, ...hosts: readonly string[]) => {
    const args = [verb, "--importer", "a", "-", "--format", "json", ...hosts];
    const { status, stdout, stderr } = await bargate(args, { stdin: PAGES });
    const found = verb === "plan" && stdout === "" ? stderr : JSON.parse(stdout);
    return { status, found };
  };
  const { status, found } = await told("preflight", "--inventory", READY, "--inventory", large);
  assert.equal(status, ExitStatus.hostNotReady);
  const codes = found.diagnostics.filter(({ host }: { host: string }) => host === large)
    .map(({ code }: { code: string }) => code);
  assert.deepEqual(codes, ["BG1401", "BG1402"]);
  assert.deepEqual(
    found.hosts.map(({ release, ready, grants }: Record<string, unknown>) => [
      typeof release,
      ready,
      grants,
    ]),
    [["string", false, []], ["string", false, []]],
  );
  assert.deepEqual(found.hosts[1].notChecked.map(({ what }: { what: string }) => what), [
    "devices, importers and the kernel",
  ]);
  const plan = await told("plan", "--inventory", large);
  assert.equal(plan.status, ExitStatus.invalidPolicy);
  for (const code of codes) assert.match(JSON.stringify(plan.found), new RegExp(code));
  const once = await told("preflight", "--inventory", large, "--inventory", large);
  assert.equal(once.found.diagnostics.length, 4);
});

Deno.test("an inventory that is none is a host that is not ready, and the others are looked at", async () => {
  await withFolder(async (folder) => {
    const bad = `${folder}/bad.json`;
    await Deno.writeTextFile(bad, "[]");
    const args = ["preflight", POLICY, "--inventory", bad, "--inventory", READY];
    const { status, stdout } = await bargate([...args, "--format", "jsonl"]);
    assert.equal(status, ExitStatus.hostNotReady);
    const lines = stdout.trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual([lines[0].code, lines[0].host, lines[0].file], ["BG2108", bad, bad]);
    assert.deepEqual(lines.slice(1, 3).map(({ ready }) => ready), [false, true]);
    assert.deepEqual(lines[3].summary.hosts, 2);
  });
});

Deno.test("an inventory that cannot be read is told of, and the others are looked at", async () => {
  const args = ["preflight", POLICY, "--inventory", "no-such.json", "--inventory", READY];
  const { status, stdout } = await bargate([...args, "--format", "jsonl"]);
  assert.equal(status, ExitStatus.usage);
  const [unread, ...hosts] = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual([unread.code, unread.host], ["BG2122", "no-such.json"]);
  assert.match(unread.message, /^Cannot read the inventory no-such\.json: no such file/);
  assert.deepEqual(hosts.slice(0, 2).map(({ ready }) => ready), [false, true]);
});

Deno.test("in junit a policy that is invalid fails, and so do warnings that are denied", async () => {
  await withFolder(async (folder) => {
    const [bad, warns] = [`${folder}/bad.yaml`, `${folder}/warns.yaml`];
    const text = await Deno.readTextFile(POLICY);
    await Deno.writeTextFile(bad, text.replace(/^exports:/m, "exprots:"));
    await Deno.writeTextFile(
      warns,
      text.replace(/^devices:/m, 'devices:\n  spare: { match: { id: "ffff:ffff" } }'),
    );
    const told = async (...args: string[]) => {
      const { status, stdout } = await bargate([
        ...["preflight", "--inventory", READY, "--format", "junit"],
        ...args,
      ]);
      return { status, suite: /<testsuite [^>]*>/.exec(stdout)?.[0], stdout };
    };
    const invalid = await told(bad);
    assert.equal(invalid.status, ExitStatus.invalidPolicy);
    assert.match(invalid.suite ?? "", /tests="1" failures="1"/);
    const accepted = await told(warns);
    assert.equal(accepted.status, ExitStatus.done, accepted.stdout);
    assert.match(accepted.suite ?? "", /tests="2" failures="0"/);
    assert.match(accepted.stdout, /<system-out>.*warning\[BG/);
    const refused = await told(warns, "--deny-warnings");
    assert.equal(refused.status, ExitStatus.hostNotReady);
    assert.match(refused.suite ?? "", /tests="2" failures="1"/);
  });
});

Deno.test("preflight writes for people, for build servers and for code scanning", async () => {
  const human = await bargate(["preflight", POLICY, ...HOSTS]);
  assert.match(
    human.stdout,
    /laboratory\.json: ready \(Linux 7\.3\.4\)\n {2}cmb-to-edu\/cmb-data -> /,
  );
  assert.match(human.stdout, /spdk-redirected\.json: not ready .*\nerror\[BG2031\]: .*\n +--> /);
  assert.match(human.stdout, /1 of 3 hosts ready; policy sha256:/);
  const junit = await bargate(["preflight", POLICY, ...HOSTS, "--format", "junit"]);
  assert.match(junit.stdout, /tests="3" failures="2"/);
  const github = await bargate(["preflight", POLICY, ...HOSTS, "--format", "github"]);
  assert.match(
    github.stdout,
    /^::error title=BG2031,file=[^:]*,line=11,.*::\S*redirected\.json: no/,
  );
  assert.match(github.stdout, /\n::notice title=bargate::1 of 3 hosts ready; policy sha256:\w+\n$/);
  const sarif = await bargate(["preflight", POLICY, ...HOSTS, "--format", "sarif"]);
  assert.match(sarif.stdout, /"properties":\{"policy":"sha256:/);
  const { $schema: _draft, id: _id, ...schema } = sarifSchema;
  const valid = new Ajv({ strict: false, validateFormats: false, unicodeRegExp: false })
    .compile(schema);
  assert.ok(valid(JSON.parse(sarif.stdout)), JSON.stringify(valid.errors?.slice(0, 3)));
});

Deno.test("preflight --live asks the devices of a simulated host", async () => {
  const args = ["preflight", POLICY, "--sim", READY, "--live", "--format", "json"];
  const { status, stdout, stderr } = await bargateProcess(args, { rights: ["-A"] });
  assert.equal(status, ExitStatus.done, stderr);
  assert.equal(JSON.parse(stdout).hosts[0].ready, true);
});

const WARNED = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: warned }
devices: { ssd: { match: { id: "1b36:0010", address: "0000:01:00.0" } } }
importers: { a: { identity: { user: nobody }, driver: iommufd } }
exports:
  - { name: data, device: ssd, bar: 0, slices: [{ offset: 0x1000, length: 4KiB }], importers: [a] }
`;

Deno.test("preflight --deny-warnings says what it refuses, in every format", async () => {
  const run = (stdin: string, ...args: readonly string[]) =>
    bargate(["preflight", "-", "--inventory", READY, ...args], { stdin });
  const ofPolicy = WARNED.replace("bar: 0, slices: [{ offset: 0x1000, length: 4KiB }]", "bar: 0")
    .replace("bar: 0", "region: nvme.doorbells");
  for (const [text, isHosts] of [[WARNED, true], [ofPolicy, false]] as const) {
    const accepted = await run(text);
    assert.equal(accepted.status, ExitStatus.done, accepted.stdout + accepted.stderr);
    assert.doesNotMatch(accepted.stdout, /refused/);
    const human = await run(text, "--deny-warnings");
    assert.equal(human.status, ExitStatus.hostNotReady);
    assert.match(
      human.stdout,
      isHosts
        ? /json: refused by --deny-warnings \(Linux[^]*\n0 of 1 host ready; refused by --deny-warnings \(1 warning\); policy /
        : /json: ready \(Linux[^]*\n1 of 1 host ready; refused by --deny-warnings \(1 warning\); policy /,
    );
    const json = JSON.parse((await run(text, "--deny-warnings", "--format", "json")).stdout);
    const why = "Cannot accept warnings (--deny-warnings)";
    assert.deepEqual([json.refused, json.hosts[0].ready, json.hosts[0].refused], [
      why,
      !isHosts,
      isHosts ? why : undefined,
    ]);
    assert.equal(json.summary.ready, isHosts ? 0 : 1);
    for (const format of ["jsonl", "sarif", "github"]) {
      const { stdout } = await run(text, "--deny-warnings", "--format", format);
      assert.ok(stdout.includes("(--deny-warnings)"), `${format}: ${stdout}`);
    }
  }
});

const GUARD = `---
apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: guard }
devices:
  disks: { match: { class: "0801" } }
  gpus: { match: { class: "0302" } }
  ssds: { match: { class: "0108", numaNode: 7 } }
deny:
  - { device: disks, bar: 0, reason: registers }
  - { device: gpus, bar: 0, reason: registers }
  - { device: ssds, bar: 0, reason: registers }
`;

Deno.test("a deny that falls on nothing on every host is told, once", async () => {
  const told = async (...args: readonly string[]) => {
    const stdin = Deno.readTextFileSync(POLICY) + GUARD;
    const flags = ["preflight", "-", "--format", "json", ...args];
    const { diagnostics } = JSON.parse((await bargate(flags, { stdin })).stdout);
    return diagnostics.filter(({ code }: { code: string }) => code === "BG2060")
      .map(({ message, severity, host, line }: Record<string, unknown>) => {
        assert.deepEqual([severity, host], ["note", undefined]);
        return `${line} ${message}`;
      });
  };
  const lines = Deno.readTextFileSync(POLICY).split("\n").length;
  const gpus = (where: string) =>
    `${
      lines + 10
    } the deny falls on nothing ${where}, for none has a device of the kind of "guard/gpus"`;
  const disks = (where: string) =>
    `${
      lines + 9
    } the deny falls on nothing ${where}, for none has a device of the kind of "guard/disks"`;
  assert.deepEqual(await told("--inventory", READY), [
    disks("on this host"),
    gpus("on this host"),
  ]);
  assert.deepEqual(await told(...HOSTS), [disks("on any of the 3 hosts")], "one host has a GPU");
  assert.deepEqual(await told(...HOSTS, "--inventory", "/nonexistent"), [], "it may have the disk");
});
