/** `inventory`, `plan --inventory` and `schema --of snapshot`. */
import assert from "node:assert/strict";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { inventoryTable } from "../../cmd/output/inventory_table.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import { bargate } from "./run_here.ts";
import { bargate as bargateProcess, withFolder } from "./run_verb.ts";

const CORPUS = new URL("../corpus/", import.meta.url).pathname;
const LABORATORY = new URL("../../examples/hosts/laboratory.json", import.meta.url).pathname;
const POLICY = new URL("../../examples/policies/cmb-to-edu.yaml", import.meta.url).pathname;
const ALL = { rights: ["-A"] };

/** A host with the device of the example policy. */
const HOST = JSON.stringify({
  apiVersion: "bargate/v1",
  kind: "HostSnapshot",
  kernel: { release: "7.3.4" },
  pageSize: 4096,
  iommu: ["dmar0"],
  functions: [{
    address: "0000:01:00.0",
    vendor: "1b36",
    device: "0010",
    class: "010802",
    driver: "vfio-pci",
    iommuGroup: 1,
    parent: "pci0000:00",
    cdev: "/dev/vfio/devices/vfio0",
    resetMethods: ["flr"],
    config: "361b1000".padEnd(512, "0"),
    bars: [{ index: 2, kind: "memory64", start: "0x800000000", size: "0x1000000", flags: [] }],
    unreadable: [],
  }],
});

Deno.test("plan --inventory plans on a file, with no right but to read it", async () => {
  await withFolder(async (folder) => {
    const file = `${folder}/host.json`;
    await Deno.writeTextFile(file, HOST);
    const { status, stdout, stderr } = await bargateProcess(
      ["plan", "--inventory", file, POLICY, "--format", "json"],
    );
    assert.equal(status, ExitStatus.done, stderr);
    const plan = JSON.parse(stdout);
    assert.deepEqual(plan.host, { release: "7.3.4", pageSize: 4096 });
    assert.deepEqual(plan.grants.map(({ device }: { device: unknown }) => device), [
      {
        address: "0000:01:00.0",
        id: "1b36:0010",
        node: "/dev/vfio/devices/vfio0",
        class: "010802",
        barSizes: [{ bar: 2, size: "0x1000000" }],
        protectedRanges: [],
      },
    ]);
    assert.match(plan.grants[0].ioctl.bytes, /^[0-9a-f]{80}$/);
    assert.equal(plan.inventory, file);
    const human = await bargate(["plan", "--inventory", file, POLICY]);
    assert.ok(human.stdout.includes(`\non the host of the inventory ${file}\n`), human.stdout);
  });
});

Deno.test("a device that a file does not have is looked for in the file, not on this machine", async () => {
  await withFolder(async (folder) => {
    const file = `${folder}/host.json`;
    await Deno.writeTextFile(
      file,
      HOST.replace(`"0010"`, `"0011"`).replace("361b1000", "361b1100"),
    );
    for (const flag of ["--inventory", "--sim"]) {
      const args = ["plan", flag, file, POLICY, "--format", "json"];
      const { stdout, stderr } = await bargateProcess(args, ALL);
      const [{ code, fix }] = JSON.parse(stdout).diagnostics;
      assert.equal(code, "BG2031", stderr);
      assert.ok(fix.includes(`in ${file} where`) && !fix.includes("lspci"), fix);
    }
  });
});

Deno.test("plan --inventory checks the policy with the file's page size", async () => {
  await withFolder(async (folder) => {
    const file = `${folder}/host.json`;
    await Deno.writeTextFile(file, HOST.replace(`"pageSize":4096`, `"pageSize":65536`));
    const { status, stdout } = await bargate(
      ["plan", "--inventory", file, POLICY, "--format", "json"],
    );
    assert.equal(status, ExitStatus.invalidPolicy);
    assert.match(stdout, /65536|64 ?KiB/);
  });
});

Deno.test("plan in lines has a line for each grant and each step, and says what the plan says", async () => {
  const args = ["plan", "--inventory", LABORATORY, POLICY, "--format"];
  const [json, jsonl] = [await bargate([...args, "json"]), await bargate([...args, "jsonl"])];
  assert.deepEqual([jsonl.status, jsonl.stderr], [json.status, json.stderr]);
  const { grants, runs, diagnostics, ...rest } = JSON.parse(json.stdout);
  const lines = jsonl.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  const { summary, ...last } = lines.at(-1);
  assert.deepEqual(last, rest);
  assert.deepEqual(summary, { errors: 0, warnings: diagnostics.length, files: 1, exports: 1 });
  const [run] = runs;
  assert.ok(grants.length === 1 && run.steps.length > 5);
  assert.deepEqual(lines.slice(0, -1), [
    ...diagnostics,
    { grant: grants[0] },
    ...run.steps.map((step: unknown) => ({ importer: run.importer, step })),
  ]);
});

