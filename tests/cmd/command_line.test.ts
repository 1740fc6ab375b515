/** What is the same with every verb: help, version, words that are none. */
import assert from "node:assert/strict";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { VERBS } from "../../cmd/main.ts";
import { statusHelp } from "../../cmd/status_help.ts";
import { VERSION } from "../../cmd/version.ts";
import config from "../../deno.json" with { type: "json" };
import { bargate } from "./run_verb.ts";

/** As few rights as help can need: that of verbs that reach the kernel is in files of their own. */
const told = (...args: string[]) => bargate(args);

Deno.test("--version says the version that the package has", async () => {
  assert.equal(VERSION, config.version);
  const { status, stdout } = await told("--version");
  assert.deepEqual([status, stdout], [ExitStatus.done, `${VERSION}\n`]);
});

Deno.test("help is a word for --help, of Bargate and of a verb", async () => {
  assert.deepEqual(await told("help"), await told("--help"));
  assert.deepEqual(await told("help", "plan"), await told("plan", "--help"));
  assert.equal((await told("help", "nosuch")).status, ExitStatus.usage);
});

Deno.test("every verb's help says what its exit status means", async () => {
  for (const verb of Object.keys(VERBS)) {
    const { status, stdout } = await told(verb, "--help");
    assert.equal(status, ExitStatus.done);
    assert.match(stdout, /exit status/i, verb);
  }
  assert.equal(statusHelp("nosuch") + statusHelp("toString"), "");
});

Deno.test("inventory's help has its options, and leads to its other word", async () => {
  const { stdout } = await told("inventory", "--help");
  for (const option of ["--out", "--probe", "--owners"]) {
    assert.match(stdout, new RegExp(`^ .*${option}.*  +\\w`, "m"), option);
  }
  assert.match(stdout, /bargate inventory diff --help/);
  assert.match((await told("inventory", "diff", "--help")).stdout, /<old> <new>/);
});

Deno.test("a second word that inventory does not have is told with those that it has", async () => {
  const { status, stderr } = await told("inventory", "nosuch");
  assert.equal(status, ExitStatus.usage);
  assert.match(stderr, /`inventory nosuch`: there is bargate inventory take and .* diff/);
});

Deno.test("export's help says where the program goes", async () => {
  const { stdout } = await told("export", "--help");
  assert.match(
    stdout,
    /bargate export \[options\] <path>\.\.\. --exec -- PROGRAM \[ARGUMENT\.\.\.\]/,
  );
});

Deno.test("--help of a program that is started is the program's", async () => {
  const { stdout } = await told("export", "--nosuch", "--", "/bin/true", "--help");
  assert.doesNotMatch(stdout, /exit status/i);
});
