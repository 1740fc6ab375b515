/** A device fd that its owner sends when it is asked for it. @module */
import assert from "node:assert/strict";
import {
  DeniedError,
  HostNotReadyError,
  IdentityDriftError,
  RefusedError,
} from "../../engine/errors.ts";
import type { OwnerIdentity } from "../../policy/model.ts";
import { SimListener, SimSocket } from "../../sim/sockets.ts";
import { SimDeviceFile, SimEventFd } from "../../sim/vfio.ts";
import { type Owned, owned, OWNER, OWNER_PID } from "./owner_scene.ts";
import { AT, type GrantSpec, settle, simFunction, SSD } from "./support.ts";

const PATH = "/run/spdk/bargate.sock";
const SOCKET = { value: PATH, at: AT };
const LENDS: OwnerIdentity = { ...OWNER, socket: SOCKET };
const STRANGER = { pid: 88, uid: 65534, gid: 65534 };
const SELF = { pid: OWNER_PID, uid: 65534, gid: 65534 };

/** What an owner answers; descriptors are sent as copies. */
interface Answer {
  readonly packet?: unknown;
  readonly fds?: readonly number[];
  readonly sender?: typeof SELF;
}

interface Lending extends Owned {
  /** What it was asked. */
  readonly questions: Record<string, unknown>[];
  /** Descriptors of its ends of the connections. */
  readonly connections: number[];
  /** How it answers from now on; absent: not at all. */
  answer: ((question: Record<string, unknown>) => Answer) | undefined;
}

async function lending(
  spec: GrantSpec = {},
  unit?: string,
  listens: typeof SELF = SELF,
  more: readonly GrantSpec[] = [],
): Promise<Lending> {
  const base = await owned({ owner: LENDS, ...spec }, unit, {}, more);
  const { kernel } = base.scene;
  kernel.addProcess({ ...STRANGER, unit: "tgt.service" });
  const it: Lending = {
    ...base,
    questions: [],
    connections: [],
    answer: () => ({ fds: [base.node.number] }),
  };
  const listener = kernel.listenAs(listens, PATH);
  const file = kernel.table.get(listener);
  assert.ok(file instanceof SimListener);
  file.onReadable = () => it.connections.push(accept(it, listener));
  return it;
}

function accept(it: Lending, listener: number): number {
  const { kernel } = it.scene;
  const connection = kernel.acceptAs(listener) ?? -1;
  const socket = kernel.table.get(connection);
  assert.ok(socket instanceof SimSocket);
  socket.onReadable = () => {
    const asked = socket.queue.shift();
    if (asked === undefined) return void kernel.table.close(connection);
    const question = JSON.parse(new TextDecoder().decode(asked.bytes));
    it.questions.push(question);
    const answer = it.answer?.(question);
    if (answer === undefined) return;
    const { packet = { v: 1, type: "lent" }, fds = [], sender = SELF } = answer;
    kernel.sendAs(sender, connection, new TextEncoder().encode(JSON.stringify(packet)), fds);
  };
  return connection;
}

Deno.test("an owner that is asked for its device fd sends it, and no copy is left", async () => {
  const it = await lending();
  const { scene } = it;
  await scene.start();
  assert.deepEqual(it.questions, [{ v: 1, type: "lend", device: SSD }]);
  assert.equal(it.device.references, 1, "the owner's own");
  assert.ok(!scene.buffer().revoked);
  for (const end of it.connections) {
    assert.equal(scene.kernel.table.get(end), undefined, "it read the end, and closed its own");
  }
  assert.equal((await scene.finish()).trouble, false);
  it.end();
  scene.kernel.processes.get(OWNER_PID)?.end();
});

Deno.test("the end of the connection tells the owner that the copy is closed", async () => {
  const it = await lending();
  const references: number[] = [];
  const { shutDown } = SimSocket.prototype;
  it.answer = () => {
    const end = it.scene.kernel.table.get(it.connections.at(-1) ?? -1) as SimSocket;
    const { peer } = end;
    assert.ok(peer !== undefined);
    peer.shutDown = () => {
      references.push(it.device.references);
      shutDown.call(peer);
    };
    return { fds: [it.node.number] };
  };
  await it.scene.start();
  assert.deepEqual(references, [1]);
  await it.scene.finish();
});

Deno.test("the end does not come before a copy that was refused is closed", async () => {
  const it = await lending();
  const references: number[] = [];
  it.answer = () => {
    const end = it.scene.kernel.table.get(it.connections.at(-1) ?? -1) as SimSocket;
    end.onReadable = () => references.push(it.device.references);
    return { fds: [it.node.number, it.node.number] };
  };
  await assert.rejects(it.scene.guardian.open(), /it sent 2 descriptors/);
  await settle();
  assert.deepEqual(references, [1]);
});

Deno.test("each export asks again", async () => {
  const { scene, questions } = await lending({}, undefined, SELF, [{ name: "second" }]);
  await scene.start();
  assert.equal(questions.length, 2);
  assert.equal((await scene.finish()).trouble, false);
});

