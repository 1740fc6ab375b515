import assert from "node:assert/strict";

import { CommandError, describeError } from "../../cmd/errors.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { parseVfTokens, readVfTokens } from "../../cmd/vf_token_file.ts";
import { withFolder } from "./run_verb.ts";

const PF = "0000:04:00.0";
const VF = { address: "0000:04:00.1", physfn: PF };
const OTHER = { address: "0000:05:00.1", physfn: "0000:05:00.0" };
const TOKEN = "14e7b6a0-1b2c-4d3e-8f90-0123456789ab";
const SECOND = "24e7b6a0-1b2c-4d3e-8f90-0123456789ab";
const UID = Deno.uid() ?? 0;

Deno.test("parseVfTokens takes one UUID for all virtual functions, and for no other", () => {
  const tokenFor = parseVfTokens(`# the secret of both\n\n  ${TOKEN}\r\n`, "f");
  assert.deepEqual([VF, OTHER, { address: PF }].map(tokenFor), [TOKEN, TOKEN, undefined]);
});

Deno.test("parseVfTokens prefers a function's own line to that of its PF", () => {
  const tokenFor = parseVfTokens(`${PF} ${TOKEN}\n${VF.address}\t${SECOND}`, "f");
  const sibling = { address: "0000:04:00.2", physfn: PF };
  assert.deepEqual(
    [VF, sibling, { address: PF }, OTHER].map(tokenFor),
    [SECOND, TOKEN, TOKEN, undefined],
  );
});

Deno.test("parseVfTokens refuses what is no file of tokens, and repeats nothing of it", () => {
  const bad: readonly [string, RegExp][] = [
    ["", /no token in it/],
    ["# nothing\n", /no token in it/],
    [TOKEN.slice(1), /token in line 1 is no UUID/],
    [`{${TOKEN}}`, /token in line 1 is no UUID/],
    [TOKEN.replaceAll("-", ""), /token in line 1 is no UUID/],
    [`${TOKEN} # mine`, /line 1 is not ADDRESS UUID/],
    [`${TOKEN}\n${SECOND}`, /line 1 is not ADDRESS UUID/],
    [`\n${PF} ${TOKEN}\n${TOKEN}`, /line 3 is not ADDRESS UUID/],
    [`04:00.0 ${TOKEN}`, /line 1 is not ADDRESS UUID, the address written 0000:04:00\.0/],
    [`${PF} ${TOKEN}\n${PF} ${SECOND}`, /line 2 has an address that an earlier one has/],
    [`${PF} ${TOKEN} ${SECOND}`, /line 1 is not ADDRESS UUID/],
    [`${PF} ${SECOND}z`, /token in line 1 is no UUID/],
  ];
  for (const [text, why] of bad) {
    assert.throws(() => parseVfTokens(text, "tokens"), (error) => {
      assert.ok(error instanceof CommandError);
      assert.equal(error.status, ExitStatus.usage);
      assert.match(error.message, why);
      assert.doesNotMatch(describeError(error, true) + error.stack, /4e7b6a0|456789ab/);
      return true;
    });
  }
});

async function withFile(use: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "bargate-test-" });
  try {
    const path = `${folder}/tokens`;
    await Deno.writeTextFile(path, TOKEN, { mode: 0o600 });
    await use(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function refusal(status: ExitStatus, says: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof CommandError);
    assert.equal(error.status, status);
    assert.match(error.message, says);
    assert.doesNotMatch(describeError(error, true), /4e7b6a0/);
    return true;
  };
}

Deno.test("readVfTokens takes a private file of the account, links to it too", async () => {
  await withFile(async (path) => {
    assert.equal((await readVfTokens(path, UID))(VF), TOKEN);
    await Deno.symlink(path, `${path}.link`);
    assert.equal((await readVfTokens(`${path}.link`, UID))(VF), TOKEN);
  });
});

Deno.test("readVfTokens refuses a token in place of a path, without repeating it", async () => {
  await assert.rejects(readVfTokens(TOKEN, UID), refusal(ExitStatus.usage, /takes the path/));
});

Deno.test("readVfTokens repeats no token in place of a path, however it is written", async () => {
  const bare = TOKEN.replaceAll("-", "");
  const written = [
    bare,
    `{${TOKEN}}`,
    `${PF} ${TOKEN}`,
    TOKEN.toUpperCase(),
    `${TOKEN.slice(0, -1)}`,
    `${TOKEN}0`,
    `urn:uuid:${TOKEN}`,
    `/tmp/${bare}`,
    [...bare].join(" "),
  ];
  for (const value of written) {
    await assert.rejects(readVfTokens(value, UID), (error) => {
      refusal(ExitStatus.usage, /--vf-token-file/)(error);
      assert.ok(!describeError(error, true).toLowerCase().includes(value.toLowerCase()), value);
      return true;
    });
  }
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/${bare}`, TOKEN, { mode: 0o644 });
    await Deno.writeTextFile(`${folder}/{${TOKEN}}`, "nothing", { mode: 0o600 });
    await assert.rejects(readVfTokens(`${folder}/${bare}`, UID), refusal(4, /mode 644/));
    await assert.rejects(readVfTokens(`${folder}/{${TOKEN}}`, UID), refusal(2, /line 1/));
  });
});

Deno.test("readVfTokens refuses a file that others can read or own, and says what to do", async () => {
  await withFile(async (path) => {
    for (const mode of [0o640, 0o604, 0o620, 0o601]) {
      await Deno.chmod(path, mode);
      await assert.rejects(
        readVfTokens(path, UID),
        refusal(ExitStatus.hostNotReady, new RegExp(`mode ${mode.toString(8)}\\); chown .*600`)),
      );
    }
    await Deno.chmod(path, 0o600);
    await assert.rejects(
      readVfTokens(path, UID + 1),
      refusal(ExitStatus.hostNotReady, new RegExp(`a file of account ${UID}, mode 600`)),
    );
  });
});

Deno.test("readVfTokens refuses what is no regular file, without waiting for a writer", async () => {
  await withFile(async (path) => {
    const { success } = await new Deno.Command("mkfifo", { args: ["-m", "600", `${path}.pipe`] })
      .output();
    assert.ok(success);
    for (const other of [`${path}.pipe`, path.slice(0, path.lastIndexOf("/"))]) {
      await assert.rejects(
        readVfTokens(other, UID),
        refusal(ExitStatus.hostNotReady, /no regular file/),
      );
    }
    await assert.rejects(
      readVfTokens(`${path}.absent`, UID),
      refusal(ExitStatus.usage, /Cannot read/),
    );
    await Deno.writeTextFile(path, "#".repeat(70_000));
    await assert.rejects(readVfTokens(path, UID), refusal(ExitStatus.usage, /more than 65536/));
  });
});
