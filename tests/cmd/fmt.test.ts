import assert from "node:assert/strict";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { bargate, withFolder } from "./run_verb.ts";

const UGLY = "kind: ExportPolicy\napiVersion:   bargate/v1 # v\n";
const NEAT = "apiVersion: bargate/v1 # v\nkind: ExportPolicy\n";

Deno.test("fmt: --check shows a diff, status 1, and changes nothing", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/a.yaml`, UGLY);
    await Deno.writeTextFile(`${folder}/b.yaml`, NEAT);
    const { status, stdout } = await bargate(["fmt", "--check", "a.yaml", "b.yaml"], {
      cwd: folder,
    });
    assert.equal(status, ExitStatus.denied);
    assert.match(stdout, /^--- a\.yaml\n\+\+\+ a\.yaml\n@@ -1,2 \+1,2 @@\n/);
    assert.match(stdout, /\n-apiVersion: {3}bargate\/v1 # v\n/);
    assert.doesNotMatch(stdout, /b\.yaml/);
    assert.equal(await Deno.readTextFile(`${folder}/a.yaml`), UGLY);
    assert.equal((await bargate(["fmt", "--check", `${folder}/b.yaml`])).status, ExitStatus.done);
  });
});

Deno.test("fmt: rewrites what is not neat, and only that", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/a.yaml`, UGLY);
    await Deno.writeTextFile(`${folder}/b.yaml`, NEAT);
    const rights = [`--allow-read`, `--allow-write=${folder}`];
    const { status, stdout, stderr } = await bargate(["fmt", folder], { rights });
    assert.deepEqual([status, stdout], [ExitStatus.done, ""]);
    assert.equal(stderr, `formatted ${folder}/a.yaml\n`);
    assert.equal(await Deno.readTextFile(`${folder}/a.yaml`), NEAT);
  });
});

Deno.test("fmt: standard input goes to standard output", async () => {
  const { status, stdout } = await bargate(["fmt", "-"], { stdin: `\ufeff${UGLY}` });
  assert.deepEqual([status, stdout], [ExitStatus.done, NEAT]);
});

Deno.test("fmt: what is no valid YAML is named and left alone, status 3", async () => {
  const { status, stdout, stderr } = await bargate(["fmt", "-"], { stdin: "a: [" });
  assert.deepEqual([status, stdout], [ExitStatus.invalidPolicy, ""]);
  assert.match(stderr, /^error: Cannot format -: its YAML is not valid/);
});

Deno.test("fmt: files are formatted whatever becomes of the others", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/a.yaml`, "a: [");
    await Deno.writeTextFile(`${folder}/b.yaml`, UGLY);
    const rights = [`--allow-read`, `--allow-write=${folder}`];
    const { status, stderr } = await bargate(["fmt", folder], { rights });
    assert.equal(status, ExitStatus.invalidPolicy);
    assert.match(stderr, /Cannot format .*a\.yaml/);
    assert.equal(await Deno.readTextFile(`${folder}/b.yaml`), NEAT);
  });
});

Deno.test("fmt: --check has status 3 where a file cannot be judged, whatever the others are", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/neat.yaml`, NEAT);
    await Deno.writeTextFile(`${folder}/ugly.yaml`, UGLY);
    for (const text of ["a: [", "", "# nothing but this\n"]) {
      await Deno.writeTextFile(`${folder}/bad.yaml`, text);
      for (const names of [["bad.yaml"], ["bad.yaml", "neat.yaml"], ["ugly.yaml", "bad.yaml"]]) {
        const { status, stdout, stderr } = await bargate(["fmt", "--check", ...names], {
          cwd: folder,
        });
        assert.equal(status, ExitStatus.invalidPolicy, names.join());
        assert.match(stderr, /^error: Cannot format bad\.yaml: /);
        assert.equal(stdout.includes("+++ ugly.yaml"), names.includes("ugly.yaml"));
      }
    }
  });
});
