/** The verbs that answer questions about policies: explain, test, diff, schema. */
import assert from "node:assert/strict";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { bargate } from "./run_here.ts";
import { bargate as bargateProcess, withFolder } from "./run_verb.ts";

const POLICY = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: site }
defaults: { collateral: device }
devices:
  ssd: { match: { id: "1b36:0010" } }
importers:
  engine: { identity: { user: nobody }, driver: iommufd }
  reader: { identity: { user: daemon }, driver: iommufd, mapping: bargate }
exports:
  - name: low
    device: ssd
    bar: 2
    slices: [{ offset: 0, length: 8KiB }]
    importers: [engine]
    labels: { ticket: "4711" }
  - { name: high, device: ssd, bar: 2, slices: [{ offset: 8KiB, length: 8KiB }], importers: [engine] }
  - { name: view, device: ssd, bar: 4, region: whole, importers: [reader], access: read-only }
deny:
  - { device: ssd, bar: 0, reason: registers }
`;

function explainArgs(importer: string, bar: number, length: string, ...more: string[]) {
  const asked = ["--importer", importer, "--device", "ssd", "--bar", `${bar}`, "--length", length];
  return ["explain", ...asked, ...more, "-"];
}

Deno.test("explain: an allowed request names the rules with their places, status 0", async () => {
  const { status, stdout } = await bargate(explainArgs("site/engine", 2, "16KiB"), {
    stdin: POLICY,
  });
  assert.equal(status, ExitStatus.done);
  assert.match(stdout, /^allowed by site\/low, site\/high\n {2}--> -:11:11\n/);
  assert.match(stdout, /11 \| {3}- name: low\n/);
  assert.match(stdout, /label ticket: 4711/);
});

Deno.test("explain: a deny and the absence of a rule are told apart, status 1", async () => {
  const denied = await bargate(explainArgs("engine", 0, "4KiB"), { stdin: POLICY });
  assert.equal(denied.status, ExitStatus.denied);
  assert.match(denied.stdout, /^denied by a deny of site: registers\n {2}--> -:20:5\n/);
  const none = await bargate(explainArgs("engine", 2, "20KiB", "--offset", "4KiB"), {
    stdin: POLICY,
  });
  assert.equal(none.status, ExitStatus.denied);
  assert.match(none.stdout, /^denied: no rule allows it, and no deny forbids it\nnear miss: /);
  assert.match(none.stdout, /near miss: site\/low lacks \[0x2000, 0x6000\)\n/);
  assert.match(none.stdout, /near miss: site\/high lacks \[0x1000, 0x2000\), \[0x4000, 0x6000\)\n/);
});

const GUARD = `---
apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: guard }
devices:
  all: { match: { id: ["1b36:0010", "1b36:0011"] }, many: true }
  slot: { match: { address: "0000:01:00.0" } }
deny:
  - { device: all, bar: 5, reason: never of these }
  - { device: slot, bar: 2, slices: [{ offset: 0, length: 4KiB }], reason: the system disk }
`;

Deno.test("explain: a deny of a wider match denies, status 1", async () => {
  const denied = await bargate(explainArgs("engine", 5, "4KiB"), { stdin: POLICY + GUARD });
  assert.equal(denied.status, ExitStatus.denied);
  assert.match(denied.stdout, /^denied by a deny of guard: never of these\n {2}--> -:29:5\n/);
});

Deno.test("explain: what a host may yet deny is said beside what is allowed", async () => {
  const { status, stdout } = await bargate(explainArgs("engine", 2, "4KiB"), {
    stdin: POLICY + GUARD,
  });
  assert.equal(status, ExitStatus.done);
  assert.match(stdout, /^allowed by site\/low\n/);
  assert.match(
    stdout,
    /\nunless on the host it is the same function as guard\/slot: then denied: the system disk\n {2}--> -:30:5\n/,
  );
  const asked = explainArgs("engine", 2, "4KiB", "--format=json");
  const json = JSON.parse((await bargate(asked, { stdin: POLICY + GUARD })).stdout);
  assert.equal(json.decision, "allowed");
  assert.deepEqual(
    json.unless.map(({ at, ...rest }: { at: { line: number } }) => [rest, at.line]),
    [
      [{ policy: "guard", device: "slot", reason: "the system disk" }, 30],
    ],
  );
  const cmb = (POLICY + GUARD).replace("slices: [{ offset: 0, length: 8KiB }]", "region: nvme.cmb");
  const region = ["explain", "--importer=engine", "--device=ssd", "--region=nvme.cmb", "-"];
  assert.match(
    (await bargate(region, { stdin: cmb })).stdout,
    /^allowed by site\/low, [^]*\nunless on the host it is the same function as guard\/slot: then denied: the system disk\n/,
  );
  const beside = await bargate(explainArgs("engine", 2, "4KiB", "--offset", "4KiB"), {
    stdin: POLICY + GUARD,
  });
  assert.doesNotMatch(beside.stdout, /unless/);
});

Deno.test("explain: near misses say importer and access, also as json", async () => {
  const asked = explainArgs("reader", 4, "4KiB", "--format", "json");
  const { status, stdout } = await bargate(asked, { stdin: POLICY });
  assert.equal(status, ExitStatus.denied);
  const value = JSON.parse(stdout);
  assert.equal(value.decision, "no-rule");
  assert.deepEqual(value.nearMisses[0].name, "site/view");
  assert.deepEqual(value.nearMisses[0].lacks, [{ what: "access", access: "read-only" }]);
  const other = JSON.parse(
    (await bargate(explainArgs("reader", 2, "4KiB", "--format", "json"), { stdin: POLICY })).stdout,
  );
  const low = other.nearMisses.find(({ name }: { readonly name: string }) => name === "site/low");
  assert.deepEqual(low.lacks, [{ what: "importer", importers: ["engine"] }]);
});

const REGION = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: memory }
defaults: { collateral: device }
devices:
  ssd: { match: { id: "1b36:0010" } }
importers:
  engine: { identity: { user: nobody }, driver: iommufd }
  reader: { identity: { user: daemon }, driver: iommufd, mapping: bargate }
exports:
  - { name: cmb, device: ssd, bar: 2, region: nvme.cmb, importers: [engine], shared: true }
  - { name: view, device: ssd, bar: 2, region: nvme.cmb, importers: [reader], access: read-only, shared: true }
deny:
  - { device: ssd, bar: 2, slices: [{ offset: 1MiB, length: 4KiB }], reason: queues }
`;

