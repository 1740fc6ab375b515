import "../../ffi/preload.ts";
import assert from "node:assert/strict";
import { askGuardian } from "../../cmd/ask_guardian.ts";
import { askAround, resetDomain } from "../../cmd/domain_round.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { listenForOperators, removeSocket } from "../../cmd/operator_socket.ts";
import { ensureRuntimeFolder, runtimeFolder } from "../../cmd/runtime_folder.ts";
import {
  type ControlReply,
  type ControlRequest,
  ControlServer,
  encodeControlReply,
} from "../../engine/control.ts";
import { RefusedError } from "../../engine/errors.ts";
import { LinuxKernel } from "../../ffi/linux_kernel.ts";
import { SimKernel } from "../../sim/sim_kernel.ts";
import { settle } from "../engine/support.ts";

const MAIN = new URL("../../cmd/main.ts", import.meta.url).pathname;
const kernel = new LinuxKernel();

/** A device that no other run of the tests has; root's guardians are all in one folder. */
const DOMAIN = (kernel.pid & 0xffff).toString(16).padStart(4, "0");
const DEVICE = `${DOMAIN}:ff:1f.6`;

/** What `bargate reset` says to a guardian that answers so. */
async function reset(reply: ControlReply, ...flags: readonly string[]) {
  return await resetAs({ type: "reach", functions: [], hits: [] }, reply, ...flags);
}

/** The same where it has told what the reset would hit. */
async function resetAs(reach: ControlReply, reply: ControlReply, ...flags: readonly string[]) {
  const host = flags.includes("--sim")
    ? Object.assign(new LinuxKernel(), { simulated: true as const })
    : kernel;
  const own = await Deno.makeTempDir({ prefix: "bargate-test-" });
  const folder = runtimeFolder(kernel.uid, own);
  await ensureRuntimeFolder(kernel.uid, folder);
  const { path, listener } = await listenForOperators(host, folder);
  const asked: ControlRequest[] = [];
  const server = new ControlServer(host, listener, (request) => {
    if (!("device" in request) || request.device !== DEVICE) {
      return Promise.resolve({ type: "absent" });
    }
    asked.push(request);
    return Promise.resolve(request.type === "reach" ? reach : reply);
  });
  const ran = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-prompt", MAIN, "reset", DEVICE, ...flags],
    env: { XDG_RUNTIME_DIR: own },
    stdin: "null",
  }).output();
  server.close();
  await removeSocket(path);
  await Deno.remove(own, { recursive: true });
  await host.idle();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { status: ran.code, stdout: text(ran.stdout), stderr: text(ran.stderr), asked };
}

Deno.test("reset says what became of the grants", async () => {
  const reply: ControlReply = { type: "done", ended: 2, failed: 0, restored: 1, devices: [] };
  const human = await reset(reply, "--method", "decode");
  assert.deepEqual(human.asked, [
    { type: "reach", device: DEVICE, method: "decode" },
    { type: "reset", device: DEVICE, method: "decode", domain: false },
  ]);
  assert.deepEqual([human.status, human.stderr], [ExitStatus.done, ""]);
  assert.match(human.stdout, /grants ended: 2, restored or renewed: 1\n$/);
  const json = await reset(reply, "--format", "json");
  assert.deepEqual(JSON.parse(json.stdout), {
    device: DEVICE,
    ended: 2,
    failed: 0,
    restored: 1,
    devices: [],
  });
  assert.equal(json.status, ExitStatus.done);
});

Deno.test("reset exits with 6 when an end could not be seen", async () => {
  const reply: ControlReply = { type: "done", ended: 2, failed: 1, restored: 0, devices: [] };
  const human = await reset(reply);
  assert.equal(human.status, ExitStatus.revokeFailed);
  assert.match(human.stdout, /COULD NOT BE SEEN: 1\n$/);
  const json = await reset(reply, "--format", "json");
  assert.equal(json.status, ExitStatus.revokeFailed);
  assert.equal(JSON.parse(json.stdout).failed, 1);
});

