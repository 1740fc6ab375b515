/** What the laboratory refuses before it begins, and waits that have a limit. */
import assert from "node:assert/strict";
import { CommandError } from "../../cmd/errors.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { type LabFlags, refuseContradictions } from "../../cmd/lab_flags.ts";
import { temporaryFolder, usableFolder } from "../../lab/folders.ts";
import { LabError } from "../../lab/lab_error.ts";

const NONE: LabFlags = {
  test: false,
  shell: false,
  updateLayouts: false,
  updateConformance: false,
  long: false,
  format: "human",
};

const SENSELESS: readonly (readonly [Partial<LabFlags>, string | undefined, RegExp])[] = [
  [{ only: "map" }, undefined, /--only has no effect without --test$/],
  [{ only: "map", updateConformance: true }, undefined, /--only has no effect without --test$/],
  [{ repeat: 1 }, undefined, /--repeat has no effect without --test$/],
  [{ long: true }, "machine", /--long has no effect without --test or --update-conformance$/],
  [{ seed: 0, test: true }, undefined, /--seed has no effect without --long$/],
  [{ headers: "/h", test: true }, undefined, /--headers has no effect without --kernel$/],
  [{ format: "json", shell: true }, undefined, /--format json has no effect with --shell$/],
  [{ format: "json", updateLayouts: true }, undefined, /json has no effect with --update-layouts$/],
  [{ test: true }, "machine", /exclude each other$/],
  [{ test: true, shell: true }, undefined, /exclude each other$/],
];

for (const [flags, story, message] of SENSELESS) {
  Deno.test(`lab refuses ${JSON.stringify({ ...flags, story })}`, () => {
    assert.throws(
      () => refuseContradictions({ ...NONE, ...flags }, story),
      (error: unknown) =>
        error instanceof CommandError && error.status === ExitStatus.usage &&
        message.test(error.message),
    );
  });
}

Deno.test("lab takes options that have an effect", () => {
  const sensible: readonly Partial<LabFlags>[] = [
    {},
    { format: "json" },
    { shell: true, kernel: "/k" },
    { updateConformance: true, long: true, seed: 3 },
    { updateLayouts: true, kernel: "/k", headers: "/h" },
    { test: true, long: true, seed: 3, only: "x", repeat: 2, format: "json" },
  ];
  for (const flags of sensible) refuseContradictions({ ...NONE, ...flags }, undefined);
  refuseContradictions(NONE, "machine");
});

function unusable(message: RegExp, fix: RegExp) {
  return (error: unknown) =>
    error instanceof LabError && message.test(error.message) && fix.test(error.fix ?? "");
}

Deno.test("a cache that cannot be written is told with the variable that names another", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await usableFolder(`${folder}/a/b`, "keep the kernel");
    assert.deepEqual(Array.from(Deno.readDirSync(`${folder}/a/b`)), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  await assert.rejects(
    usableFolder("/etc/passwd/b", "keep the kernel"),
    unusable(
      /^Cannot keep the kernel in \/etc\/passwd\/b: a part of the path is a file and no folder$/,
      /XDG_CACHE_HOME$/,
    ),
  );
  await assert.rejects(
    usableFolder("/proc/bargate", "keep the kernel"),
    unusable(/^Cannot keep the kernel in \/proc\/bargate: /, /XDG_CACHE_HOME$/),
  );
});

Deno.test("a temporary folder that cannot be made is told with the variable that names another", async () => {
  await assert.rejects(
    temporaryFolder("nosuch/x"),
    unusable(/^Cannot make a folder in .+: /, /TMPDIR$/),
  );
});

Deno.test("programs of the host are started where their end is waited for with a limit", async () => {
  const lab = new URL("../../lab/", import.meta.url);
  const starting: string[] = [];
  for (const folder of ["", "kernel/", "machine/"]) {
    for await (const { name, isFile } of Deno.readDir(new URL(folder, lab))) {
      if (!isFile || !name.endsWith(".ts")) continue;
      const text = await Deno.readTextFile(new URL(`${folder}${name}`, lab));
      if (text.includes("new Deno.Command(")) starting.push(`${folder}${name}`);
    }
  }
  assert.deepEqual(starting.sort(), ["exec.ts", "machine/vm.ts"]);
});
