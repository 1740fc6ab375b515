import assert from "node:assert/strict";
import fc from "fast-check";
import { ConnectedPeer } from "../../engine/connected_peer.ts";
import {
  DeniedError,
  HostNotReadyError,
  InterruptedError,
  RefusedError,
} from "../../engine/errors.ts";
import type { ImporterRule } from "../../policy/model.ts";
import type { Files } from "../../host/files.ts";
import { SimDmaBuf } from "../../sim/vfio.ts";
import { SimSocket } from "../../sim/sockets.ts";
import { AT, countsOf, type GrantSpec, planned, Scene, settle, SSD } from "./support.ts";
import { runs } from "../support/runs.ts";

const PATH = "/run/importer.sock";
const PEER = { pid: 500, uid: 65534, gid: 65534 };
const OTHER = { pid: 501, uid: 65534, gid: 65534 };
const files = { realPath: (path: string) => path } as Files;

const NOBODY: ImporterRule = planned().importer;

/** A guardian, and an importer that was there before and listens. */
class PeerScene extends Scene {
  readonly source: ConnectedPeer;
  readonly #listener: number;
  #socket: number | undefined;
  #met: Promise<void> | undefined;
  #ran: ReturnType<Scene["guardian"]["run"]> | undefined;

  constructor(specs: readonly GrantSpec[] = [{}], importer = NOBODY) {
    super(specs);
    for (const facts of [PEER, OTHER]) this.kernel.addProcess(facts);
    this.#listener = this.kernel.listenAs(PEER, PATH);
    this.source = new ConnectedPeer({ path: PATH, importer, files, allowSameUser: false });
  }

