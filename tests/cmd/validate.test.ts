import assert from "node:assert/strict";
import { ExitStatus } from "../../cmd/exit_status.ts";

const MAIN = new URL("../../cmd/main.ts", import.meta.url);
const CORPUS = new URL("../corpus/", import.meta.url);

/** How a process of its own answered. */
interface Answer {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `bargate` with no right but to read files. */
async function bargate(args: readonly string[], stdin?: string): Promise<Answer> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-read", MAIN.pathname, ...args],
    cwd: CORPUS,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  if (stdin !== undefined) await writer.write(new TextEncoder().encode(stdin));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { status: code, stdout: text(stdout), stderr: text(stderr) };
}

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "bargate-test-" });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const GOOD = Deno.readTextFileSync(new URL("good/minimal.yaml", CORPUS));

Deno.test("validate: a valid policy prints its digest and counts, status 0", async () => {
  const { status, stdout, stderr } = await bargate(["validate", "good/minimal.yaml"]);
  assert.equal(status, ExitStatus.done);
  assert.equal(stderr, "");
  assert.match(
    stdout,
    /^valid sha256:[0-9a-f]{64}: 0 errors, 0 warnings in 1 file with 1 export; page size 4KiB assumed \(--page-size\)\n$/,
  );
});

Deno.test("validate: a conflict is shown with both places, without colours, status 3", async () => {
  const { status, stdout, stderr } = await bargate(["validate", "bad/overlap.yaml"]);
  assert.equal(status, ExitStatus.invalidPolicy);
  assert.equal(stderr, "");
  assert.equal(
    stdout,
    `error[BG1405]: Cannot put bytes into one buffer twice: the slice overlaps [0x0, 0x2000) (received [0x1000, 0x3000))
  --> bad/overlap.yaml:18:9
   |
18 |       - { offset: 4KiB, length: 8KiB }
   |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  ::: bad/overlap.yaml:17:9: overlaps this slice
   |
17 |       - { offset: 0, length: 8KiB }
   |         ---------------------------
  fix: Make them apart, or one.
  help: docs/diagnostics.md#BG1405

invalid: 1 error, 0 warnings in 1 file with 1 export; page size 4KiB assumed (--page-size)
`,
  );
});

Deno.test("validate: json is Diagnostic v1 with its summary", async () => {
  const { status, stdout } = await bargate(["validate", "--format", "json", "bad/overlap.yaml"]);
  assert.equal(status, ExitStatus.invalidPolicy);
  assert.deepEqual(JSON.parse(stdout), {
    diagnostics: [{
      code: "BG1405",
      severity: "error",
      message:
        "Cannot put bytes into one buffer twice: the slice overlaps [0x0, 0x2000) (received [0x1000, 0x3000))",
      file: "bad/overlap.yaml",
      line: 18,
      column: 9,
      endLine: 18,
      endColumn: 39,
      related: [{
        message: "overlaps this slice",
        file: "bad/overlap.yaml",
        line: 17,
        column: 9,
        endLine: 17,
        endColumn: 36,
      }],
      fix: "Make them apart, or one.",
      help: "docs/diagnostics.md#BG1405",
    }],
    summary: { errors: 1, warnings: 0, files: 1, exports: 1 },
  });
});

Deno.test("validate: jsonl is a line for each diagnostic, the summary last", async () => {
  const { stdout } = await bargate(["validate", "--format", "jsonl", "bad/many-at-once.yaml"]);
  const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.at(-1), { summary: { errors: 8, warnings: 0, files: 1, exports: 1 } });
  assert.ok(lines.slice(0, -1).every((found) => /^BG1[0-9]{3}$/.test(found.code)));
});

Deno.test("validate: standard input, named -", async () => {
  const { status, stdout } = await bargate(["validate", "--format=json", "-"], "kind: 1\n");
  assert.equal(status, ExitStatus.invalidPolicy);
  const { diagnostics, summary } = JSON.parse(stdout);
  assert.ok(diagnostics.every((found: { readonly file: string }) => found.file === "-"));
  assert.equal(summary.files, 1);
});