Deno.test("explain: whose a region may be is told, wherever the host has it", async () => {
  const ask = (importer: string, ...more: string[]) =>
    bargate(
      ["explain", "--importer", importer, "--device", "ssd", "--region", "nvme.cmb", ...more, "-"],
      { stdin: REGION },
    );
  const allowed = await ask("engine");
  assert.equal(allowed.status, ExitStatus.done, allowed.stderr);
  assert.match(allowed.stdout, /^allowed by memory\/cmb, wherever in BAR 2 .*\n {2}--> -:11:13\n/);
  assert.match(allowed.stdout, /^unless it touches what is denied by memory: queues$/m);
  const json = JSON.parse((await ask("engine", "--format", "json")).stdout);
  assert.deepEqual([json.decision, json.rules[0].name, json.rules[0].unless], [
    "allowed",
    "memory/cmb",
    [{ policy: "memory", device: "ssd", reason: "queues", at: json.rules[0].unless[0].at }],
  ]);
  assert.equal(json.rules[0].unless[0].at.line, 14);
  for (const other of [await ask("engine", "--bar", "4"), await ask("reader")]) {
    assert.equal(other.status, ExitStatus.denied);
    assert.match(other.stdout, /^denied: no rule exports nvme\.cmb of ssd to /);
  }
  assert.equal((await ask("memory/reader", "--access", "read-only")).status, ExitStatus.done);
  for (const wrong of [await ask("nobody"), await ask("engine", "--length", "4KiB")]) {
    assert.equal(wrong.status, ExitStatus.usage);
  }
});

Deno.test("explain: each deny that a region could touch is told, of very many the first", async () => {
  const deny = (at: number, reason: string) =>
    `  - { device: ssd, bar: 2, slices: [{ offset: ${at}MiB, length: 4KiB }], reason: ${reason} }\n`;
  const ask = async (text: string, ...more: string[]) => {
    const asked = ["explain", "--importer=engine", "--device=ssd", "--region=nvme.cmb"];
    const { status, stdout } = await bargate([...asked, ...more, "-"], { stdin: text });
    assert.equal(status, ExitStatus.done);
    return stdout;
  };
  const reasons = (text: string) => [...text.matchAll(/^unless .*: (.*)$/gm)].map(([, why]) => why);
  const others = deny(0, "first") + "  - { device: ssd, bar: 4, reason: other }\n";
  assert.deepEqual(reasons(await ask(REGION + others)), ["queues", "first"]);
  const many = REGION + Array.from({ length: 30 }, (_, at) => deny(at + 2, `r${at}`)).join("");
  const told = await ask(many);
  assert.equal(reasons(told).length, 8);
  assert.match(told, /^and 23 more denies of parts of the BAR \(--format=json names all\)$/m);
  assert.equal(JSON.parse(await ask(many, "--format=json")).rules[0].unless.length, 31);
});

Deno.test("explain: what cannot be asked is a usage error with a hint", async () => {
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [explainArgs("engin", 2, "4KiB"), /no policy has an importer engin; did you mean engine\?/],
    [["explain", "-"], /without --importer, --device, --bar and --length/],
    [explainArgs("engine", 6, "4KiB"), /none of 0 to 5/],
    [explainArgs("engine", 2, "4KB"), /write 4KiB/],
    [explainArgs("engine", 2, "0"), /a request of no bytes \(received --length 0\)/],
    [["explain", "bg9999"], /nothing is known/],
    [["explain", "examples"], /without --importer, --device, --bar and --length/],
    [["explain", "BG9999"], /nothing is known/],
    [["explain", "EINVAL", "--at", "irq"], /did you mean|one of/],
  ];
  for (const [args, message] of wrong) {
    const { status, stdout, stderr } = await bargate(args, { stdin: POLICY });
    assert.deepEqual([status, stdout], [ExitStatus.usage, ""], args.join(" "));
    assert.match(stderr, message);
  }
});

Deno.test("explain: codes and errnos", async () => {
  const code = await bargate(["explain", "BG1203"]);
  assert.equal(code.status, ExitStatus.done);
  assert.match(code.stdout, /^BG1203: Not a duration \(error\)\n.*\nTo mend it: /);
  assert.match((await bargate(["explain", "BG2003"])).stdout, /vfio-pci/);
  const errno = await bargate(["explain", "EINVAL", "--at", "export"]);
  assert.match(errno.stdout, /^EINVAL at export \(VFIO_DEVICE_FEATURE_DMA_BUF\): [^\n]+\n$/);
  assert.ok((await bargate(["explain", "EINVAL"])).stdout.split("\n").length > 4);
  const small = await bargate(["explain", "einval", "--at", "export"]);
  assert.deepEqual(small, errno);
  assert.deepEqual(await bargate(["explain", "bg1203"]), code);
});