  /** Bargate connects; the importer accepts. */
  async connect(): Promise<void> {
    this.#met = this.guardian.meet(this.source);
    void Promise.allSettled([this.#met]);
    await settle();
    this.#socket = this.kernel.acceptAs(this.#listener);
  }

  /** How the meeting ends. */
  get met(): Promise<void> {
    if (this.#met === undefined) throw new RangeError("nobody has met");
    return this.#met;
  }

  /** The importer's end of the connection. */
  get socket(): number {
    return this.#socket ?? -1;
  }

  /** Sends a packet, as the importer or as somebody else who has its socket. */
  async say(packet: unknown, fds: readonly number[] = [], sender = PEER): Promise<void> {
    const bytes = new TextEncoder().encode(JSON.stringify(packet));
    this.kernel.sendAs(sender, this.socket, bytes, fds);
    await settle();
  }

  /** All that it takes for the importer to have its grants. */
  async deliver(): Promise<void> {
    await this.connect();
    await this.say({ type: "hello", v: 1 });
    await this.met;
    await this.guardian.open();
    await this.run();
  }

  async run(): Promise<void> {
    this.#ran = this.guardian.run(this.source);
    void Promise.allSettled([this.#ran]);
    await settle();
  }

  /** Packets that wait for the importer, with the files in them, which are its from here on. */
  heard(): { type: unknown; packet: Record<string, unknown>; files: readonly unknown[] }[] {
    const socket = this.kernel.table.get(this.socket);
    if (!(socket instanceof SimSocket)) throw new RangeError("the importer has hung up");
    return socket.queue.splice(0).map(({ bytes, files: sent }) => {
      const packet = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
      return { type: packet["type"], packet, files: sent };
    });
  }

  /** The buffers that came, held by the importer until it drops them. */
  buffers(): SimDmaBuf[] {
    return this.heard().flatMap(({ files: sent }) => sent).filter((it) => it instanceof SimDmaBuf);
  }

  /** The importer closes its end. */
  hangUp(): void {
    this.kernel.table.close(this.socket);
  }

  /** The importer ends: its descriptors are closed before. */
  die(): void {
    this.hangUp();
    this.kernel.processes.get(PEER.pid)?.end();
  }

  async ended(): ReturnType<Scene["guardian"]["run"]> {
    await this.clock.advance(10_000);
    if (this.#ran === undefined) throw new RangeError("nothing runs");
    return await this.#ran;
  }

  /** Nothing of Bargate is left: what is open is the importer's. */
  assertClean(): void {
    const left = this.kernel.table.open().filter(({ number }) =>
      number !== this.#listener && number !== this.#socket
    );
    assert.deepEqual(left.map(({ kind }) => kind), []);
    assert.ok([...this.kernel.devices.values()].every(({ isOpen }) => !isOpen));
    const count = (type: string) => this.events.filter((event) => event.type === type).length;
    assert.equal(count("ended"), count("planned"));
  }
}

Deno.test("send: the importer says hello, gets its buffer in a packet, and ends all by hanging up", async () => {
  const scene = new PeerScene();
  await scene.deliver();
  const heard = scene.heard();
  assert.deepEqual(heard.map(({ type, files: sent }) => [type, sent.length]), [
    ["hello", 0],
    ["granted", 1],
  ]);
  assert.equal(heard[1]?.packet["fdName"], undefined);
  const [buffer] = heard[1]?.files ?? [];
  assert.ok(buffer instanceof SimDmaBuf && !buffer.revoked);
  buffer.references--;
  scene.hangUp();
  assert.deepEqual(await scene.ended(), { trouble: false });
  assert.deepEqual(scene.story(), [
    "device-opened",
    "planned",
    "exported",
    "importer-connected",
    "delivered",
    "importer-ended",
    "revoking importer-gone",
    "ended importer-gone release",
    "device-closed",
  ]);
  scene.assertClean();
});

Deno.test("send: the importer's exit ends all, also where a descendant keeps connection and buffer", async () => {
  const scene = new PeerScene();
  await scene.deliver();
  const [buffer] = scene.buffers();
  scene.kernel.processes.get(PEER.pid)?.end();
  await scene.ended();
  assert.ok(buffer?.revoked);
  assert.ok(scene.story().includes("ended importer-gone close"));
  scene.assertClean();
});

Deno.test("send: a signal tells the importer, waits for its grace, and leaves it alone", async () => {
  const scene = new PeerScene();
  await scene.deliver();
  const [buffer] = scene.buffers();
  const down = scene.guardian.shutdown("SIGTERM");
  await settle();
  assert.deepEqual(scene.heard().map(({ type }) => type), ["revoking"]);
  assert.equal(buffer?.revoked, false, "it has its grace");
  await scene.clock.advance(2_100);
  await down;
  assert.ok(buffer?.revoked);
  assert.deepEqual(scene.heard().map(({ type }) => type), ["revoked"]);
  assert.deepEqual(await scene.ended(), { trouble: false });
  assert.equal(scene.kernel.processes.get(PEER.pid)?.exited, false);
  scene.assertClean();
});

Deno.test("send: Bargate ends when nothing is granted any more, by reset or by expiry", async () => {
  const byReset = new PeerScene([{ onReset: "revoke" }]);
  await byReset.deliver();
  const [buffer] = byReset.buffers();
  assert.deepEqual(countsOf(await byReset.guardian.reset(SSD, "function", "test")), {
    ended: 1,
    failed: 0,
    restored: 0,
  });
  assert.deepEqual(await byReset.ended(), { trouble: false });
  assert.ok(buffer?.revoked);
  byReset.assertClean();
  const byExpiry = new PeerScene([{ expiresMs: 60_000 }]);
  await byExpiry.deliver();
  byExpiry.buffers();
  await byExpiry.clock.advance(59_000);
  assert.ok(!byExpiry.story().includes("importer-ended"));
  await byExpiry.clock.advance(5_000);
  assert.deepEqual(await byExpiry.ended(), { trouble: false });
  assert.ok(byExpiry.story().includes("ended expired close"));
  byExpiry.assertClean();
});

Deno.test("send: a grant that stays keeps Bargate, over a restore and a new generation", async () => {
  const scene = new PeerScene([
    { name: "gone", onReset: "revoke" },
    { name: "kept", onReset: "restore" },
  ]);
  await scene.deliver();
  scene.buffers();
  await scene.guardian.reset(SSD, "function", "test");
  await settle();
  assert.ok(!scene.story().includes("importer-ended"));
  const [fresh] = scene.buffers();
  assert.ok(fresh !== undefined && !fresh.revoked);
  fresh.references--;
  scene.hangUp();
  await scene.ended();
  scene.assertClean();
});

Deno.test("send: what is renewed before the importer has anything goes to it with the rest", async () => {
  for (const when of ["before its turn", "while it is looked at again"]) {
    const scene = new PeerScene([
      { name: "gone", onReset: "revoke" },
      { name: "kept", onReset: "restore" },
    ]);
    await scene.connect();
    await scene.say({ type: "hello", v: 1 });
    await scene.met;
    await scene.guardian.open();
    if (when === "before its turn") {
      await scene.guardian.reset(SSD, "function", "test");
      await scene.run();
    } else {
      const { promise: looked, resolve: goOn } = Promise.withResolvers<void>();
      const start = scene.source.start.bind(scene.source);
      scene.source.start = (given, context) => looked.then(() => start(given, context));
      await scene.run();
      await scene.guardian.reset(SSD, "function", "test");
      goOn();
      await settle();
    }
    assert.ok(!scene.story().includes("ended importer-gone release"), scene.story().join("\n"));
    const heard = scene.heard();
    assert.deepEqual(heard.map(({ type }) => type), ["hello", "granted"], when);
    const [buffer] = heard.flatMap(({ files: sent }) => sent);
    assert.ok(buffer instanceof SimDmaBuf && !buffer.revoked);
    buffer.references--;
    scene.hangUp();
    await scene.ended();
    scene.assertClean();
  }
});

Deno.test("send: with mapping: bargate the importer asks for its mapping and gets no buffer", async () => {
  const scene = new PeerScene([{ mapping: "bargate" }]);
  await scene.deliver();
  assert.deepEqual(scene.heard().map(({ type }) => type), ["hello"]);
  const { iommufd, ioas } = scene.kernelIommufd();
  const number = scene.kernel.table.install(iommufd);
  await scene.say({ type: "request", export: "data", ioas }, [number]);
  scene.kernel.table.close(number);
  const [granted] = scene.heard();
  assert.deepEqual([granted?.type, granted?.files.length], ["granted", 0]);
  assert.ok(iommufd.lands(ioas, BigInt(String(granted?.packet["iova"]))));
  scene.hangUp();
  await scene.ended();
  scene.assertClean();
});

Deno.test("send: what follows hello waits until there is somebody to answer", async () => {
  const scene = new PeerScene();
  await scene.connect();
  const bytes = (packet: unknown) => new TextEncoder().encode(JSON.stringify(packet));
  scene.kernel.sendAs(PEER, scene.socket, bytes({ type: "hello", v: 1 }));
  scene.kernel.sendAs(PEER, scene.socket, bytes({ type: "list" }));
  await settle();
  await scene.met;
  assert.deepEqual(scene.heard(), []);
  await scene.guardian.open();
  await scene.run();
  const heard = scene.heard();
  assert.deepEqual(heard.map(({ type }) => type), ["hello", "granted", "grants"]);
  for (const { files: sent } of heard) for (const file of sent) (file as SimDmaBuf).references--;
  scene.hangUp();
  await scene.ended();
  scene.assertClean();
});

Deno.test("send: without a hello in time nothing is opened", async () => {
  const scene = new PeerScene();
  await scene.connect();
  await scene.say({ type: "list" });
  await scene.say({ type: "hello", v: 2 });
  await scene.clock.advance(9_999);
  assert.deepEqual(scene.heard().map(({ type }) => type), ["refused", "refused"]);
  await scene.clock.advance(1);
  await assert.rejects(scene.met, (error) => {
    assert.ok(error instanceof RefusedError);
    assert.match(error.message, /no hello came within 10 s/);
    return true;
  });
  assert.deepEqual(scene.story().filter((it) => it !== "importer-refused"), []);
  scene.assertClean();
});

Deno.test("send: an importer that hangs up before hello is refused", async () => {
  const scene = new PeerScene();
  await scene.connect();
  scene.hangUp();
  await settle();
  await assert.rejects(scene.met, /was closed before hello/);
  scene.assertClean();
});

Deno.test("send: another process with the importer's socket cannot speak for it", async () => {
  const scene = new PeerScene();
  await scene.connect();
  const kept = scene.kernel.table.install(new SimSocket());
  await scene.say({ type: "hello", v: 1 }, [kept], OTHER);
  assert.match(String(scene.heard()[0]?.packet["message"]), /process 501/);
  // A pid that is right and a pidfd that is not: a sender that may forge its credentials.
  const genuine = scene.kernel.receive.bind(scene.kernel);
  scene.kernel.receive = (socket) => {
    const packet = genuine(socket);
    if (typeof packet === "string" || packet.pidfd === undefined) return packet;
    scene.kernel.close(packet.pidfd);
    return { ...packet, pidfd: scene.kernel.openProcess(OTHER.pid) };
  };
  await scene.say({ type: "hello", v: 1 });
  assert.match(String(scene.heard()[0]?.packet["message"]), /not the importer/);
  // No pidfd at all is no proof either.
  scene.kernel.receive = (socket) => {
    const packet = genuine(socket);
    if (typeof packet === "string" || packet.pidfd === undefined) return packet;
    scene.kernel.close(packet.pidfd);
    const { pidfd: _, ...rest } = packet;
    return rest;
  };
  await scene.say({ type: "hello", v: 1 });
  assert.match(String(scene.heard()[0]?.packet["message"]), /not the importer/);
  scene.kernel.receive = genuine;
  await scene.say({ type: "hello", v: 1 }, [], { ...PEER, uid: 0 });
  assert.match(String(scene.heard()[0]?.packet["message"]), /account 0/);
  await scene.say({ type: "hello", v: 1 });
  await scene.met;
  await scene.guardian.open();
  await scene.run();
  const [buffer] = scene.buffers();
  const grant = scene.events.find(({ type }) => type === "delivered")?.grant;
  await scene.say({ type: "release", grant }, [kept], OTHER);
  assert.ok(!scene.story().includes("revoking released"));
  assert.equal(buffer?.revoked, false);
  scene.kernel.table.close(kept);
  scene.die();
  await scene.ended();
  scene.assertClean();
});

Deno.test("send: somebody else than the policy names is turned away before any device is opened", async () => {
  const spdk: ImporterRule = { ...NOBODY, identity: { user: { value: "root", at: AT } } };
  const scene = new PeerScene([{}], spdk);
  scene.kernel.account = () => ({ uid: 7, gid: 7, name: "root" });
  await scene.connect();
  await assert.rejects(scene.met, (error) => {
    assert.ok(error instanceof DeniedError);
    assert.match(error.message, /user must be root, uid 7 \(received uid 65534\)/);
    return true;
  });
  const [refused] = scene.heard();
  assert.equal(refused?.type, "refused");
  assert.doesNotMatch(String(refused?.packet["message"]), /root/, "a stranger learns no names");
  assert.deepEqual(scene.events, []);
  scene.assertClean();
});

Deno.test("send: who has become somebody else while the device was opened gets nothing", async () => {
  const scene = new PeerScene();
  await scene.connect();
  await scene.say({ type: "hello", v: 1 });
  await scene.met;
  await scene.guardian.open();
  scene.kernel.account = () => ({ uid: 7, gid: 7, name: "nobody" });
  await assert.rejects(scene.guardian.run(scene.source), DeniedError);
  assert.deepEqual(scene.heard().map(({ type }) => type), []);
  scene.assertClean();
});

Deno.test("send: who has gone while the device was opened gets nothing", async () => {
  const scene = new PeerScene();
  await scene.connect();
  await scene.say({ type: "hello", v: 1 });
  await scene.met;
  await scene.guardian.open();
  scene.die();
  await assert.rejects(scene.guardian.run(scene.source), /the process has ended/);
  scene.assertClean();
});

Deno.test("send: a kernel without pidfds of peers is not ready; nothing else is tried", async () => {
  const scene = new PeerScene();
  scene.kernel.passPidfds = () => false;
  await scene.connect();
  await assert.rejects(scene.met, (error) => {
    assert.ok(error instanceof HostNotReadyError);
    assert.match(error.message, /SO_PEERPIDFD/);
    return true;
  });
  scene.assertClean();
});

Deno.test("send: where nobody listens, it is said what to look for", async () => {
  const scene = new PeerScene();
  const source = new ConnectedPeer({
    path: "/run/absent.sock",
    importer: NOBODY,
    files,
    allowSameUser: false,
  });
  await assert.rejects(
    scene.guardian.meet(source),
    /nobody listens there.*is the importer running/,
  );
  scene.assertClean();
});

Deno.test("send: a signal while hello is waited for ends at once", async () => {
  const scene = new PeerScene();
  await scene.connect();
  await scene.guardian.shutdown("SIGINT");
  await assert.rejects(scene.met, InterruptedError);
  assert.deepEqual(scene.events, []);
  scene.assertClean();
});

Deno.test("send: a grant whose end has begun when the importer comes is not handed out", async () => {
  const scene = new PeerScene([{ expiresMs: 1 }]);
  await scene.connect();
  await scene.say({ type: "hello", v: 1 });
  await scene.met;
  await scene.guardian.open();
  await scene.clock.advance(5);
  await scene.run();
  assert.deepEqual(scene.buffers(), []);
  assert.deepEqual(await scene.ended(), { trouble: false });
  scene.assertClean();
});

Deno.test("send: an importer that does not read loses what it was not told of", async () => {
  const scene = new PeerScene();
  await scene.connect();
  await scene.say({ type: "hello", v: 1 });
  await scene.met;
  await scene.guardian.open();
  scene.kernel.send = () => false;
  await scene.run();
  await scene.ended();
  assert.ok(!scene.story().includes("delivered"));
  assert.ok(scene.story().includes("ended importer-gone release"));
  scene.assertClean();
});

Deno.test("send: a signal while the importer is looked at again hands nothing out", async () => {
  const scene = new PeerScene();
  await scene.connect();
  await scene.say({ type: "hello", v: 1 });
  await scene.met;
  await scene.guardian.open();
  const looked = Promise.withResolvers<void>();
  const identify = scene.kernel.identifyProcess.bind(scene.kernel);
  scene.kernel.identifyProcess = async (pidfd, options) => {
    await looked.promise;
    return await identify(pidfd, options);
  };
  const run = scene.guardian.run(scene.source);
  void Promise.allSettled([run]);
  void scene.guardian.shutdown("SIGTERM");
  await scene.clock.advance(5_000);
  looked.resolve();
  await assert.rejects(run, InterruptedError);
  assert.deepEqual(scene.heard(), []);
  scene.assertClean();
});

const SENDERS = [PEER, OTHER, { ...PEER, uid: 0 }, { pid: 999, uid: 0, gid: 0 }];

/** What can happen to a connection, by anybody who has it. */
const step = fc.record({
  do: fc.constantFrom("packet", "packet", "packet", "reset", "wait", "shutdown", "hangUp", "exit"),
  sender: fc.constantFrom(...SENDERS),
  type: fc.constantFrom("hello", "list", "release", "ack", "request", "nonsense"),
  withFd: fc.boolean(),
});

Deno.test("send: whatever happens on the connection, only the importer moves its grants, and nothing is left", async () => {
  const specs = fc.record({
    onReset: fc.constantFrom("revoke", "restore"),
    mapping: fc.constantFrom("importer", "bargate"),
    expiresMs: fc.constantFrom(undefined, 2_000),
  }) as fc.Arbitrary<GrantSpec>;
  const histories = fc.asyncProperty(
    specs,
    fc.array(step, { maxLength: 8 }),
    async (spec, steps) => {
      const scene = new PeerScene([spec]);
      await scene.deliver();
      let byImporter = false;
      for (const { do: what, sender, type, withFd } of steps) {
        const { kernel } = scene;
        if (what === "reset") {
          void Promise.allSettled([scene.guardian.reset(SSD, "function", "test")]);
        } else if (what === "wait") await scene.clock.advance(1_500);
        else if (what === "shutdown") void scene.guardian.shutdown("SIGTERM");
        else if (what === "hangUp") scene.hangUp();
        else if (what === "exit") kernel.processes.get(PEER.pid)?.end();
        else if (hasConnection(scene)) {
          byImporter ||= sender === PEER && type === "release";
          const grant = scene.events.find((event) => event.type === "exported")?.grant;
          const fds = withFd ? [kernel.table.install(new SimSocket())] : [];
          await scene.say({ type, v: 1, grant, export: "data", ioas: 1 }, fds, sender);
          for (const fd of fds) kernel.table.close(fd);
        }
        await settle();
      }
      if (hasConnection(scene)) { for (const buffer of scene.buffers()) buffer.references--; }
      scene.die();
      await scene.ended();
      scene.assertClean();
      const released = scene.events.some(({ reason }) => reason === "released");
      assert.ok(byImporter || !released, "a stranger released a grant");
    },
  );
  await fc.assert(histories, { numRuns: runs(500) });
});

/** Whether the importer still has its connection. */
function hasConnection(scene: PeerScene): boolean {
  return scene.kernel.table.get(scene.socket) !== undefined;
}

Deno.test("send: the importer is kept while what it has is made again on another device", async () => {
  const OTHER_DEVICE = "0000:02:00.0";
  const scene = new PeerScene([
    { name: "ends", onReset: "revoke" },
    { name: "goes on", onReset: "restore" },
    { name: "elsewhere", onReset: "revoke", address: OTHER_DEVICE },
  ]);
  await scene.deliver();
  const buffers = scene.buffers();
  // One device is being opened again when the other's last grant ends.
  const goOn = scene.kernel.stall("openNode");
  const reset = scene.guardian.reset(SSD, "function", "test");
  await settle();
  await scene.guardian.reset(OTHER_DEVICE, "function", "test");
  await settle();
  goOn();
  await reset;
  await settle();
  assert.ok(!scene.events.some(({ type }) => type === "importer-ended"));
  const delivered = scene.events.findLast(({ type }) => type === "delivered");
  assert.deepEqual([delivered?.export, delivered?.generation], ["demo/goes on", 2]);
  for (const buffer of [...buffers, ...scene.buffers()]) buffer.references--;
  scene.hangUp();
  assert.deepEqual(await scene.ended(), { trouble: false });
  scene.assertClean();
});
