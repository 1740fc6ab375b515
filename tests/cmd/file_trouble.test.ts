/** No verb tells a bare errno of a file, or a cause twice. */
import assert from "node:assert/strict";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { fileTrouble } from "../../cmd/file_trouble.ts";
import { asOrdinaryUser, plainEnvironment } from "../support/ordinary_user.ts";
import { bargate, withFolder } from "./run_verb.ts";

const MAIN = new URL("../../cmd/main.ts", import.meta.url).pathname;
const POLICY = new URL("../../examples/policies/cmb-to-edu.yaml", import.meta.url).pathname;
const HOST = new URL("../../examples/hosts/laboratory.json", import.meta.url).pathname;
const ALL = { rights: ["-A"] };

function thrownBy(step: () => void): unknown {
  try {
    step();
  } catch (error) {
    return error;
  }
  throw new Error("Cannot go on: nothing was thrown");
}

Deno.test("what the runtime says of a file is told in words", () => {
  const long = `/${"x".repeat(300)}`;
  const cases: readonly (readonly [() => void, string])[] = [
    [() => Deno.readFileSync("/nonexistent"), "no such file or folder; check the path"],
    [() => Deno.readFileSync("/"), "it is a folder; name a file"],
    [
      () => Deno.statSync("/dev/null/x"),
      "a part of the path is a file and no folder; check the path",
    ],
    [() => Deno.statSync(long), "the path is too long; name it by a shorter one"],
  ];
  for (const [step, text] of cases) assert.equal(fileTrouble(thrownBy(step), "read"), text);
  const full = thrownBy(() => {
    using file = Deno.openSync("/dev/full", { write: true });
    file.writeSync(new Uint8Array(8));
  });
  assert.match(fileTrouble(full, "write"), /^the disk is full; make room/);
  const rare = new Error("Device or resource busy (os error 16): open '/x'");
  assert.equal(fileTrouble(rare, "read"), "Device or resource busy");
});

Deno.test("verbs that cannot read or write a file say once why, and what to do", async () => {
  const absent = "/nonexistent/x";
  const cases: readonly (readonly [readonly string[], string])[] = [
    [["plan", "--inventory", "/", POLICY], "read the inventory /: it is a folder; name a file"],
    [
      ["plan", "--inventory", absent, POLICY],
      `read the inventory ${absent}: no such file or folder; check the path`,
    ],
    [
      ["plan", "--sim", absent, POLICY],
      `read the inventory ${absent}: no such file or folder; check the path`,
    ],
    [
      ["inventory", "--sim", HOST, "-o", absent],
      `write the inventory to ${absent}: the folder that it would be in does not exist; make it first, or name another one`,
    ],
    [
      ["inventory", "--sim", HOST, "-o", "/"],
      "write the inventory to /: it is a folder; name a file",
    ],
  ];
  for (const [args, says] of cases) {
    const { status, stderr } = await bargate(args, ALL);
    assert.equal(status, ExitStatus.usage, stderr);
    const [last] = stderr.trimEnd().split("\n").reverse();
    assert.equal(last, `error: Cannot ${says}`);
  }
});

Deno.test("an account that may not is told so in words", async () => {
  await withFolder(async (folder) => {
    const shut = `${folder}/shut`;
    await Deno.mkdir(shut, { mode: 0o500 });
    await Deno.writeTextFile(`${shut}/policy.yaml`, "", { mode: 0o000 });
    await Deno.mkdir(`${folder}/closed`, { mode: 0o000 });
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [["inventory", "--sim", HOST, "-o", `${shut}/x`], /the permissions do not allow it; name a/],
      [["validate", `${shut}/policy.yaml`], /its permissions do not allow it; change them, or run/],
      [["validate", `${folder}/closed/*.yaml`], /its permissions do not allow it; change them, or/],
      [["plan", "--inventory", `${shut}/policy.yaml`, POLICY], /its permissions do not allow it;/],
    ];
    for (const [args, says] of cases) {
      const { status, stderr } = await runAsOrdinaryUser(args);
      assert.equal(status, ExitStatus.usage, stderr);
      assert.match(stderr, says);
      assert.doesNotMatch(stderr, /os error/);
    }
  });
});

async function runAsOrdinaryUser(
  args: readonly string[],
): Promise<{ readonly status: number; readonly stderr: string }> {
  const [program = "", ...rest] = [...await asOrdinaryUser(), Deno.execPath()];
  const { code, stderr } = await new Deno.Command(program, {
    args: [...rest, "run", "-A", "--no-prompt", MAIN, ...args],
    clearEnv: true,
    env: plainEnvironment(),
  }).output();
  return { status: code, stderr: new TextDecoder().decode(stderr) };
}

Deno.test("a verb whose output goes to a full disk says so, status 5", async () => {
  const shell = new Deno.Command("/bin/sh", {
    args: ["-c", 'exec "$0" "$@" >/dev/full', Deno.execPath(), "run", "-A", MAIN, "schema"],
    stdout: "null",
    stdin: "null",
  });
  const { code, stderr } = await shell.output();
  assert.equal(
    new TextDecoder().decode(stderr),
    "error: Cannot write what is printed: No space left on device\n",
  );
  assert.equal(code, ExitStatus.refused);
});