Deno.test("what a lending owner holds revoked is suspended; its close ends the grant", async () => {
  const it = await lending();
  const { scene } = it;
  await scene.start();
  it.device.device.enterLowPower();
  await scene.clock.advance(6_000);
  assert.ok(scene.story().includes("suspended"));
  it.device.device.exitLowPower();
  await scene.clock.advance(6_000);
  assert.ok(scene.story().includes("restored"));
  it.close();
  assert.ok(scene.buffer().revoked);
  await scene.clock.advance(6_000);
  assert.ok(scene.story().includes("ended owner-gone close"));
  assert.equal((await scene.finish()).trouble, false);
});

Deno.test("whom the policy does not name is not asked", async () => {
  const other = await lending({}, "other.service");
  await assert.rejects(
    other.scene.guardian.open(),
    (error: Error) =>
      error instanceof DeniedError && /unit must be tgt.service/.test(error.message),
  );
  assert.deepEqual(other.questions, []);
  const stranger = await lending({}, "tgt.service", STRANGER);
  await assert.rejects(
    stranger.scene.guardian.open(),
    (error: Error) =>
      error instanceof HostNotReadyError &&
      /process 88, who listens on .*, does not have it open/.test(error.message),
  );
  assert.deepEqual(stranger.questions, []);
});

Deno.test("the pid file is another thing that must hold", async () => {
  const pidFile = { value: "/run/spdk.pid", at: AT };
  const it = await lending({ owner: { ...LENDS, pidFile } });
  it.scene.files.tree["/run/spdk.pid"] = "88\n";
  Object.assign(it.scene.kernel.host, {
    paths: Object.fromEntries(["/run/spdk.pid", "/run", "/"].map((path) => [path, {}])),
  });
  await assert.rejects(
    it.scene.guardian.open(),
    /process id must be 88, as \/run\/spdk.pid says \(received 77\)/,
  );
});

Deno.test("where nobody listens, that is said", async () => {
  const { scene } = await owned({ owner: LENDS });
  await assert.rejects(scene.guardian.open(), /nobody listens there, .*is the owner running/);
});

Deno.test("another process on the path is not asked", async () => {
  const it = await lending();
  const { kernel } = it.scene;
  const connect = kernel.connect.bind(kernel);
  let connections = 0;
  kernel.connect = (path) => {
    if (++connections === 2) kernel.listenAs(STRANGER, PATH);
    return connect(path);
  };
  await assert.rejects(it.scene.guardian.open(), /process 88 listens on .* by now/);
  assert.deepEqual(it.questions, []);
});

Deno.test("an owner that does not answer is waited for 10 s", async () => {
  const it = await lending();
  it.answer = undefined;
  const opened = it.scene.guardian.open();
  void Promise.allSettled([opened]);
  await it.scene.clock.advance(9_999);
  assert.equal(it.questions.length, 1);
  await it.scene.clock.advance(1);
  await assert.rejects(opened, /no answer came within 10 s/);
  assert.equal(it.device.references, 1);
});

Deno.test("an answer that comes too late leaves nothing open", async () => {
  const it = await lending();
  const goOn = it.scene.kernel.stall("recvmsg");
  const opened = it.scene.guardian.open();
  void Promise.allSettled([opened]);
  await it.scene.clock.advance(10_000);
  await assert.rejects(opened, /no answer came within 10 s/);
  goOn();
  await settle();
  assert.equal(it.device.references, 1);
});

interface Wrong {
  readonly what: string;
  readonly answer: (it: Lending) => Answer;
  readonly message: RegExp;
  readonly error?: typeof RefusedError | typeof IdentityDriftError;
}

const LONG = "x".repeat(70_000);
const OTHER = "0000:02:00.0";

const WRONG: readonly Wrong[] = [
  {
    what: "no descriptor",
    answer: () => ({}),
    message: /it sent 0 descriptors where one is asked for/,
  },
  {
    what: "two descriptors",
    answer: ({ node }) => ({ fds: [node.number, node.number] }),
    message: /it sent 2 descriptors where one is asked for/,
  },
  {
    what: "the fd of another device",
    answer: ({ scene: { kernel } }) => {
      const device = kernel.devices.get(`/dev/vfio/devices/${OTHER}`);
      assert.ok(device !== undefined);
      return { fds: [kernel.table.install(new SimDeviceFile(device))] };
    },
    message: /process 77, sent a descriptor of device 0000:02:00.0/,
    error: IdentityDriftError,
  },
  {
    what: "an eventfd",
    answer: ({ scene: { kernel } }) => ({ fds: [kernel.table.install(new SimEventFd())] }),
    message: /sent a descriptor of a file \("anon_inode:\[eventfd\]"\), and no VFIO device/,
    error: IdentityDriftError,
  },
  {
    what: "an answer that is too long",
    answer: ({ node }) => ({ packet: { v: 1, type: "lent", LONG }, fds: [node.number] }),
    message: /its answer is longer than 65536 bytes/,
  },
  {
    what: "a refusal",
    answer: () => ({ packet: { v: 1, type: "refused", message: "not\u001b[2J now" } }),
    message: /it refuses, and says "not\\u001b\[2J now"/,
  },
  {
    what: "another version",
    answer: ({ node }) => ({ packet: { v: 2, type: "lent" }, fds: [node.number] }),
    message: /its answer is no "lent" of version 1/,
  },
  {
    what: "no object",
    answer: ({ node }) => ({ packet: 7, fds: [node.number] }),
    message: /the packet is no JSON object/,
  },
  {
    what: "an answer of another process",
    answer: ({ node }) => ({ fds: [node.number], sender: STRANGER }),
    message: /the answer came from process 88, which is not the owner/,
  },
];