Deno.test("plan in lines tells what is wrong, and is not printed twice", async () => {
  const policy = `${CORPUS}bad/both-unaligned.yaml`;
  const bad = await bargate(["plan", "--inventory", LABORATORY, policy, "--format", "jsonl"]);
  assert.equal(bad.status, ExitStatus.invalidPolicy);
  const lines = bad.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.match(lines[0].code, /^BG14/);
  assert.ok(lines.at(-1).summary.errors >= 1);
  const args = ["plan", "--inventory", LABORATORY, POLICY, "--format", "jsonl", "--out", "-"];
  const twice = await bargate(args);
  assert.deepEqual([twice.status, twice.stdout], [ExitStatus.usage, ""]);
  assert.match(twice.stderr, /twice/);
});

Deno.test("plan --inventory tells all that is wrong with the file, status 4", async () => {
  const file = `${CORPUS}snapshots/bad/several-findings.json`;
  const json = await bargate(["plan", "--inventory", file, POLICY, "--format", "json"]);
  assert.equal(json.status, ExitStatus.hostNotReady);
  const { diagnostics, summary } = JSON.parse(json.stdout);
  assert.equal(summary.errors, 7);
  assert.deepEqual(
    [diagnostics[0].code, diagnostics[0].pointer, diagnostics[0].file, diagnostics[0].line],
    ["BG2110", "/pageSize", file, 7],
  );
  const human = await bargate(["plan", "--inventory", file, POLICY]);
  assert.equal(human.status, ExitStatus.hostNotReady);
  assert.equal(human.stdout, "");
  assert.match(human.stderr, /error\[BG2110\]: Cannot accept \/pageSize: .*\(received 1\)/);
  assert.match(human.stderr, /several-findings\.json:7:15\n/);
});

Deno.test("plan --inventory tells what is wrong with policy and file at once, status 3", async () => {
  const policy = `${CORPUS}bad/both-unaligned.yaml`;
  const file = `${CORPUS}snapshots/bad/root-array.json`;
  const { status, stdout } = await bargate(
    ["plan", "--inventory", file, policy, "--format", "json"],
  );
  assert.equal(status, ExitStatus.invalidPolicy);
  const codes = JSON.parse(stdout).diagnostics.map(({ code }: { code: string }) => code);
  assert.ok(codes.some((code: string) => code.startsWith("BG1")));
  assert.ok(codes.includes("BG2108"));
});

Deno.test("plan --inventory of what cannot be read is a usage error", async () => {
  for (const file of ["/nonexistent/host.json", CORPUS]) {
    const { status, stderr } = await bargate(["plan", "--inventory", file, POLICY]);
    assert.equal(status, ExitStatus.usage);
    assert.match(stderr, /^error: Cannot read the inventory /);
  }
});

Deno.test("inventory of this host reads back, and says what it could not read", async () => {
  const { status, stdout, stderr } = await bargate(["inventory", "--format", "json"]);
  if (status === ExitStatus.hostNotReady) {
    assert.match(stderr, /^error: Cannot take the inventory: /);
    return;
  }
  assert.equal(status, ExitStatus.done, stderr);
  const { snapshot, problems } = parseSnapshot(new TextEncoder().encode(stdout));
  const [entry] = snapshot?.functions ?? [];
  if (problems.length > 0 || entry === undefined) return assert.match(stderr, /^warning: /m);
  const short = snapshot?.functions.some(({ unreadable }) => unreadable.length > 0);
  assert.equal(/^warning: could not read of \d+ functions?: /m.test(stderr), short);
  await withFolder(async (folder) => {
    const file = `${folder}/host.json`;
    const args = ["inventory", "--device", entry.address, "-o", file];
    const one = await bargate(args);
    assert.deepEqual([one.status, one.stdout], [ExitStatus.done, ""]);
    const written = parseSnapshot(await Deno.readFile(file)).snapshot;
    assert.ok(written?.functions.some(({ address }) => address === entry.address));
    const table = await bargate(["inventory", "--device", entry.address]);
    assert.match(table.stdout, /^Linux .*\nADDRESS +ID +CLASS .*\n/);
    assert.equal(table.stdout.trimEnd().split("\n").length, 3);
  });
});