function jsonLines(text: string): readonly unknown[] {
  assert.ok(text.endsWith("\n"));
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

const HITS = [{
  export: "lab/one",
  importer: "lab/engine\x1b[2J",
  device: `${DOMAIN}:ff:1f.7`,
  through: "0000:00:16.0",
}];
const REACH: ControlReply = {
  type: "reach",
  functions: [{ address: `${DOMAIN}:ff:1f.7`, through: "0000:00:16.0" }],
  hits: HITS,
};

Deno.test("reset does nothing where it would hit grants of others, and lists them", async () => {
  const human = await resetAs(REACH, { type: "absent" }, "--method", "bus");
  assert.deepEqual([human.status, human.stderr], [ExitStatus.denied, ""]);
  assert.deepEqual(human.asked.map(({ type }) => type), ["reach"]);
  assert.match(
    human.stdout,
    /^denied: a reset of .* nothing was done\n {2}lab\/one to lab\/engine</,
  );
  assert.match(
    human.stdout,
    /on [0-9a-f]{4}:ff:1f\.7, by the reset of 0000:00:16\.0\nsay --domain/,
  );
  const json = await resetAs(REACH, { type: "absent" }, "--method", "bus", "--format", "json");
  assert.equal(json.status, ExitStatus.denied);
  assert.deepEqual(JSON.parse(json.stdout), {
    device: DEVICE,
    method: "bus",
    denied: true,
    hits: HITS,
  });
});

Deno.test("what is denied of a simulated device says that it is simulated", async () => {
  const bus = ["--sim", "--method", "bus"];
  const human = await resetAs(REACH, { type: "absent" }, ...bus);
  assert.equal(human.status, ExitStatus.denied, human.stderr);
  assert.match(human.stdout, /^denied: a reset of \S+ \(simulated\) would hit/);
  const json = await resetAs(REACH, { type: "absent" }, ...bus, "--format", "json");
  assert.equal(JSON.parse(json.stdout).simulated, true);
});

Deno.test("a guardian that refuses what has changed since it was asked is believed", async () => {
  const alone: ControlReply = { type: "reach", functions: [], hits: [] };
  const json = await resetAs(alone, { type: "denied", hits: HITS }, "--format", "json");
  assert.equal(json.status, ExitStatus.denied);
  assert.deepEqual(JSON.parse(json.stdout).hits, HITS);
});

Deno.test("reset with --domain says what became of the grants of each device", async () => {
  const grants = [{ export: "lab/one", importer: "lab/engine", became: "restored" }] as const;
  const devices = [{ device: DEVICE, grants: [] }, { device: `${DOMAIN}:ff:1f.7`, grants }];
  const reply: ControlReply = { type: "done", ended: 0, failed: 0, restored: 1, devices };
  const human = await resetAs(REACH, reply, "--method", "bus", "--domain");
  assert.equal(human.status, ExitStatus.done);
  assert.deepEqual(human.asked.at(-1), {
    type: "reset",
    device: DEVICE,
    method: "bus",
    domain: true,
  });
  assert.match(human.stdout, /1f\.7 {2}lab\/one to lab\/engine: restored, or renewed\n$/);
  const bus = ["--method", "bus", "--format", "jsonl"];
  const lines = await resetAs(REACH, reply, "--domain", ...bus);
  assert.equal(lines.status, ExitStatus.done);
  assert.deepEqual(jsonLines(lines.stdout), [
    { device: `${DOMAIN}:ff:1f.7`, ...grants[0] },
    { device: DEVICE, ended: 0, failed: 0, restored: 1 },
  ]);
  const denied = await resetAs(REACH, { type: "absent" }, ...bus);
  assert.equal(denied.status, ExitStatus.denied);
  assert.deepEqual(jsonLines(denied.stdout), [
    { hit: HITS[0] },
    { device: DEVICE, method: "bus", denied: true },
  ]);
});

Deno.test("askAround and resetDomain go to each guardian of the account", async () => {
  const sim = new SimKernel({ functions: [] });
  const asked: string[] = [];
  const answers: Readonly<Record<string, ControlReply>> = {
    "1 reach": { type: "absent" },
    "2 reach": REACH,
    "1 hit-by": { type: "hits", hits: [{ ...HITS[0], export: "far/two" }] as never },
    "3 hit-by": { type: "refused", message: "too old" },
    "3 make-way": { type: "refused", message: "too old" },
    "1 make-way": { type: "done", ended: 1, failed: 0, restored: 0, devices: [] },
    "2 reset": { type: "done", ended: 2, failed: 0, restored: 0, devices: [] },
  };
  const servers = [1, 2, 3].map((pid) =>
    new ControlServer(sim, sim.listen(`/run/${pid}`), (request) => {
      const { type } = request;
      if (!isLook(request)) asked.push(`${pid} ${type}`);
      return Promise.resolve(answers[`${pid} ${type}`] ?? { type: "absent" });
    })
  );
  const sockets = [1, 2, 3, 4].map((pid) => ({ pid, path: `/run/${pid}` }));
  const request = { device: DEVICE, method: "bus" } as const;
  const round = await askAround(sim, sockets, request);
  assert.ok(round !== undefined);
  assert.deepEqual(round.hits.map((hit) => hit.export), ["lab/one", "far/two"]);
  assert.deepEqual(round.silent, ["too old"]);
  const done = await resetDomain(sim, sockets, request, round, true);
  assert.ok("ended" in done);
  assert.deepEqual([done.ended, done.failed, done.silent], [3, 1, ["too old"]]);
  assert.deepEqual(asked, [
    "1 reach",
    "2 reach",
    "3 reach",
    "1 hit-by",
    "3 hit-by",
    "1 make-way",
    "3 make-way",
    "2 reset",
  ]);
  for (const server of servers) server.close();
});

const ABSENT: ControlReply = { type: "absent" };
/** Longer than anybody is given here who does not answer at all, ms. */
const BUSY_MS = 60;

async function answerAfter(ms: number, answer: ControlReply): Promise<ControlReply> {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return answer;
}

/** Whether it is asked only to see whether it answers. */
function isLook(request: ControlRequest): boolean {
  return request.type === "hit-by" && request.functions.length === 0;
}

/** Guardians that answer so; one without answers is stopped: it listens, and never says a word. */
function play(answers: readonly (Readonly<Record<string, ControlReply | "busy">> | undefined)[]) {
  const sim = new SimKernel({ functions: [] });
  const asked: string[] = [];
  const servers = answers.flatMap((each, index) => {
    const listener = sim.listen(`/run/${index}`);
    if (each === undefined) return [];
    return new ControlServer(sim, listener, (request) => {
      const { type } = request;
      if (!isLook(request)) asked.push(`${index} ${type}`);
      const answer = each[type] ?? ABSENT;
      return answer === "busy" && !isLook(request)
        ? answerAfter(BUSY_MS, REACH)
        : Promise.resolve(answer === "busy" ? ABSENT : answer);
    });
  });
  const sockets = answers.map((_, pid) => ({ pid, path: `/run/${pid}` }));
  return { sim, asked, sockets, close: () => servers.forEach((server) => server.close()) };
}

const BUS_RESET = { device: DEVICE, method: "bus" } as const;

Deno.test("a guardian that refuses keeps nobody from finding the one that has the device", async () => {
  const refused: ControlReply = { type: "refused", message: "it is borrowed" };
  const { sim, sockets, close } = play([{ reach: refused }, { reach: REACH }, {}]);
  const round = await askAround(sim, sockets, BUS_RESET);
  assert.equal(round?.owner, "/run/1");
  const nobody = askAround(sim, sockets.filter(({ pid }) => pid !== 1), BUS_RESET);
  await assert.rejects(nobody, { name: "RefusedError", message: "it is borrowed" });
  assert.equal(await askAround(sim, sockets.slice(2), BUS_RESET), undefined);
  close();
});

Deno.test("a guardian that is stopped keeps nobody from a reset, and is told of", async () => {
  const { sim, sockets, close } = play([
    undefined,
    { reach: REACH },
    { "hit-by": { type: "hits", hits: HITS } },
  ]);
  const round = await askAround(sim, sockets, BUS_RESET, 20);
  assert.equal(round?.owner, "/run/1");
  assert.deepEqual(round.silent, [`process ${sim.pid} (/run/0) has not answered within 0.02 s`]);
  assert.equal(round.hits.length, 2);
  close();
});

Deno.test("a guardian that is stopped is not waited for as long as a reset can take", async () => {
  const done: ControlReply = { type: "done", ended: 1, failed: 0, restored: 0, devices: [] };
  const { sim, sockets, close } = play([undefined, { reach: REACH, reset: done }, undefined]);
  const round = await askAround(sim, sockets, BUS_RESET, 20);
  assert.ok(round !== undefined);
  const outcome = await resetDomain(sim, sockets, BUS_RESET, round, true, 20);
  assert.ok("silent" in outcome);
  assert.deepEqual([outcome.ended, outcome.failed], [1, 2]);
  for (const [index, why] of outcome.silent.entries()) {
    assert.equal(why, `process ${sim.pid} (/run/${index * 2}) has not answered within 0.02 s`);
  }
  // Nobody has it, as far as anybody says.
  const nobody = askAround(sim, sockets.filter(({ pid }) => pid !== 1), BUS_RESET, 20);
  await assert.rejects(nobody, { name: "RefusedError", message: /\(\/run\/0\) has not answered/ });
  close();
});

Deno.test("a guardian that is busy with a device is waited for as long as it answers", async () => {
  const { sim, sockets, close } = play([{ reach: "busy" }]);
  const round = await askAround(sim, sockets, BUS_RESET, 20);
  assert.equal(round?.owner, "/run/0");
  close();
});

Deno.test("with --domain every other guardian makes way, also one that had nothing to hit", async () => {
  const way: ControlReply = { type: "done", ended: 2, failed: 0, restored: 0, devices: [] };
  const none: ControlReply = { type: "hits", hits: [] };
  const { sim, asked, sockets, close } = play([{ "hit-by": none, "make-way": way }, {
    reach: REACH,
  }]);
  const round = await askAround(sim, sockets, BUS_RESET);
  assert.ok(round !== undefined);
  const refused = resetDomain(sim, sockets, BUS_RESET, round, true);
  await assert.rejects(
    refused,
    /other guardians have ended 2 grants already, and 0 ends could not/,
  );
  assert.deepEqual(asked.slice(-2), ["0 make-way", "1 reset"]);
  await assert.rejects(resetDomain(sim, sockets, BUS_RESET, round, false), RefusedError);
  assert.deepEqual(asked.slice(-2), ["1 reset", "1 reset"], "nobody ends anything without consent");
  close();
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

const REQUEST: ControlRequest = {
  type: "reset",
  device: DEVICE,
  method: "function",
  domain: false,
};

Deno.test("askGuardian believes nobody but root and its own account", async () => {
  const done = encodeControlReply({ type: "done", ended: 1, failed: 0, restored: 0, devices: [] });
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

Deno.test("askGuardian keeps no descriptor that comes with an answer, or after it", async () => {
  const sim = new SimKernel({ functions: [] });
  const listener = sim.listen("/run/s");
  const sent = sim.eventFd("sent");
  const answered = askGuardian(sim, "/run/s", REQUEST);
  const socket = sim.accept(listener);
  assert.ok(socket !== undefined);
  sim.send(socket, encodeControlReply({ type: "absent" }), [sent]);
  sim.send(socket, new Uint8Array(), [sent]);
  assert.deepEqual(await answered, { type: "absent" });
  [sent, socket, listener].forEach((fd) => sim.close(fd));
  await settle();
  assert.deepEqual(sim.table.open(), []);
});

Deno.test("askGuardian says that a request is too long", async () => {
  const sim = new SimKernel({ functions: [] });
  sim.listen("/run/s");
  const functions = Array.from({ length: 8000 }, () => DEVICE);
  await assert.rejects(
    askGuardian(sim, "/run/s", { type: "hit-by", functions }),
    /Cannot ask \/run\/s: the request does not fit 65536 bytes/,
  );
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