Deno.test("validate: folders are read to the bottom, in order, each file once", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/b`);
    const write = (name: string, text: string) => Deno.writeTextFile(`${folder}/${name}`, text);
    await write("z.yaml", "z: 1\n");
    await write("b/a.yml", "a: 1\n");
    await write("a.yaml", "a: 1\n");
    await write("notes.txt", "no policy\n");
    await write(".hidden.yaml", "no policy\n");
    await Deno.symlink("..", `${folder}/b/round`);
    const { stdout } = await bargate([
      "validate",
      "--format=json",
      `${folder}/`,
      `${folder}/a.yaml`,
    ]);
    const { diagnostics, summary } = JSON.parse(stdout);
    const files = diagnostics.map((found: { readonly file: string }) => found.file);
    const expected = ["a.yaml", "b/a.yml", "z.yaml"].map((name) => `${folder}/${name}`);
    assert.deepEqual([...new Set(files)], expected);
    assert.equal(summary.files, 3);
  });
});

Deno.test("validate: --deny-warnings turns a warning into status 3", async () => {
  const file = "bad/unused-device.yaml";
  assert.equal((await bargate(["validate", file])).status, ExitStatus.done);
  const denied = await bargate(["validate", "--deny-warnings", file]);
  assert.equal(denied.status, ExitStatus.invalidPolicy);
  assert.match(denied.stdout, /^warning\[BG1303\]/);
  assert.match(
    denied.stdout,
    /\nrefused by --deny-warnings sha256:[0-9a-f]{64}: 0 errors, 1 warning /,
  );
  const shown: readonly (readonly [string, RegExp])[] = [
    ["junit", /failures="1"[^]*<failure message="[^]*warning\[BG1303\]/],
    ["json", /"refused":"Cannot accept warnings \(--deny-warnings\)"/],
    ["jsonl", /\n\{[^\n]*"refused":"Cannot accept warnings/],
    ["sarif", /"properties":\{[^}]*"refused":"Cannot accept warnings/],
    ["github", /^::warning [^]*\n::error title=bargate::Cannot accept warnings/],
  ];
  for (const [format, text] of shown) {
    const { status, stdout } = await bargate([
      "validate",
      "--deny-warnings",
      "--format",
      format,
      file,
    ]);
    assert.equal(status, ExitStatus.invalidPolicy, format);
    assert.match(stdout, text, format);
  }
});

Deno.test("validate: programs are told the digest of a valid set, and none of another", async () => {
  const of = async (format: string, file: string) =>
    (await bargate(["validate", "--format", format, file])).stdout;
  const good = "good/minimal.yaml";
  const digest = /sha256:[0-9a-f]{64}/.exec(await of("human", good))?.[0];
  assert.ok(digest !== undefined);
  assert.equal(JSON.parse(await of("json", good)).policy, digest);
  assert.equal(JSON.parse(await of("jsonl", good)).policy, digest);
  assert.equal(JSON.parse(await of("sarif", good)).runs[0].properties.policy, digest);
  for (const format of ["json", "jsonl", "sarif"]) {
    assert.doesNotMatch(await of(format, "bad/overlap.yaml"), /sha256:/, format);
  }
});

Deno.test("validate: --page-size is used and said", async () => {
  const large = await bargate(["validate", "--page-size", "64KiB", "good/minimal.yaml"]);
  assert.equal(large.status, ExitStatus.invalidPolicy);
  assert.match(large.stdout, /page size 64KiB \(received 0x2000\)/);
  assert.match(large.stdout, /; page size 64KiB\n$/);
});

Deno.test("validate: what cannot be read is named, status 2, and nothing is on stdout", async () => {
  await withFolder(async (folder) => {
    const missing = `${folder}/missing.yaml`;
    const empty = `${folder}/empty`;
    await Deno.mkdir(empty);
    const { status, stdout, stderr } = await bargate(["validate", missing, empty, "good"]);
    assert.equal(status, ExitStatus.usage);
    assert.equal(stdout, "");
    assert.equal(
      stderr,
      `error: Cannot read ${missing}: no such file or folder; check the path\nCannot find a policy in ${empty}: no *.yaml or *.yml is below it\n`,
    );
  });
});

Deno.test("a wrong command line is status 2, with a hint and nothing on stdout", async () => {
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [["valdate"], /did you mean `validate`/],
    [["validate"], /at least 1 argument/],
    [["validate", "--formt", "json", "x"], /did you mean --format/],
    [
      ["validate", "--format", "xml", "x"],
      /one of \(human|json|jsonl/,
    ],
    [["validate", "--x", "x"], /Cannot find the option --x/],
    [["validate", "--page-size", "5000", "x"], /power of two/],
    [["validate", "--page-size", "64K", "x"], /received 64K\); write 64KiB/],
    [[], /USAGE/],
  ];
  for (const [args, message] of wrong) {
    const { status, stdout, stderr } = await bargate(args);
    assert.equal(status, ExitStatus.usage, args.join(" "));
    assert.equal(stdout, "", args.join(" "));
    assert.match(stderr, message);
  }
});

Deno.test("validate: without the right to read, says so", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", MAIN.pathname, "validate", "good/minimal.yaml"],
    cwd: CORPUS,
  });
  const { code, stderr } = await child.output();
  assert.equal(code, ExitStatus.usage);
  assert.match(
    new TextDecoder().decode(stderr),
    /^error: Cannot read good\/minimal.yaml: this run may not read it \(--allow-read\)\n$/,
  );
});

Deno.test("validate: a file that is too large is refused without reading all of it", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/a.yaml`, GOOD);
    const file = await Deno.create(`${folder}/big.yaml`);
    await file.truncate(2 ** 40);
    file.close();
    const { status, stdout } = await bargate(["validate", "--format=json", folder]);
    assert.equal(status, ExitStatus.invalidPolicy);
    const codes = JSON.parse(stdout).diagnostics.map((d: { readonly code: string }) => d.code);
    assert.deepEqual(codes, ["BG1001"]);
  });
});