const CASES = `---
apiVersion: bargate/v1
kind: PolicyTest
metadata: { name: buffer }
cases:
  - name: the engine has the low half
    request: { importer: site/engine, device: ssd, bar: 2, offset: 0, length: 8KiB }
    expect: { decision: allowed, rules: [site/low] }
  - name: nobody has the registers
    request: { importer: engine, device: ssd, bar: 0, offset: 0, length: 1, access: read-only }
    expect: { decision: denied, reason: registers }
`;
const FAILING = `  - name: the engine has it all
    request: { importer: engine, device: ssd, bar: 2, offset: 0, length: 1MiB }
    expect: { decision: allowed }
  - name: the set warns
    expect: { diagnostic: BG1706 }
`;

Deno.test("test: all pass, status 0; coverage below the threshold, status 1", async () => {
  const { status, stdout } = await bargate(["test", "-"], { stdin: POLICY + CASES });
  assert.equal(status, ExitStatus.done);
  assert.equal(stdout, "2 passed, 0 failed; 2 of 4 rules decided a case\n");
  const half = await bargate(["test", "--coverage=50", "-"], { stdin: POLICY + CASES });
  assert.equal(half.status, ExitStatus.done);
  const more = await bargate(["test", "--coverage=51", "-"], { stdin: POLICY + CASES });
  assert.equal(more.status, ExitStatus.denied);
  assert.match(more.stdout, /^not covered: site\/high \(-:17:13\)\nnot covered: site\/view /);
});

Deno.test("test: a failure says what was expected and received, in each format", async () => {
  const stdin = POLICY + CASES + FAILING;
  const human = await bargate(["test", "-"], { stdin });
  assert.equal(human.status, ExitStatus.denied);
  assert.match(
    human.stdout,
    /^FAILED buffer\/the engine has it all: expected allowed \(received no-rule\)\n {2}--> -:\d+:11\n/,
  );
  assert.match(human.stdout, /expected the diagnostic BG1706 \(received none\)/);
  const json = JSON.parse((await bargate(["test", "--format=json", "-"], { stdin })).stdout);
  assert.deepEqual(
    json.cases.map(({ passed }: { readonly passed: boolean }) => passed),
    [true, true, false, false],
  );
  assert.equal(json.coverage.covered, 2);
  const junit = (await bargate(["test", "--format=junit", "-"], { stdin })).stdout;
  assert.match(junit, /tests="4" failures="2"/);
});

Deno.test("test: a deny that only a host can tell of denies no case, and the failure names it", async () => {
  const asks = CASES.slice(0, CASES.indexOf("  - name")) +
    `  - name: nobody has the first page
    request: { importer: engine, device: ssd, bar: 2, offset: 0, length: 4KiB }
    expect: { decision: denied }
  - name: nobody has the last BAR
    request: { importer: engine, device: ssd, bar: 5, offset: 0, length: 4KiB }
    expect: { decision: denied, reason: never of these }
`;
  const { status, stdout } = await bargate(["test", "-"], { stdin: POLICY + GUARD + asks });
  assert.equal(status, ExitStatus.denied);
  assert.match(
    stdout,
    /expected denied \(received allowed\); no single deny holds on every host: guard\/slot \(-:30:5\) denies it where its device is the same function\n/,
  );
  assert.match(stdout, /\n1 passed, 1 failed/);
});

Deno.test("a deny counts by itself: what several deny together of a list is said, and not denied", async () => {
  const stdin = POLICY.replace('id: "1b36:0010"', 'id: ["1b36:0010", "1b36:0011"]') +
    GUARD.slice(0, GUARD.indexOf("  all:")) +
    `  one: { match: { id: "1b36:0010" } }
  two: { match: { id: "1b36:0011" } }
deny:
  - { device: one, bar: 2, reason: not of one }
  - { device: two, bar: 2, reason: not of two }
`;
  const { status, stdout } = await bargate(explainArgs("engine", 2, "4KiB"), { stdin });
  assert.equal(status, ExitStatus.done);
  assert.match(stdout, /^allowed [^]*\nunless .* guard\/one: [^]*\nunless .* guard\/two: /);
  const asks = CASES.slice(0, CASES.indexOf("  - name")) +
    `  - name: nobody has the first page
    request: { importer: engine, device: ssd, bar: 2, offset: 0, length: 4KiB }
    expect: { decision: denied }
`;
  const failed = await bargate(["test", "-"], { stdin: stdin + asks });
  assert.equal(failed.status, ExitStatus.denied);
  assert.match(
    failed.stdout,
    /expected denied \(received allowed\); no single deny holds on every host: guard\/one \(-:29:5\), and 1 more, denies it where its device is the same function\n/,
  );
});

