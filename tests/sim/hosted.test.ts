/** The cases of a simulated host over the real kernel, in a process of their own. @module */
import assert from "node:assert/strict";

const CASES = new URL("./hosted_cases.ts", import.meta.url).pathname;

Deno.test("simulated devices have real descriptors: hosted_cases.ts", async () => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", "--no-prompt", CASES],
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const [told, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 0, `${told}\n${errors}`);
  assert.match(told ?? "", /^ok \| [1-9][0-9]* passed \| 0 failed/m);
});