for (const { what, answer, message, error = RefusedError } of WRONG) {
  Deno.test(`an owner that sends ${what} lends nothing, and nothing of it is kept`, async () => {
    const it = await lending();
    it.scene.kernel.devices.set(
      `/dev/vfio/devices/${OTHER}`,
      new (it.device.device.constructor as typeof import("../../sim/vfio.ts").SimVfioDevice)(
        simFunction(OTHER),
      ),
    );
    const before = new Set(it.scene.kernel.table.open().map(({ number }) => number));
    let sent: readonly number[] = [];
    it.answer = () => {
      const made = answer(it);
      sent = made.fds ?? [];
      return made;
    };
    await assert.rejects(
      it.scene.guardian.open(),
      (thrown: Error) => thrown instanceof error && message.test(thrown.message),
    );
    await settle();
    const left = it.scene.kernel.table.open().map(({ number }) => number)
      .filter((number) => !before.has(number) && !sent.includes(number));
    assert.deepEqual(left, []);
    assert.equal(it.device.references, 1);
  });
}

for (
  const [flaw, words] of [
    ["descriptors-lost", /its answer lost descriptors: .*RLIMIT_NOFILE/],
    ["no-sender", /its answer does not say who sent it/],
  ] as const
) {
  Deno.test(`an answer with the flaw ${flaw} is not called too long`, async () => {
    const it = await lending();
    const { kernel } = it.scene;
    const receive = kernel.receive.bind(kernel);
    kernel.receive = (socket) => {
      const packet = receive(socket);
      return typeof packet === "string" ? packet : { ...packet, flaw };
    };
    await assert.rejects(it.scene.guardian.open(), words);
    await settle();
    assert.equal(it.device.references, 1);
  });
}

Deno.test("an owner that hangs up instead of answering is told of", async () => {
  const it = await lending();
  it.answer = () => {
    it.scene.kernel.table.close(it.connections.at(-1) ?? -1);
    return undefined as unknown as Answer;
  };
  await assert.rejects(it.scene.guardian.open(), /closed the connection without an answer/);
});

Deno.test("a file that takes for ever to close delays nothing", async () => {
  const it = await lending();
  it.answer = () => ({ fds: [it.scene.kernel.table.install(new SimEventFd())] });
  it.scene.kernel.stall("close", "received on");
  const opened = it.scene.guardian.open();
  void Promise.allSettled([opened]);
  await it.scene.clock.advance(100);
  await assert.rejects(opened, /and no VFIO device/);
});

/** So that it delays neither the opening nor the end. */
const LATE_CLOSE = "is the owner's to wait for";

/** The close of Bargate's nth connection does not return. */
function stallConnection({ scene: { kernel } }: Lending, nth: number): void {
  const enter = kernel.enter.bind(kernel);
  let closed = 0;
  kernel.enter = (call, subject) =>
    call === "close" && subject === PATH && ++closed === nth
      ? Promise.withResolvers<void>().promise
      : enter(call, subject);
}

Deno.test(`what comes on the connection that only looks ${LATE_CLOSE}`, async () => {
  const it = await lending({}, "other.service");
  stallConnection(it, 1);
  const { kernel } = it.scene;
  const close = kernel.close.bind(kernel);
  kernel.close = (fd) => {
    assert.notEqual(fd.what, PATH, "closed on the event loop");
    close(fd);
  };
  const opened = it.scene.guardian.open();
  void Promise.allSettled([opened]);
  await it.scene.clock.advance(100);
  await assert.rejects(opened, /unit must be tgt.service/);
});

Deno.test(`what comes after a right answer ${LATE_CLOSE}`, async () => {
  const it = await lending();
  stallConnection(it, 2);
  await it.scene.start();
  assert.equal(it.device.references, 1, "the owner's own");
  assert.equal((await it.scene.finish()).trouble, false);
});

Deno.test("a copy that could not be closed ends no connection, and no buffer is left", async () => {
  const it = await lending();
  const { kernel } = it.scene;
  const shut: number[] = [];
  it.answer = () => {
    kernel.shutdown = ({ number }) => void shut.push(number);
    kernel.failNext("close", "EIO");
    return { fds: [it.node.number] };
  };
  await assert.rejects(it.scene.guardian.open());
  assert.deepEqual(shut, []);
  const kinds = kernel.table.open().map(({ kind }) => kind);
  assert.ok(!kinds.includes("dma-buf"), kinds.join());
});
