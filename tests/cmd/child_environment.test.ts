import assert from "node:assert/strict";
import { childEnvironment, parseVariable } from "../../cmd/child_environment.ts";
import { CommandError } from "../../cmd/errors.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";

const NVMF = {
  uid: 997,
  gid: 997,
  name: "nvmf",
  home: "/var/lib/nvmf",
  shell: "/usr/sbin/nologin",
};
const OWN = {
  PATH: "/usr/bin:/bin",
  LANG: "C.UTF-8",
  LC_TIME: "de_DE.UTF-8",
  TERM: "xterm",
  TZ: "UTC",
  NO_COLOR: "1",
  HOME: "/root",
  USER: "root",
  SUDO_USER: "ann",
  SECRET: "x",
  NOTIFY_SOCKET: "/run/systemd/notify",
  LISTEN_FDS: "3",
  LD_PRELOAD: "/tmp/x.so",
  DENO_DIR: "/root/.cache/deno",
  XDG_RUNTIME_DIR: "/run/user/0",
};
const ACCOUNT = {
  USER: "nvmf",
  LOGNAME: "nvmf",
  HOME: "/var/lib/nvmf",
  SHELL: "/usr/sbin/nologin",
};

function isUsage(error: unknown): boolean {
  return error instanceof CommandError && error.status === ExitStatus.usage;
}

Deno.test("a program's environment is the account's, and nothing of Bargate's that is not for it", () => {
  const { PATH, LANG, LC_TIME, TERM, TZ, NO_COLOR } = OWN;
  assert.deepEqual(childEnvironment(NVMF, OWN, [], true), {
    ...{ PATH, LANG, LC_TIME, TERM, TZ, NO_COLOR },
    ...ACCOUNT,
  });
  const bare = { uid: 1, gid: 1, name: "bare" };
  assert.deepEqual(childEnvironment(bare, {}, [], true), {
    USER: "bare",
    LOGNAME: "bare",
    SHELL: "/bin/sh",
  });
});

Deno.test("--env passes a variable on, or sets it, the last of a name counts", () => {
  const asked = ["SECRET", "A=1", "A=b=c", "HOME=/srv", "EMPTY="].map(parseVariable);
  const { SECRET, A, HOME, EMPTY, SUDO_USER } = childEnvironment(NVMF, OWN, asked, true);
  assert.deepEqual([SECRET, A, HOME, EMPTY, SUDO_USER], ["x", "b=c", "/srv", "", undefined]);
});

Deno.test("--env of what is not set is a mistake", () => {
  assert.throws(() => childEnvironment(NVMF, OWN, [{ name: "TYPO" }], true), isUsage);
});

Deno.test("--env of what a loader heeds is refused where the account changes", () => {
  const asked = [{ name: "LD_PRELOAD" }];
  assert.throws(() => childEnvironment(NVMF, OWN, asked, true), isUsage);
  assert.equal(childEnvironment(NVMF, OWN, asked, false)["LD_PRELOAD"], "/tmp/x.so");
});

Deno.test("--env takes names only, and none of those that tell of descriptors", () => {
  for (const text of ["", "=x", "A B", "1A=x", "A-B", "LISTEN_PID=1", "LISTEN_FDNAMES"]) {
    assert.throws(() => parseVariable(text), /^Error: Cannot set/);
  }
});
