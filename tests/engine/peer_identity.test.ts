import assert from "node:assert/strict";
import { DeniedError, HostNotReadyError, RefusedError } from "../../engine/errors.ts";
import { checkPeer } from "../../engine/peer_identity.ts";
import type { Files } from "../../host/files.ts";
import type { ImporterIdentity } from "../../policy/model.ts";
import { refusal } from "../../sim/errno.ts";
import type { SimProcessFacts } from "../../sim/process.ts";
import { SimKernel, type SimPath } from "../../sim/sim_kernel.ts";
import { AT, planned } from "./support.ts";

const FOLDER: SimPath = { mode: 0o040755 };
const PATHS: Readonly<Record<string, SimPath>> = {
  "/": FOLDER,
  "/usr": FOLDER,
  "/usr/bin": FOLDER,
  "/usr/bin/target": { inode: 77n },
  "/usr/bin/other": { inode: 78n },
};
const SHA = "ab".repeat(32);
const PID = 4242;

/** Every path is its own real path. */
const files = { realPath: (path: string) => path } as Files;

/** A process that has everything that a test's identity asks for. */
const FACTS: SimProcessFacts = {
  pid: PID,
  uid: 990,
  gid: 990,
  groups: [4, 44],
  executable: { path: "/usr/bin/target", device: 1n, inode: 77n, sha256: SHA },
  cgroup: "/system.slice/target.service",
  unit: "target.service",
};

type Identity = Partial<Record<keyof ImporterIdentity, string>>;

interface Scene {
  readonly facts?: Partial<SimProcessFacts>;
  readonly paths?: Readonly<Record<string, SimPath>>;
  readonly uid?: number;
  readonly allowSameUser?: boolean;
  readonly prepare?: (kernel: SimKernel) => void;
}

function check(identity: Identity, scene: Scene = {}) {
  const kernel = new SimKernel({
    functions: [],
    accounts: [{ uid: 990, gid: 990, name: "nvmf" }, { uid: 0, gid: 0, name: "root" }],
    paths: { ...PATHS, ...scene.paths },
    uid: scene.uid ?? 0,
  });
  kernel.addProcess({ ...FACTS, ...scene.facts });
  const pidfd = kernel.openProcess(PID);
  scene.prepare?.(kernel);
  const placed = Object.entries(identity).map(([key, value]) => [key, { value, at: AT }]);
  const importer = { ...planned().importer, identity: Object.fromEntries(placed) };
  const allowSameUser = scene.allowSameUser ?? false;
  return checkPeer({ kernel, files, allowSameUser }, importer, pidfd);
}

const ALL: Identity = {
  user: "nvmf",
  group: "44",
  unit: "target.service",
  cgroup: "/system.slice/target.service",
  executable: "/usr/bin/target",
  sha256: SHA,
};

Deno.test("checkPeer accepts a process of which every field holds", async () => {
  const found = await check(ALL);
  assert.deepEqual([found.pid, found.uid, found.unit], [PID, 990, "target.service"]);
  for (const group of ["990", "4", "44"]) await check({ user: "990", group });
  for (const only of ["user", "unit", "cgroup"] as const) await check({ [only]: ALL[only] });
});

/** Each field alone decides, and says what was wanted and what was received. */
const WRONG: readonly (readonly [keyof ImporterIdentity, Partial<SimProcessFacts>, RegExp])[] = [
  ["user", { uid: 991 }, /user must be nvmf, uid 990 \(received uid 991\)/],
  ["group", { gid: 1, groups: [2] }, /group must be 44, gid 44 \(received gids 1, 2\)/],
  ["unit", { unit: "x.service" }, /unit must be target\.service \(received x\.service\)/],
  ["cgroup", { cgroup: "/x" }, /cgroup must be \/system\.slice\/target\.service \(received \/x\)/],
  [
    "executable",
    { executable: { path: "/usr/bin/target", device: 1n, inode: 78n, sha256: SHA } },
    /executable must be \/usr\/bin\/target \(received \/usr\/bin\/target\)/,
  ],
  [
    "executable",
    { executable: { path: "/usr/bin/target", device: 2n, inode: 77n, sha256: SHA } },
    /executable must be/,
  ],
  [
    "sha256",
    { executable: { path: "/usr/bin/target", device: 1n, inode: 77n, sha256: "00" } },
    /sha256 must be abab.* \(received 00\)/,
  ],
];

