import assert from "node:assert/strict";
import { CommandError } from "../../cmd/errors.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { findProgram } from "../../cmd/find_program.ts";

function isUsage(message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof CommandError);
    assert.equal(error.status, ExitStatus.usage);
    assert.match(error.message, message);
    return true;
  };
}

Deno.test("findProgram finds by path and by name, and keeps links as they are", async () => {
  assert.equal(await findProgram("/bin/sh"), "/bin/sh");
  assert.match(await findProgram("sh"), /^\/.*\/sh$/);
  const folder = await Deno.makeTempDir({ prefix: "bargate-test-" });
  await Deno.symlink("/bin/sh", `${folder}/name`);
  assert.equal(await findProgram(`${folder}/name`), `${folder}/name`);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("findProgram says that a program is not there, or is none", async () => {
  const folder = await Deno.makeTempDir({ prefix: "bargate-test-" });
  await Deno.writeTextFile(`${folder}/text`, "", { mode: 0o644 });
  await assert.rejects(findProgram(`${folder}/text`), isUsage(/text": it is no executable file/));
  await assert.rejects(findProgram(folder), isUsage(/it is no executable file/));
  await assert.rejects(findProgram(`${folder}/x`), isUsage(/Cannot find program/));
  await assert.rejects(findProgram("no-such-program-at-all"), isUsage(/Cannot find program/));
  await Deno.remove(folder, { recursive: true });
});
