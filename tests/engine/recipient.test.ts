import assert from "node:assert/strict";
import { DeniedError, HostNotReadyError } from "../../engine/errors.ts";
import { checkRecipient } from "../../engine/recipient.ts";
import { KernelError } from "../../engine/kernel_error.ts";
import { type Files, FilesError } from "../../host/files.ts";
import type { ImporterIdentity } from "../../policy/model.ts";
import { SimKernel, type SimPath } from "../../sim/sim_kernel.ts";
import { AT, planned } from "./support.ts";

const FOLDER: SimPath = { mode: 0o040755 };
const PATHS: Readonly<Record<string, SimPath>> = {
  "/": FOLDER,
  "/usr": FOLDER,
  "/usr/bin": FOLDER,
  "/usr/bin/target": {},
  "/usr/bin/other": {},
  "/usr/bin/text": { mode: 0o100644 },
};

const CONTENT = new TextEncoder().encode("abc");
/** Of "abc". */
const SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/** Every path is its own real path, but for one link, and one that is not there; all files hold the same. */
const files = {
  read: (_path: string): Uint8Array => CONTENT,
  realPath: (path: string) => {
    if (path === "/usr/bin/absent") {
      const cause = new KernelError("statx", 2, "ENOENT", path);
      throw new FilesError(path, "absent", `Cannot resolve ${path}: not there (ENOENT)`, { cause });
    }
    return path === "/usr/bin/link" ? "/usr/bin/target" : path;
  },
} as Files;

function check(
  identity: Partial<Record<keyof ImporterIdentity, string>>,
  path: string,
  more: { paths?: Record<string, SimPath>; uid?: number; allowSameUser?: boolean } = {},
) {
  const kernel = new SimKernel({
    functions: [],
    accounts: [{ uid: 65534, gid: 65534, name: "nobody" }, { uid: 0, gid: 0, name: "root" }],
    paths: { ...PATHS, ...more.paths },
    uid: more.uid ?? 0,
  });
  const placed = Object.entries(identity).map(([key, value]) => [key, { value, at: AT }]);
  const importer = { ...planned().importer, identity: Object.fromEntries(placed) };
  return checkRecipient(kernel, files, importer, path, more.allowSameUser ?? false);
}

Deno.test("checkRecipient gives the account, and a demanded executable with its links resolved", () => {
  const identity = { user: "nobody", group: "7", executable: "/usr/bin/target" };
  assert.deepEqual(check(identity, "/usr/bin/link"), {
    account: { uid: 65534, gid: 7, name: "nobody" },
    executable: "/usr/bin/target",
  });
});

Deno.test("checkRecipient leaves a program its name where no executable is demanded", () => {
  assert.equal(check({ user: "nobody" }, "/usr/bin/link").executable, "/usr/bin/link");
});

Deno.test("checkRecipient says that a demanded executable is not there, and what to do", () => {
  const identity = { user: "nobody", executable: "/usr/bin/absent" };
  const checked = () => check(identity, "/usr/bin/target");
  assert.throws(checked, HostNotReadyError);
  assert.throws(checked, (error: Error) => {
    assert.match(error.message, /\/usr\/bin\/absent.*is not on this host; install it, or correct/);
    assert.doesNotMatch(error.message, /ENOENT/);
    return true;
  });
});

Deno.test("checkRecipient denies another executable than the policy's", () => {
  const identity = { user: "nobody", executable: "/usr/bin/target" };
  assert.throws(() => check(identity, "/usr/bin/other"), DeniedError);
});

Deno.test("checkRecipient compares the hash of what it will start, and starts that", () => {
  const { executable } = check({ user: "nobody", sha256: SHA256 }, "/usr/bin/link");
  assert.equal(executable, "/usr/bin/target");
  const other = { user: "nobody", sha256: "0".repeat(64) };
  assert.throws(() => check(other, "/usr/bin/target"), DeniedError);
  assert.throws(() => check(other, "/usr/bin/target"), /must be 0{64} \(received ba7816bf/);
  const paths = { "/usr/bin": { mode: 0o040777 } };
  const replaceable = () => check({ user: "nobody", sha256: SHA256 }, "/usr/bin/target", { paths });
  assert.throws(replaceable, /others can replace it/);
});

Deno.test("checkRecipient refuses a program that is none", () => {
  assert.throws(() => check({ user: "nobody" }, "/usr/bin/text"), /no executable file/);
  assert.throws(() => check({ user: "nobody" }, "/usr/bin"), HostNotReadyError);
  assert.throws(() => check({ user: "nobody" }, "/usr/bin/absent"), /absent: it is not there/);
});

Deno.test("checkRecipient denies an executable that others could replace", () => {
  const identity = { user: "nobody", executable: "/usr/bin/target" };
  const loose: Record<string, SimPath>[] = [
    { "/usr/bin/target": { mode: 0o100775 } },
    { "/usr/bin/target": { uid: 1000 } },
    { "/usr/bin": { mode: 0o040777 } },
    { "/usr": { mode: 0o040755, uid: 1000 } },
  ];
  for (const paths of loose) {
    assert.throws(() => check(identity, "/usr/bin/target", { paths }), /others can replace it/);
    assert.ok(check({ user: "nobody" }, "/usr/bin/target", { paths }), "no executable is named");
  }
  assert.ok(check(identity, "/usr/bin/target", { paths: { "/usr/bin": { mode: 0o041777 } } }));
});

Deno.test("checkRecipient refuses Bargate's own account unless that is accepted", () => {
  assert.throws(() => check({ user: "root" }, "/usr/bin/target"), HostNotReadyError);
  assert.ok(check({ user: "root" }, "/usr/bin/target", { allowSameUser: true }));
});

Deno.test("checkRecipient refuses accounts that are not there, or that Bargate cannot become", () => {
  assert.throws(() => check({ user: "nvmf" }, "/usr/bin/target"), /no account "nvmf"/);
  assert.throws(() => check({ user: "nobody", group: "x" }, "/usr/bin/target"), /no group "x"/);
  assert.throws(() => check({ user: "nobody" }, "/usr/bin/target", { uid: 1000 }), /only root/);
  assert.throws(() => check({}, "/usr/bin/target"), /no user/);
});

Deno.test("checkRecipient refuses an identity with parts that it does not check", () => {
  for (const more of [{ unit: "a.service" }, { cgroup: "/a" }]) {
    const [key = ""] = Object.keys(more);
    const message = new RegExp(`demands ${key}`);
    assert.throws(() => check({ user: "nobody", ...more }, "/usr/bin/target"), message);
  }
});

Deno.test("checkRecipient refuses what it cannot make true", () => {
  for (const key of ["unit", "cgroup"] as const) {
    assert.throws(
      () => check({ user: "nobody", [key]: "x" }, "/usr/bin/target"),
      HostNotReadyError,
    );
  }
});
