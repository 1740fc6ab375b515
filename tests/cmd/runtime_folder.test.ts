import "../../ffi/preload.ts";
import assert from "node:assert/strict";
import { CommandError } from "../../cmd/errors.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { listenForOperators, operatorSockets, removeSocket } from "../../cmd/operator_socket.ts";
import {
  checkRuntimeFolder,
  ensureRuntimeFolder,
  runtimeFolder,
} from "../../cmd/runtime_folder.ts";
import { LinuxKernel } from "../../ffi/linux_kernel.ts";

const kernel = new LinuxKernel();
const UID = kernel.uid;

/** Matches an error of status 4 whose message is like this. */
function notReady(message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof CommandError, String(error));
    assert.equal(error.status, ExitStatus.hostNotReady);
    assert.match(error.message, message);
    return true;
  };
}

async function withFolder(step: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "bargate-test-" });
  try {
    await step(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("only root has a folder without XDG_RUNTIME_DIR", () => {
  assert.equal(runtimeFolder(0, "/run/user/0"), "/run/bargate");
  assert.equal(runtimeFolder(1000, "/run/user/1000"), "/run/user/1000/bargate");
  const unset = Deno.env.get("XDG_RUNTIME_DIR") === undefined;
  if (unset) assert.throws(() => runtimeFolder(1000), notReady(/received none/));
  for (const bad of ["", "run"]) {
    assert.throws(() => runtimeFolder(1000, bad), notReady(/XDG_RUNTIME_DIR must name a private/));
  }
});

Deno.test("guardians of simulated devices have a folder in any case", () => {
  assert.equal(runtimeFolder(1000, "", "simulated"), "/tmp/bargate-1000");
  assert.equal(runtimeFolder(1000, "/run/user/1000", "simulated"), "/run/user/1000/bargate");
  assert.equal(runtimeFolder(0, "", "simulated"), "/run/bargate");
  assert.throws(() => runtimeFolder(1000, "run", "simulated"), notReady(/received "run"/));
});

Deno.test("the runtime folder is made for its account alone, and is then as it must be", async () => {
  await withFolder(async (above) => {
    const folder = `${above}/bargate`;
    assert.equal(await checkRuntimeFolder(UID, folder), false);
    await ensureRuntimeFolder(UID, folder);
    assert.equal(((await Deno.stat(folder)).mode ?? 0) & 0o777, 0o700);
    assert.equal(await checkRuntimeFolder(UID, folder), true);
    await ensureRuntimeFolder(UID, folder);
  });
});

Deno.test("a runtime folder that others can meddle with is not used", async () => {
  await withFolder(async (above) => {
    const folder = `${above}/bargate`;
    const refused = async (message: RegExp) => {
      await assert.rejects(ensureRuntimeFolder(UID, folder), notReady(message));
      await assert.rejects(checkRuntimeFolder(UID, folder), notReady(message));
    };
    await Deno.mkdir(folder, { mode: 0o750 });
    await refused(/nobody else can enter \(received account \d+, mode 750\); remove it/);
    await Deno.chmod(folder, 0o700);
    await Deno.chmod(above, 0o777);
    await refused(/nobody else's to write to/);
    await Deno.chmod(above, 0o1777);
    await ensureRuntimeFolder(UID, folder);
    await Deno.chmod(above, 0o700);
    await Deno.remove(folder);
    await Deno.symlink("/tmp", folder);
    await refused(/must be a folder/);
  });
});

Deno.test({
  name: "a runtime folder of another account is not used",
  ignore: UID !== 0,
  fn: () =>
    withFolder(async (folder) => {
      await Deno.chown(folder, 12345, 12345);
      await assert.rejects(checkRuntimeFolder(UID, folder), notReady(/received account 12345/));
      await Deno.chown(folder, 0, 0);
      assert.equal(await checkRuntimeFolder(UID, folder), true);
    }),
});

Deno.test("a runtime folder that cannot be made is said to be so", async () => {
  await assert.rejects(
    ensureRuntimeFolder(UID, "/nonexistent/bargate"),
    notReady(/folder above it must be there/),
  );
});

Deno.test("sockets of dead processes are removed, those of living ones and others' files stay", async () => {
  await withFolder(async (folder) => {
    const [dead, used] = [await deadPid(), await deadPid()];
    // A listener whose process cannot be seen, as in another pid namespace.
    const elsewhere = kernel.listen(`${folder}/${used}.sock`);
    const left = kernel.listen(`${folder}/${dead}.sock`);
    kernel.close(left);
    const parent = kernel.listen(`${folder}/${Deno.ppid}.sock`);
    kernel.close(parent);
    await Deno.writeTextFile(`${folder}/note`, "");
    const { path, listener } = await listenForOperators(kernel, folder);
    assert.equal(path, `${folder}/${kernel.pid}.sock`);
    const names = (await operatorSockets(folder)).map(({ pid }) => pid);
    assert.deepEqual(names, [used, Deno.ppid, kernel.pid].sort((a, b) => a - b));
    [listener, elsewhere].forEach((fd) => kernel.close(fd));
    await removeSocket(path);
    await removeSocket(path);
  });
});

/** The pid of a process that has ended. */
async function deadPid(): Promise<number> {
  const child = new Deno.Command("/bin/true").spawn();
  await child.status;
  return child.pid;
}

Deno.test("a path that is too long or taken is said to be so, with what to do", async () => {
  await withFolder(async (above) => {
    const long = `${above}/${"x".repeat(100)}`;
    await Deno.mkdir(long);
    await assert.rejects(listenForOperators(kernel, long), notReady(/at most 107 bytes; set XDG_/));
    await Deno.writeTextFile(`${above}/${kernel.pid}.sock`, "");
    await assert.rejects(listenForOperators(kernel, above), notReady(/in the way; remove/));
  });
});