Deno.test("inventory of a device that is not there, or is no address, is said to be wrong", async () => {
  const absent = await bargate(["inventory", "--device", "ffff:ff:1f.7"]);
  assert.equal(absent.status, ExitStatus.hostNotReady);
  assert.match(absent.stderr, /^error: Cannot take the inventory/);
  const wrong = await bargate(["inventory", "--device", "03:00.0"]);
  assert.equal(wrong.status, ExitStatus.usage);
  assert.match(wrong.stderr, /full PCI address.*received 03:00\.0/);
  const nowhere = await bargate(["inventory", "--out", "/nonexistent/host.json"]);
  assert.notEqual(nowhere.status, ExitStatus.done);
  assert.equal((await bargate(["inventory", "extra"])).status, ExitStatus.usage);
});

Deno.test("the table has one line a function, and moves no cursor", () => {
  const { snapshot } = parseSnapshot(new TextEncoder().encode(HOST));
  assert.ok(snapshot !== undefined);
  const [entry] = snapshot.functions;
  assert.ok(entry !== undefined);
  const evil = { ...entry, address: "0000:02:00.0", driver: "\x1b[2J" };
  const text = inventoryTable({ ...snapshot, functions: [entry, evil] }, () => true);
  assert.equal(
    text,
    "Linux 7.3.4, pages of 4KiB, IOMMU dmar0\n" +
      "ADDRESS       ID         CLASS   DRIVER       GROUP  NUMA  NODE                     NAMES  BARS\n" +
      "0000:01:00.0  1b36:0010  010802  vfio-pci     1      -     /dev/vfio/devices/vfio0  -      2:16MiB\n" +
      "0000:02:00.0  1b36:0010  010802  <U+001B>[2J  1      -     /dev/vfio/devices/vfio0  -      2:16MiB\n",
  );
});

Deno.test("schema --of snapshot prints the schema of inventories, and schema stays as it is", async () => {
  const text = await Deno.readTextFile(new URL("../../host/snapshot.schema.json", import.meta.url));
  const of = await bargate(["schema", "--of", "snapshot"]);
  assert.deepEqual([of.status, JSON.parse(of.stdout)], [ExitStatus.done, JSON.parse(text)]);
  assert.equal((await bargate(["schema", "HostSnapshot"])).stdout, of.stdout);
  const plain = await bargate(["schema"]);
  assert.equal(JSON.parse(plain.stdout).$id, "urn:bargate:v1:export-policy");
  assert.equal((await bargate(["schema", "--of", "policy"])).stdout, plain.stdout);
  const both = await bargate(["schema", "HostSnapshot", "--of", "snapshot"]);
  assert.equal(both.status, ExitStatus.usage);
});

Deno.test("inventory diff says what differs, status 1; the same is status 0", async () => {
  await withFolder(async (folder) => {
    const [one, other] = [`${folder}/one.json`, `${folder}/other.json`];
    await Deno.writeTextFile(one, HOST);
    await Deno.writeTextFile(other, HOST.replace(`"vfio-pci"`, `"nvme\\u002dx"`));
    const same = await bargate(["inventory", "diff", one, one]);
    assert.deepEqual([same.status, same.stdout], [0, "both inventories say the same\n"]);
    const human = await bargate(["inventory", "diff", one, other]);
    assert.equal(human.status, ExitStatus.denied, human.stderr);
    assert.equal(human.stdout, "0000:01:00.0 driver: vfio-pci -> nvme-x\n");
    const json = await bargate(["inventory", "diff", one, other, "--format", "json"]);
    assert.equal(json.status, ExitStatus.denied);
    assert.deepEqual(JSON.parse(json.stdout), {
      differences: [
        { function: "0000:01:00.0", field: "driver", old: "vfio-pci", new: "nvme-x" },
      ],
    });
  });
});

Deno.test("inventory diff of what is no inventory, or cannot be read, is said to be wrong", async () => {
  const bad = `${CORPUS}snapshots/bad/root-array.json`;
  const wrong = await bargate(["inventory", "diff", bad, bad]);
  assert.deepEqual([wrong.status, wrong.stdout], [ExitStatus.hostNotReady, ""]);
  assert.match(wrong.stderr, /BG2108/);
  const absent = await bargate(["inventory", "diff", bad, "/nonexistent/host.json"]);
  assert.equal(absent.status, ExitStatus.usage);
  const one = await bargate(["inventory", "diff", bad]);
  assert.equal(one.status, ExitStatus.usage);
});

