import assert from "node:assert/strict";
import { CommandError } from "../../cmd/errors.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { writePrivate } from "../../cmd/write_private.ts";
import { withFolder } from "./run_verb.ts";

function modeOf(path: string): number {
  return (Deno.lstatSync(path).mode ?? 0) & 0o7777;
}

function namesIn(folder: string): readonly string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

function refused(message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof CommandError, String(error));
    assert.equal(error.status, ExitStatus.usage);
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /os error/);
    return true;
  };
}

Deno.test("writePrivate makes a file for its account alone, also where one was for all", async () => {
  await withFolder((folder) => {
    const path = `${folder}/host.json`;
    writePrivate(path, "it", ["a", "b"]);
    assert.deepEqual([Deno.readTextFileSync(path), modeOf(path)], ["ab", 0o600]);
    Deno.chmodSync(path, 0o644);
    writePrivate(path, "it", ["c"]);
    assert.deepEqual([Deno.readTextFileSync(path), modeOf(path)], ["c", 0o600]);
    assert.deepEqual(namesIn(folder), ["host.json"]);
    return Promise.resolve();
  });
});

Deno.test("writePrivate gives no text to who has the old file open, or another name of it", async () => {
  await withFolder((folder) => {
    const path = `${folder}/host.json`;
    Deno.writeTextFileSync(path, "old");
    Deno.linkSync(path, `${folder}/other`);
    writePrivate(path, "it", ["secret"]);
    assert.equal(Deno.readTextFileSync(`${folder}/other`), "old");
    return Promise.resolve();
  });
});

Deno.test("writePrivate that fails leaves what was there, and nothing else", async () => {
  await withFolder((folder) => {
    const path = `${folder}/host.json`;
    Deno.writeTextFileSync(path, "old");
    const pieces = ["new"];
    Object.defineProperty(pieces, 1, {
      get: () => {
        throw new Error("no more");
      },
    });
    assert.throws(() => writePrivate(path, "it", pieces), refused(/: no more$/));
    assert.equal(Deno.readTextFileSync(path), "old");
    assert.deepEqual(namesIn(folder), ["host.json"]);
    return Promise.resolve();
  });
});

Deno.test("writePrivate follows no link, and replaces no device or pipe", async () => {
  await withFolder(async (folder) => {
    const [victim, link, dangling] = [`${folder}/victim`, `${folder}/link`, `${folder}/dangling`];
    Deno.writeTextFileSync(victim, "old");
    Deno.symlinkSync(victim, link);
    Deno.symlinkSync(`${folder}/absent`, dangling);
    const pipe = `${folder}/pipe`;
    await new Deno.Command("mkfifo", { args: [pipe] }).output();
    for (const path of [link, dangling]) {
      assert.throws(() => writePrivate(path, "it", ["x"]), refused(/it is a link; name a regular/));
      assert.ok(Deno.lstatSync(path).isSymlink);
    }
    assert.throws(() => writePrivate(pipe, "it", ["x"]), refused(/it is no regular file; .* or -/));
    assert.ok(Deno.lstatSync(pipe).isFifo);
    assert.equal(Deno.readTextFileSync(victim), "old");
    assert.deepEqual(namesIn(folder), ["dangling", "link", "pipe", "victim"]);
  });
});

Deno.test("writePrivate says in words why it cannot, and what to do", async () => {
  await withFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/file`, "");
    const cases: readonly (readonly [string, RegExp])[] = [
      [`${folder}/absent/x`, /folder that it would be in does not exist; make it first/],
      [folder, /it is a folder; name a file$/],
      ["/", /it is a folder; name a file$/],
      [`${folder}/file/x`, /a part of the path is a file and no folder; check the path$/],
      [`${folder}/${"x".repeat(300)}`, /the path is too long; name it by a shorter one$/],
    ];
    for (const [path, message] of cases) {
      assert.throws(() => writePrivate(path, "it", ["x"]), refused(message));
    }
    return Promise.resolve();
  });
});