Deno.test("test: every deny that forbids a case is covered by it, and gives its reason", async () => {
  const denies = POLICY +
    "  - { device: ssd, bar: 0, slices: [{ offset: 0, length: 4KiB }], reason: doorbells }\n" +
    "  - { device: ssd, bar: 0, slices: [{ offset: 4KiB, length: 4KiB }], reason: elsewhere }\n";
  const stdin = denies + CASES + `  - name: nobody has the doorbells
    request: { importer: engine, device: ssd, bar: 0, offset: 0, length: 1 }
    expect: { decision: denied, reason: doorbells }
`;
  const { stdout, status } = await bargate(["test", "-"], { stdin });
  assert.equal(stdout, "3 passed, 0 failed; 3 of 6 rules decided a case\n");
  assert.equal(status, ExitStatus.done);
  const wrong = stdin.replace(/reason: doorbells \}\n$/, "reason: elsewhere }\n");
  assert.match(
    (await bargate(["test", "-"], { stdin: wrong })).stdout,
    /expected to be denied for "elsewhere" \(received "registers", "doorbells"\)/,
  );
});

Deno.test("test: filters, and finding nothing to do is a mistake", async () => {
  const stdin = POLICY + CASES + FAILING;
  const some = await bargate(["test", "--filter", "buffer/nobody", "-"], { stdin });
  assert.match(some.stdout, /^1 passed, 0 failed/);
  assert.equal((await bargate(["test", "--filter", "zzz", "-"], { stdin })).status, 2);
  assert.equal((await bargate(["test", "-"], { stdin: POLICY })).status, ExitStatus.usage);
});

Deno.test("test: an error that no case expects is status 3, one that is expected is a pass", async () => {
  const broken = POLICY.replace("bar: 4", "bar: 7");
  const unexpected = await bargate(["test", "-"], { stdin: broken + CASES });
  assert.deepEqual([unexpected.status, unexpected.stdout], [ExitStatus.invalidPolicy, ""]);
  assert.match(unexpected.stderr, /BG1106/);
  const head = CASES.slice(0, CASES.indexOf("  - name"));
  const expected = `${head}  - { name: too many, expect: { diagnostic: BG1106 } }\n`;
  const { status, stdout } = await bargate(["test", "-"], { stdin: broken + expected });
  assert.deepEqual([status, stdout.slice(0, 18)], [ExitStatus.done, "1 passed, 0 failed"]);
});

/** A policy whose importer is none, under a name, about a device of its own. */
function withoutIdentity(name: string): string {
  return POLICY.replace("name: site", `name: ${name}`)
    .replace("1b36:0010", name === "one" ? "1b36:0010" : "1b36:0011")
    .replace("identity: { user: nobody }", "identity: { executable: /x }");
}

/** A test that expects this. */
function expecting(...expected: readonly string[]): string {
  const cases = expected.map((each, index) => `  - { name: c${index}, expect: { ${each} } }\n`);
  return `${CASES.slice(4, CASES.indexOf("  - name"))}${cases.join("")}`;
}

Deno.test("test: a case accounts for the errors of one file", async () => {
  await withFolder(async (folder) => {
    const write = (name: string, text: string) => Deno.writeTextFile(`${folder}/${name}`, text);
    await Deno.mkdir(`${folder}/t`);
    await write("p.yaml", withoutIdentity("one"));
    await write("t/t.yaml", expecting("diagnostic: BG1506"));
    const run = (...more: readonly string[]) => bargate(["test", ...more, folder]);
    assert.equal((await run()).status, ExitStatus.done);
    await write("q.yaml", withoutIdentity("two"));
    const two = await run();
    assert.equal(two.status, ExitStatus.invalidPolicy);
    assert.match(two.stderr, /p\.yaml:[^]*q\.yaml:/);
    await write("t/t.yaml", expecting("diagnostic: BG1506, file: ../p.yaml"));
    const named = await run();
    assert.equal(named.status, ExitStatus.invalidPolicy);
    assert.match(named.stderr, /q\.yaml:/);
    assert.doesNotMatch(named.stderr, /p\.yaml:/);
    const each = ["../p.yaml", ".././t/../q.yaml"].map((file) =>
      `diagnostic: BG1506, file: ${file}`
    );
    await write("t/t.yaml", expecting(...each));
    assert.equal((await run()).status, ExitStatus.done);
    await write("t/t.yaml", expecting(...each, "diagnostic: BG1506, file: t.yaml"));
    const nowhere = await run();
    assert.equal(nowhere.status, ExitStatus.denied);
    assert.match(
      nowhere.stdout,
      /expected the diagnostic BG1506 in .*t\/t\.yaml \(received none\)/,
    );
  });
});

Deno.test("test: a case for what other cases name accounts for nothing, and fails", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/p.yaml`, withoutIdentity("one"));
    const named = "diagnostic: BG1506, file: p.yaml";
    const tests = expecting(named, "diagnostic: BG1506");
    await Deno.writeTextFile(`${folder}/t.yaml`, tests);
    const { status, stdout } = await bargate(["test", folder]);
    assert.equal(status, ExitStatus.denied, stdout);
    assert.match(
      stdout,
      /c1: expected the diagnostic BG1506 \(received BG1506\); .* in files that other cases name\n/,
    );
    assert.match(stdout, /1 passed, 1 failed/);
    const alone = await bargate(["test", "--filter=c1", folder]);
    assert.equal(alone.status, ExitStatus.denied, "whichever cases are run");
  });
});

Deno.test("test: a case may name a file by any of its names", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/t`);
    await Deno.writeTextFile(`${folder}/p.yaml`, withoutIdentity("one"));
    await Deno.symlink("p.yaml", `${folder}/link.yaml`);
    const upwards = relative(Deno.cwd(), folder);
    const real = await Deno.realPath(folder);
    for (const file of ["../p.yaml", `${real}/p.yaml`]) {
      await Deno.writeTextFile(
        `${folder}/t/t.yaml`,
        expecting(`diagnostic: BG1506, file: ${file}`),
      );
      for (const given of [folder, upwards]) {
        const paths = [`${given}/link.yaml`, `${given}/p.yaml`, `${folder}/t`];
        const { status, stdout, stderr } = await bargate(["test", ...paths]);
        assert.equal(status, ExitStatus.done, `${file} of ${given}: ${stdout}${stderr}`);
      }
    }
  });
});