Deno.test("inventory --redact shows aliases, as a table and as a file that can be planned against", async () => {
  await withFolder(async (folder) => {
    const file = `${folder}/host.json`;
    const secret = HOST.replace(`"7.3.4"`, `"7.3.4-acme"`)
      .replace(`"driver"`, `"slot":"acme rack 7","driver"`)
      .replace(/}$/, `,"rdma":[{"name":"acme_0","function":"0000:01:00.0"}]}`);
    await Deno.writeTextFile(file, secret);
    for (const flags of [[], ["--format", "json"]]) {
      const args = ["inventory", "--redact", "--sim", file, ...flags];
      const { status, stdout, stderr } = await bargate(args);
      assert.equal(status, ExitStatus.done, stderr);
      assert.ok(!stdout.includes("acme"), stdout);
      assert.ok(stdout.includes("rdma001"), stdout);
    }
    const redacted = `${folder}/redacted.json`;
    await bargate(["inventory", "--redact", "--sim", file, "--out", redacted]);
    const { status } = await bargate(["plan", "--inventory", redacted, POLICY]);
    assert.equal(status, ExitStatus.done);
  });
});

Deno.test("inventory --sim says what the file says, no less and no more, redacted or not", async () => {
  await withFolder(async (folder) => {
    const [file, redacted] = [`${folder}/host.json`, `${folder}/redacted.json`];
    // No names, no processor, no subsystem, no group's node; who has it open, and what was not read.
    const text = HOST.replace(`"parent"`, `"openBy":[{"pid":9}],"parent"`)
      .replace(/}$/, `,"unreadable":[{"field":"cpu","right":"CAP_DAC_READ_SEARCH"}]}`);
    const bytes = (json: string) => new TextEncoder().encode(json);
    const { snapshot } = parseSnapshot(bytes(text));
    assert.ok(snapshot !== undefined);
    await Deno.writeTextFile(file, text);
    for (const device of [[], ["--device", "0000:01:00.0"]]) {
      const sim = ["inventory", "--sim", file, "--format", "json", ...device];
      const plain = await bargate(sim);
      assert.deepEqual(parseSnapshot(bytes(plain.stdout)).snapshot, snapshot, plain.stderr);
    }
    const sim = ["inventory", "--sim", file, "--redact", "--out", redacted];
    assert.equal((await bargate(sim)).status, ExitStatus.done);
    const found = parseSnapshot(await Deno.readFile(redacted)).snapshot;
    const { description: _, functions, ...rest } = found ?? assert.fail("no snapshot");
    const { functions: before, ...whole } = snapshot;
    assert.deepEqual(rest, whole);
    assert.deepEqual(functions, before.map((entry) => ({ ...entry, openBy: [{ pid: 1 }] })));
    const absent = await bargate(["inventory", "--sim", file, "--device", "0000:02:00.0"]);
    assert.equal(absent.status, ExitStatus.hostNotReady);
  });
});

Deno.test("inventory diff says of redacted files that aliases cannot be compared", async () => {
  await withFolder(async (folder) => {
    const [file, redacted] = [`${folder}/host.json`, `${folder}/redacted.json`];
    await Deno.writeTextFile(file, HOST);
    await bargate(["inventory", "--redact", "--sim", file, "--out", redacted]);
    for (
      const [old, now, told] of [[file, redacted, true], [redacted, redacted, true], [
        file,
        file,
        false,
      ]] as const
    ) {
      const { stdout, stderr } = await bargate(
        ["inventory", "diff", old, now, "--format", "json"],
      );
      assert.equal(/^warning: .*aliases/m.test(stderr), told, stderr);
      assert.deepEqual(JSON.parse(stdout), { differences: [] });
    }
  });
});

Deno.test("inventory --owners looks at processes, and --probe not at a simulated host", async () => {
  await withFolder(async (folder) => {
    const file = `${folder}/host.json`;
    await Deno.writeTextFile(file, HOST);
    const probed = await bargate(["inventory", "--probe", "--sim", file]);
    assert.equal(probed.status, ExitStatus.usage);
    assert.match(probed.stderr, /^error: Cannot probe a simulated host/m);
    const owners = await bargate(["inventory", "--owners", "--sim", file, "--format", "json"]);
    assert.equal(owners.status, ExitStatus.done, owners.stderr);
  });
  const here = await bargate(["inventory", "--owners", "--format", "json"]);
  if (here.status === ExitStatus.done) {
    const { problems } = parseSnapshot(new TextEncoder().encode(here.stdout));
    assert.ok(problems.length === 0 || /^warning: /m.test(here.stderr));
  }
});
