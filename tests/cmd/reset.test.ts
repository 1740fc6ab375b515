import "../../ffi/preload.ts";
import assert from "node:assert/strict";
import { askGuardian } from "../../cmd/ask_guardian.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { listenForOperators, removeSocket } from "../../cmd/operator_socket.ts";
import { ensureRuntimeFolder, runtimeFolder } from "../../cmd/runtime_folder.ts";
import {
  type ControlReply,
  type ControlRequest,
  ControlServer,
  encodeControl,
} from "../../engine/control.ts";
import { RefusedError } from "../../engine/errors.ts";
import { LinuxKernel } from "../../ffi/linux_kernel.ts";
import { SimKernel } from "../../sim/sim_kernel.ts";

const MAIN = new URL("../../cmd/main.ts", import.meta.url).pathname;
const kernel = new LinuxKernel();

/** A device that no other run of the tests has; root's guardians are all in one folder. */
const DOMAIN = (kernel.pid & 0xffff).toString(16).padStart(4, "0");
const DEVICE = `${DOMAIN}:ff:1f.6`;

/** What `bargate reset` says to a guardian that answers so. */
async function reset(reply: ControlReply, ...flags: readonly string[]) {
  const own = await Deno.makeTempDir({ prefix: "bargate-test-" });
  const folder = runtimeFolder(kernel.uid, own);
  await ensureRuntimeFolder(kernel.uid, folder);
  const { path, listener } = await listenForOperators(kernel, folder);
  const asked: ControlRequest[] = [];
  const server = new ControlServer(kernel, listener, (request) => {
    if (request.device !== DEVICE) return Promise.resolve({ type: "absent" });
    asked.push(request);
    return Promise.resolve(reply);
  });
  const ran = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-prompt", MAIN, "reset", DEVICE, ...flags],
    env: { XDG_RUNTIME_DIR: own },
    stdin: "null",
  }).output();
  server.close();
  await removeSocket(path);
  await Deno.remove(own, { recursive: true });
  await kernel.idle();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { status: ran.code, stdout: text(ran.stdout), stderr: text(ran.stderr), asked };
}

Deno.test("reset says what became of the grants", async () => {
  const reply: ControlReply = { type: "done", ended: 2, failed: 0, restored: 1 };
  const human = await reset(reply, "--method", "decode");
  assert.deepEqual(human.asked, [{ type: "reset", device: DEVICE, method: "decode" }]);
  assert.deepEqual([human.status, human.stderr], [ExitStatus.done, ""]);
  assert.match(human.stdout, /grants ended: 2, restored or renewed: 1\n$/);
  const json = await reset(reply, "--format", "json");
  assert.deepEqual(JSON.parse(json.stdout), { device: DEVICE, ended: 2, failed: 0, restored: 1 });
  assert.equal(json.status, ExitStatus.done);
});

Deno.test("reset exits with 6 when an end could not be seen", async () => {
  const reply: ControlReply = { type: "done", ended: 2, failed: 1, restored: 0 };
  const human = await reset(reply);
  assert.equal(human.status, ExitStatus.revokeFailed);
  assert.match(human.stdout, /COULD NOT BE SEEN: 1\n$/);
  const json = await reset(reply, "--format", "json");
  assert.equal(json.status, ExitStatus.revokeFailed);
  assert.equal(JSON.parse(json.stdout).failed, 1);
});

Deno.test("a refusal is the guardian's words, and moves no cursor", async () => {
  const { status, stderr, stdout } = await reset({ type: "refused", message: "no\x1b[2J\u202e" });
  assert.deepEqual([status, stdout], [ExitStatus.refused, ""]);
  assert.equal(stderr, "error: no<U+001B>[2J<U+202E>\n");
});

Deno.test("the help of reset says whose guardians it reaches", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-prompt", MAIN, "reset", "--help"],
  }).output();
  assert.match(new TextDecoder().decode(stdout), /Root's and each other\s+account's are apart/);
});

const REQUEST: ControlRequest = { type: "reset", device: DEVICE, method: "function" };

Deno.test("askGuardian believes nobody but root and its own account", async () => {
  const done = encodeControl({ type: "done", ended: 1, failed: 0, restored: 0 });
  for (const [uid, believed] of [[0, true], [1000, true], [1001, false]] as const) {
    const sim = new SimKernel({ functions: [], uid: 1000 });
    sim.peerCredentials = () => ({ pid: 7, uid, gid: 7 });
    const listener = sim.listen("/run/s");
    const answered = askGuardian(sim, "/run/s", REQUEST);
    const settled = Promise.allSettled([answered]);
    const socket = sim.accept(listener);
    assert.ok(socket !== undefined);
    if (believed) sim.send(socket, done);
    else assert.equal(sim.receive(socket), "end", "it was asked nothing");
    const [{ status }] = await settled;
    assert.equal(status, believed ? "fulfilled" : "rejected");
    if (!believed) await assert.rejects(answered, /account 1001 listens there/);
  }
});

Deno.test("askGuardian says that an answer is none, or does not come", async () => {
  for (const answer of ["{}", undefined]) {
    const sim = new SimKernel({ functions: [] });
    const listener = sim.listen("/run/s");
    const answered = askGuardian(sim, "/run/s", REQUEST);
    void Promise.allSettled([answered]);
    const socket = sim.accept(listener);
    assert.ok(socket !== undefined);
    if (answer !== undefined) sim.send(socket, new TextEncoder().encode(answer));
    else sim.close(socket);
    await assert.rejects(answered, RefusedError);
  }
  assert.equal(await askGuardian(new SimKernel({ functions: [] }), "/run/s", REQUEST), undefined);
});