/** A path from one folder to another. */
function relative(from: string, to: string): string {
  return "../".repeat(from.split("/").length - 1) + to.slice(1);
}

Deno.test("test: nothing of an invalid set is covered, and each format says what is wanted", async () => {
  const stdin = `${withoutIdentity("one")}---\n${expecting("diagnostic: BG1506")}`;
  assert.equal((await bargate(["test", "-"], { stdin })).status, ExitStatus.done);
  const run = async (format: string) => {
    const answer = await bargate(["test", "--coverage=100", `--format=${format}`, "-"], { stdin });
    assert.equal(answer.status, ExitStatus.denied, format);
    return answer.stdout;
  };
  assert.equal(
    await run("human"),
    "1 passed, 0 failed; no rule decided a case, for the policies are invalid, at least 100 % wanted\n",
  );
  assert.deepEqual(JSON.parse(await run("json")).coverage, {
    rules: 0,
    covered: 0,
    uncovered: [],
    wanted: 100,
    met: false,
  });
  assert.match(await run("junit"), /tests="2" failures="1"[^]*name="coverage"><failure /);
});

Deno.test("what an invalid set answers to a question is told in the format that was asked for", async () => {
  await withFolder(async (folder) => {
    const [a, b] = [`${folder}/a.yaml`, `${folder}/b.yaml`];
    await Deno.writeTextFile(a, withoutIdentity("one"));
    await Deno.writeTextFile(b, withoutIdentity("two"));
    const questions = [
      ["test", "--format=json", a],
      ["explain", "--format=json", "--importer=i", "--device=d", "--bar=2", "--length=1", a],
      ["diff", "--format=json", a, b],
    ];
    for (const question of questions) {
      const { status, stdout, stderr } = await bargate(question);
      assert.equal(status, ExitStatus.invalidPolicy, question[0]);
      assert.match(stderr, /BG1506/, question[0]);
      const { diagnostics, summary } = JSON.parse(stdout);
      const sets = question[0] === "diff" ? 2 : 1;
      assert.equal(summary.errors, sets, question[0]);
      assert.equal(diagnostics.length, sets, question[0]);
    }
    const junit = await bargate(["test", "--format=junit", a]);
    assert.match(junit.stdout, /failures="1"[^]*BG1506/);
    const twice = await bargate(["diff", "-", "-"], { stdin: POLICY });
    assert.deepEqual([twice.status, twice.stdout], [ExitStatus.usage, ""]);
    assert.match(twice.stderr, /Cannot compare standard input with itself/);
  });
});

Deno.test("diff: what is gained is status 1, what is lost is not", async () => {
  await withFolder(async (folder) => {
    const [old, now] = [`${folder}/old.yaml`, `${folder}/new.yaml`];
    await Deno.writeTextFile(old, POLICY);
    await Deno.writeTextFile(
      now,
      POLICY.replace("offset: 8KiB, length: 8KiB", "offset: 8KiB, length: 64KiB"),
    );
    const wider = await bargate(["diff", old, now]);
    assert.equal(wider.status, ExitStatus.denied);
    assert.equal(
      wider.stdout,
      "widened: site/engine may read site/ssd BAR 2: [0x4000, 0x12000)\n" +
        "widened: site/engine may write site/ssd BAR 2: [0x4000, 0x12000)\n",
    );
    const narrower = await bargate(["diff", "--format=json", now, old]);
    assert.equal(narrower.status, ExitStatus.done);
    assert.deepEqual(JSON.parse(narrower.stdout).differences[0], {
      kind: "narrowed",
      importer: "site/engine",
      device: "site/ssd",
      bar: 2,
      level: "read",
      slices: [{ offset: "0x4000", length: "0xe000" }],
    });
    assert.equal((await bargate(["diff", old, old])).stdout, "both allow the same\n");
    await Deno.writeTextFile(now, "kind: ExportPolicy\n");
    assert.equal((await bargate(["diff", old, now])).status, ExitStatus.invalidPolicy);
  });
});

Deno.test("diff: without a deny more is allowed where the device is the denied one", async () => {
  await withFolder(async (folder) => {
    const [old, now] = [`${folder}/old.yaml`, `${folder}/new.yaml`];
    await Deno.writeTextFile(old, POLICY + GUARD);
    await Deno.writeTextFile(now, POLICY + GUARD.replace(/ {2}- .*system disk.*\n/, ""));
    const more = await bargate(["diff", old, now]);
    assert.equal(more.status, ExitStatus.denied);
    const line = (kind: string, level: string) =>
      `${kind}: site/engine may ${level} site/ssd BAR 2 on a host where it is the same function as guard/slot: [0x0, 0x1000)\n`;
    const deny = (kind: string, rest: string) =>
      `deny ${kind}: guard/slot BAR 2: [0x0, 0x1000) (the system disk)${rest}\n`;
    assert.equal(
      more.stdout,
      line("widened", "read") + line("widened", "write") +
        deny("removed", "; what the new set allows of site/ssd reaches it"),
    );
    const less = await bargate(["diff", now, old]);
    assert.equal(less.status, ExitStatus.done);
    assert.equal(
      less.stdout,
      line("narrowed", "read") + line("narrowed", "write") + deny("added", ""),
    );
    const json = JSON.parse((await bargate(["diff", "--format=json", old, now])).stdout);
    assert.deepEqual(json.differences[0].where, ["guard/slot"]);
  });
});

