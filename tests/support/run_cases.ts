/** Runs a file of test cases in a process of its own. @module */
import assert from "node:assert/strict";

/**
 * Runs cases, all of which must pass.
 *
 * @param cases file of tests whose name the test runner does not look for
 * @param prefix of the command: who runs it
 */
export async function runCases(cases: URL, prefix: readonly string[] = []): Promise<void> {
  const command = [Deno.execPath(), "test", "-A", "--no-check", "--no-prompt", cases.pathname];
  const [program = "", ...args] = [...prefix, ...command];
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const [told, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 0, `${told}\n${errors}`);
  assert.match(told ?? "", /^ok \| [1-9][0-9]* passed (\([0-9]+ steps?\) )?\| 0 failed/m);
}