for (const [field, facts, message] of WRONG) {
  Deno.test(`checkPeer denies a process by its ${field}, whatever else holds`, async () => {
    await assert.rejects(check(ALL, { facts }), (error) => {
      assert.ok(error instanceof DeniedError);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /, and /, "nothing else is wrong");
      return true;
    });
    const { [field]: _, ...others } = ALL;
    await check(others, { facts });
  });
}

Deno.test("checkPeer names every field that does not hold", async () => {
  const facts = { uid: 991, unit: "x.service" };
  await assert.rejects(check(ALL, { facts }), /user must be .*, and unit must be/);
});

Deno.test("checkPeer takes what a process does not have for not shown", async () => {
  const { unit: _unit, cgroup: _cgroup, ...facts } = FACTS;
  const bare = (kernel: SimKernel) => {
    kernel.identifyProcess = () =>
      Promise.resolve({
        ...facts,
        groups: [],
        executable: { path: "/usr/bin/target", device: 1n, inode: 77n },
      });
  };
  for (const field of ["unit", "cgroup", "sha256"] as const) {
    const identity = { user: "nvmf", [field]: ALL[field] };
    await assert.rejects(check(identity, { prepare: bare }), /\(received none\)/);
  }
});

Deno.test("checkPeer compares a number without an entry in the host's tables", async () => {
  await check({ user: "12345" }, { facts: { uid: 12345 } });
  await assert.rejects(
    check({ user: "12345" }),
    /user must be 12345, uid 12345 \(received uid 990/,
  );
});

Deno.test("checkPeer denies what this host does not have", async () => {
  await assert.rejects(check({ user: "spdk" }), /user must be spdk, which this host does not have/);
  await assert.rejects(check({ user: "nvmf", group: "x" }), /group must be x, which this host/);
  const absent = { user: "nvmf", executable: "/usr/bin/absent" };
  await assert.rejects(check(absent), /absent, which is not on this host/);
});

Deno.test("checkPeer denies an executable that others could replace", async () => {
  for (const path of ["/usr/bin/target", "/usr/bin", "/usr"]) {
    const paths = { [path]: { ...PATHS[path], uid: 1000 } };
    const identity = { user: "nvmf", executable: "/usr/bin/target" };
    await assert.rejects(check(identity, { paths }), /others can replace it/);
    await check({ user: "nvmf" }, { paths });
  }
});

Deno.test("checkPeer takes a file alone for nobody", async () => {
  await assert.rejects(check({ executable: "/usr/bin/target", sha256: SHA }), DeniedError);
  await assert.rejects(check({ group: "44" }), /neither user nor unit nor cgroup/);
});

Deno.test("checkPeer refuses Bargate's own account unless that is accepted", async () => {
  await assert.rejects(check({ user: "nvmf" }, { uid: 990 }), (error) => {
    assert.ok(error instanceof HostNotReadyError);
    assert.match(error.message, /--allow-same-user/);
    return true;
  });
  await check({ user: "nvmf" }, { uid: 990, allowSameUser: true });
});

Deno.test("checkPeer asks for a hash only where the policy does", async () => {
  const asked: unknown[] = [];
  const prepare = (kernel: SimKernel) => {
    const real = kernel.identifyProcess.bind(kernel);
    kernel.identifyProcess = (pidfd, options) => {
      asked.push(options?.sha256);
      return real(pidfd, options);
    };
  };
  await check({ user: "nvmf" }, { prepare });
  await check({ user: "nvmf", sha256: SHA }, { prepare });
  assert.deepEqual(asked, [false, true]);
});

Deno.test("checkPeer refuses a process that has ended, before or meanwhile", async () => {
  const before = (kernel: SimKernel) => kernel.processes.get(PID)?.end();
  await assert.rejects(check(ALL, { prepare: before }), RefusedError);
  const meanwhile = (kernel: SimKernel) => {
    const account = kernel.account.bind(kernel);
    kernel.account = (user) => {
      kernel.processes.get(PID)?.end();
      return account(user);
    };
  };
  await assert.rejects(check(ALL, { prepare: meanwhile }), /the process has ended/);
});

Deno.test("checkPeer says why a process cannot be looked at", async () => {
  const failing = (errno: "EACCES" | "EAGAIN") => (kernel: SimKernel) => {
    kernel.identifyProcess = () => Promise.reject(refusal("open", errno, "/proc/4242/exe"));
  };
  await assert.rejects(check(ALL, { prepare: failing("EACCES") }), HostNotReadyError);
  await assert.rejects(check(ALL, { prepare: failing("EAGAIN") }), /does not hold still/);
});