Deno.test("diff: without a deny of a part more is allowed of a region that may be there", async () => {
  await withFolder(async (folder) => {
    const [old, now] = [`${folder}/old.yaml`, `${folder}/new.yaml`];
    const cmb = POLICY.replace("slices: [{ offset: 0, length: 8KiB }]", "region: nvme.cmb");
    const deny =
      "  - { device: ssd, bar: 2, slices: [{ offset: 64KiB, length: 4KiB }], reason: x }\n";
    await Deno.writeTextFile(old, cmb + deny);
    await Deno.writeTextFile(now, cmb);
    const more = await bargate(["diff", old, now]);
    assert.equal(more.status, ExitStatus.denied);
    assert.match(
      more.stdout,
      /^widened: site\/engine may read site\/ssd BAR 2: what its nvme.cmb has of \[0x10000, 0x11000\)\n/,
    );
  });
});

Deno.test("diff: a name that stands for somebody else is told with the fields that differ", async () => {
  await withFolder(async (folder) => {
    const [old, now] = [`${folder}/old.yaml`, `${folder}/new.yaml`];
    await Deno.writeTextFile(old, POLICY.replace("user: daemon", "user: daemon, unit: r.service"));
    await Deno.writeTextFile(now, POLICY);
    const human = await bargate(["diff", old, now]);
    assert.equal(human.status, ExitStatus.denied);
    assert.equal(
      human.stdout,
      "another importer: site/reader, whose identity.unit is none, not r.service\n" +
        "lost: the old site/reader may read site/ssd BAR 4: [0x0, end of the BAR)\n" +
        "gained: the new site/reader may read site/ssd BAR 4: [0x0, end of the BAR)\n",
    );
    await Deno.writeTextFile(now, POLICY.replace(`"1b36:0010"`, `["1b36:0010", "1b36:0011"]`));
    await Deno.writeTextFile(old, POLICY);
    const json = JSON.parse((await bargate(["diff", "--format=json", old, now])).stdout);
    assert.deepEqual(json.names, [{
      name: "site/ssd",
      is: "device",
      fields: [{ field: "match.id", old: "1b36:0010", new: "1b36:0010, 1b36:0011" }],
    }]);
    const human2 = (await bargate(["diff", old, now])).stdout;
    assert.match(
      human2,
      /^another device: site\/ssd, whose match.id is 1b36:0010, 1b36:0011, not 1b36:0010\n/,
    );
    assert.match(human2, /\nlost: site\/engine may read the old site\/ssd BAR 2: /);
  });
});