Deno.test("validate: patterns are expanded where the shell did not, and must match", async () => {
  const { status, stdout } = await bargate(["validate", "--format=json", "good/borrow-*.yaml"]);
  assert.equal(status, ExitStatus.invalidPolicy, "they have one name");
  assert.ok(JSON.parse(stdout).summary.files >= 4);
  const none = await bargate(["validate", "good/nothing-*.yaml"]);
  assert.equal(none.status, ExitStatus.usage);
  assert.equal(none.stderr, "error: Cannot find a file that matches good/nothing-*.yaml\n");
});

Deno.test("validate: the formats of other programs are written", async () => {
  const of = async (format: string) =>
    (await bargate(["validate", "--format", format, "bad/overlap.yaml"])).stdout;
  assert.equal(JSON.parse(await of("sarif")).version, "2.1.0");
  assert.match(await of("github"), /^::error title=BG1405,file=bad\/overlap.yaml,line=18,/);
  assert.match(await of("junit"), /<testcase classname="policy" name="bad\/overlap.yaml"><failure/);
});

Deno.test("validate: --watch names what is not there, status 2", async () => {
  await withFolder(async (folder) => {
    for (const path of [`${folder}/none.yaml`, `${folder}/none/*.yaml`]) {
      const { status, stdout, stderr } = await bargate(["validate", "--watch", path]);
      assert.deepEqual([status, stdout], [ExitStatus.usage, ""]);
      assert.match(stderr, /^error: Cannot (read|find) .*none/);
    }
  });
});

Deno.test("validate: --watch refuses standard input", async () => {
  const { status, stderr } = await bargate(["validate", "--watch", "-"]);
  assert.equal(status, ExitStatus.usage);
  assert.match(stderr, /Cannot watch standard input/);
});

Deno.test("validate: the status is that of the whole set, however much else is said of it", async () => {
  await withFolder(async (folder) => {
    const devices = Array.from(
      { length: 1100 },
      (_, i) => `  d${i}: { match: { id: "1b36:0010", address: 0000:03:00.0 } }\n`,
    );
    const text = `${GOOD.replace("devices:\n", `devices:\n${devices.join("")}`)}  - { name: x }\n`;
    await Deno.writeTextFile(`${folder}/a.yaml`, text);
    for (const format of ["human", "json", "jsonl", "sarif", "github", "junit"]) {
      const { status, stdout } = await bargate(["validate", "--format", format, folder]);
      assert.equal(status, ExitStatus.invalidPolicy, format);
      assert.match(stdout, /BG1103/, format);
      if (format === "json") assert.ok(JSON.parse(stdout).summary.warnings === 1100);
      if (format === "human") assert.match(stdout, /\ninvalid: [1-9] errors, 1100 warnings/);
    }
  });
});