Deno.test("diff: looser terms are a gain, tighter and neutral ones are not", async () => {
  await withFolder(async (folder) => {
    const [old, now] = [`${folder}/old.yaml`, `${folder}/new.yaml`];
    const low = (term: string) => POLICY.replace("[engine]\n", `[engine]\n    ${term}\n`);
    await Deno.writeTextFile(old, POLICY);
    await Deno.writeTextFile(now, low("onReset: restore"));
    const looser = await bargate(["diff", old, now]);
    assert.equal(looser.status, ExitStatus.denied);
    assert.equal(
      looser.stdout,
      "widened: site/engine has site/ssd BAR 2 with onReset restore, not revoke: [0x0, 0x2000)\n",
    );
    const tighter = await bargate(["diff", "--format=json", now, old]);
    assert.equal(tighter.status, ExitStatus.done);
    assert.deepEqual(JSON.parse(tighter.stdout).differences, [{
      kind: "narrowed",
      term: "onReset",
      old: "restore",
      new: "revoke",
      importer: "site/engine",
      device: "site/ssd",
      bar: 2,
      slices: [{ offset: "0x0", length: "0x2000" }],
    }]);
    const plain = POLICY.replace("defaults: { collateral: device }\n", "")
      .replace(/ {2}- \{ name: .*\n/g, "");
    await Deno.writeTextFile(old, plain);
    await Deno.writeTextFile(
      now,
      plain.replace("[engine]\n", "[engine]\n    collateral: device\n"),
    );
    const neutral = await bargate(["diff", old, now]);
    assert.equal(neutral.status, ExitStatus.done, neutral.stderr);
    assert.match(
      neutral.stdout,
      /^changed: .* with collateral device, not none: \[0x0, 0x2000\)\n$/,
    );
  });
});

Deno.test("explain: which deny forbids what a rule exports, though that makes the set invalid", async () => {
  const deny = "  - { device: ssd, bar: 2, slices: [{ offset: 0, length: 4KiB }], reason: kept }\n";
  const stdin = POLICY + deny;
  const ask = (...more: string[]) => explainArgs("engine", 2, "4KiB", ...more);
  const told = await bargate(ask(), { stdin });
  assert.equal(told.status, ExitStatus.invalidPolicy);
  assert.match(told.stdout, /^denied by a deny of site: kept\n {2}--> -:\d+:\d+\n/);
  assert.match(told.stdout, /\nthe set is not valid as it is, and allows nothing:\n$/);
  assert.match(told.stderr, /^error\[BG1406\]/);
  const json = JSON.parse((await bargate(ask("--format=json"), { stdin })).stdout);
  assert.deepEqual(Object.keys(json), ["diagnostics", "summary"]);
  // What no deny touches is not allowed by a set that is not valid.
  const other = await bargate(ask("--offset=4KiB"), { stdin });
  assert.deepEqual([other.status, other.stdout], [ExitStatus.invalidPolicy, ""]);
  const worse = await bargate(ask(), { stdin: `${stdin}  - { device: nobody, reason: x }\n` });
  assert.deepEqual([worse.status, worse.stdout], [ExitStatus.invalidPolicy, ""]);
});

/** With a deny that nothing reaches. */
const GUARDED =
  `${POLICY}  - { device: ssd, bar: 1, slices: [{ offset: 0, length: 4KiB }], reason: mailbox }
`;

Deno.test("diff: a deny that goes is told, though nothing reaches it today", async () => {
  await withFolder(async (folder) => {
    const [old, now] = [`${folder}/old.yaml`, `${folder}/new.yaml`];
    await Deno.writeTextFile(old, GUARDED);
    await Deno.writeTextFile(now, POLICY);
    const start = "both allow the same; what guards it differs:\n";
    const gone = await bargate(["diff", old, now]);
    assert.equal(gone.status, ExitStatus.done);
    assert.equal(
      gone.stdout,
      `${start}deny removed: site/ssd BAR 1: [0x0, 0x1000) (mailbox); nothing that the new set allows reaches it\n`,
    );
    const back = await bargate(["diff", now, old]);
    assert.equal(back.stdout, `${start}deny added: site/ssd BAR 1: [0x0, 0x1000) (mailbox)\n`);
    await Deno.writeTextFile(
      now,
      GUARDED.replace("length: 4KiB }], reason: m", "length: 2KiB }], reason: m"),
    );
    const json = JSON.parse((await bargate(["diff", "--format=json", old, now])).stdout);
    assert.deepEqual(json, {
      differences: [],
      names: [],
      denies: [{
        kind: "narrowed",
        device: "site/ssd",
        bar: 1,
        reasons: ["mailbox"],
        reachedBy: [],
        slices: [{ offset: "0x800", length: "0x800" }],
      }],
    });
  });
});

Deno.test("diff: a manifest that goes or lists other files is told", async () => {
  await withFolder(async (folder) => {
    const [old, now] = [`${folder}/old`, `${folder}/new`];
    const policy = new TextEncoder().encode(POLICY);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", policy)).toHex();
    const manifest = (files: string) =>
      `apiVersion: bargate/v1\nkind: PolicySet\nmetadata: { name: site }\nfiles:\n${files}`;
    for (const each of [old, now]) {
      await Deno.mkdir(each);
      await Deno.writeFile(`${each}/a.yaml`, policy);
    }
    await Deno.writeTextFile(
      `${old}/set.yaml`,
      manifest(`  - { path: a.yaml, sha256: ${digest} }\n`),
    );
    const gone = await bargate(["diff", old, now]);
    assert.equal(gone.status, ExitStatus.done, gone.stderr);
    assert.match(
      gone.stdout,
      /^both allow the same; .*\nmanifest removed: it listed 1 file with a sha256; nothing tells any more whether the set is whole\n$/,
    );
    const other = new TextEncoder().encode(`${POLICY}# a comment\n`);
    await Deno.writeFile(`${now}/a.yaml`, other);
    const second = new Uint8Array(await crypto.subtle.digest("SHA-256", other)).toHex();
    await Deno.writeTextFile(
      `${now}/set.yaml`,
      manifest(`  - { path: a.yaml, sha256: ${second} }\n`),
    );
    const changed = await bargate(["diff", old, now]);
    assert.match(
      changed.stdout,
      /\nmanifest changed: the sha256 of a\.yaml is .{64}, not .{64}\n$/,
    );
    const json = JSON.parse((await bargate(["diff", "--format=json", old, now])).stdout);
    assert.deepEqual(json.manifest, {
      kind: "changed",
      files: [{ kind: "changed", path: "a.yaml", old: digest, new: second }],
    });
    assert.equal((await bargate(["diff", old, old])).stdout, "both allow the same\n");
  });
});

Deno.test("diff: where there is no policy, nothing is allowed", async () => {
  await withFolder(async (folder) => {
    const [empty, file, policy] = [`${folder}/empty`, `${folder}/empty.yaml`, `${folder}/p.yaml`];
    await Deno.mkdir(empty);
    await Deno.writeTextFile(file, "");
    await Deno.writeTextFile(policy, GUARDED);
    for (const nothing of [empty, file, "/dev/null"]) {
      const first = await bargate(["diff", nothing, policy]);
      assert.equal(first.status, ExitStatus.denied, first.stderr);
      assert.match(first.stdout, /^gained: site\/engine may read site\/ssd BAR 2: /);
      assert.match(first.stdout, /\ndeny added: site\/ssd BAR 1: \[0x0, 0x1000\) \(mailbox\)\n$/);
      assert.match(first.stderr, /holds no policy: it is compared as a set that allows nothing/);
      const last = await bargate(["diff", policy, nothing]);
      assert.equal(last.status, ExitStatus.done);
      assert.match(last.stdout, /^lost: /);
    }
    // A program that failed writes nothing either, and a comment is a file that lost its policy.
    const piped = await bargate(["diff", "-", policy], { stdin: "" });
    assert.equal(piped.status, ExitStatus.invalidPolicy);
    await Deno.writeTextFile(file, "# kept for later\n");
    assert.equal((await bargate(["diff", file, policy])).status, ExitStatus.invalidPolicy);
    const absent = await bargate(["diff", `${folder}/absent`, policy]);
    assert.equal(absent.status, ExitStatus.usage);
  });
});

Deno.test("schema: prints each schema as it is checked in", async () => {
  const files = {
    ExportPolicy: "schema",
    PolicySet: "policy_set.schema",
    PolicyTest: "policy_test.schema",
  };
  for (const [kind, file] of Object.entries(files)) {
    const { status, stdout } = await bargate(["schema", kind]);
    assert.equal(status, ExitStatus.done);
    const path = new URL(`../../policy/${file}.json`, import.meta.url);
    assert.deepEqual(JSON.parse(stdout), JSON.parse(Deno.readTextFileSync(path)));
  }
  assert.equal((await bargate(["schema"])).status, ExitStatus.done);
  assert.equal((await bargate(["schema", "Secret"])).status, ExitStatus.usage);
});

const HOST = new URL("../../examples/hosts/laboratory.json", import.meta.url).pathname;
const LAB_POLICY = POLICY.replace(
  `match: { id: "1b36:0010" }`,
  `match: { id: "1b36:0010", address: "0000:01:00.0" }`,
);

function errnoArgs(errno: string, bar: number, offset: string, length: string, ...more: string[]) {
  const asked = ["--device", "ssd", "--bar", `${bar}`, "--offset", offset, "--length", length];
  return ["explain", errno, "--inventory", HOST, ...asked, ...more, "-"];
}

Deno.test("explain: an errno on a host names the check that decides, in the kernel's order", async () => {
  const inside = await bargate(errnoArgs("EINVAL", 2, "0x800", "4KiB", "--at", "export"), {
    stdin: LAB_POLICY,
  });
  assert.equal(inside.status, ExitStatus.done);
  assert.match(inside.stdout, /^Exporting \[0x800, \+0x1000\) of BAR 2 of ssd, 0000:01:00\.0 /);
  assert.match(inside.stdout, /\n {2}holds +BAR 2 is implemented: 16777216 bytes\n/);
  assert.match(inside.stdout, /\n {2}EINVAL +\[0x800.* whole pages: its offset is no multiple/);
  assert.match(inside.stdout, /\n {2}not reached +BAR 2 is memory/);
  assert.match(inside.stdout, /\nEINVAL is decided by: \[0x800/);
});

Deno.test("explain: a simulated host is what its file says", async () => {
  const asked = errnoArgs("EINVAL", 2, "0x800", "4KiB");
  const read = await bargate(asked, { stdin: LAB_POLICY });
  const simulated = await bargate(
    asked.map((word) => word === "--inventory" ? "--sim" : word),
    { stdin: LAB_POLICY },
  );
  assert.deepEqual(simulated, read);
});

Deno.test("explain: an errno that a host does not come to is told, with what it comes to", async () => {
  const other = await bargate(errnoArgs("EINVAL", 1, "0x800", "4KiB"), { stdin: LAB_POLICY });
  assert.match(other.stdout, /\nEINVAL is not what .*: the kernel would answer ENODEV here: BAR 1/);
  const none = await bargate(errnoArgs("ENODEV", 2, "0", "4KiB"), { stdin: LAB_POLICY });
  assert.match(
    none.stdout,
    /\nENODEV is not what .* untrue that no other driver has claimed BAR 2/,
  );
  const json = await bargate(errnoArgs("EINVAL", 2, "0x800", "4KiB", "--format", "json"), {
    stdin: LAB_POLICY,
  });
  const { deciding, checks, device } = JSON.parse(json.stdout);
  assert.equal(checks[deciding].errno, "EINVAL");
  assert.deepEqual(device, { name: "ssd", address: "0000:01:00.0", id: "1b36:0010" });
});

Deno.test("explain: what an errno on a host cannot be asked of is a usage error", async () => {
  const cases: readonly (readonly [string[], string, RegExp])[] = [
    [["explain", "EINVAL", "--inventory", HOST, "-"], LAB_POLICY, /without --device, --bar/],
    [errnoArgs("EINVAL", 2, "0", "4KiB", "--at", "map"), LAB_POLICY, /those of export only/],
    [errnoArgs("EINVAL", 2, "0", "4KiB"), POLICY, /not one function/],
    [errnoArgs("EINVAL", 2, "0", "4KiB", "--sim", HOST), LAB_POLICY, /Cannot look at two hosts/],
    [["explain", "--inventory", HOST, "-"], LAB_POLICY, /Cannot explain a request on a host/],
    [
      errnoArgs("EINVAL", 2, "0", "4KiB"),
      LAB_POLICY.replace("1b36:0010", "ffff:0010"),
      /no function of .* is ssd/,
    ],
  ];
  for (const [args, stdin, message] of cases) {
    const { status, stderr } = await bargate(args, { stdin });
    assert.equal(status, ExitStatus.usage, stderr);
    assert.match(stderr, message);
  }
});

Deno.test("the verbs that answer questions need no right but to read", async () => {
  await withFolder(async (folder) => {
    const [policy, suite] = [`${folder}/policy.yaml`, `${folder}/test.yaml`];
    await Deno.writeTextFile(policy, POLICY);
    await Deno.writeTextFile(suite, CASES);
    const asked = [...explainArgs("engine", 2, "4KiB").slice(0, -1), policy];
    for (const args of [asked, ["test", policy, suite], ["diff", policy, policy], ["schema"]]) {
      const { status, stdout, stderr } = await bargateProcess(args);
      assert.equal(status, ExitStatus.done, `${args}: ${stdout}${stderr}`);
    }
  });
});
