/**
 * Every operation of the engine, as short stories to be run with faults.
 *
 * @module
 */
import { ConnectedPeer } from "../../../engine/connected_peer.ts";
import type { Files } from "../../../host/files.ts";
import { SimListener, SimSocket } from "../../../sim/sockets.ts";
import type { SimKernel } from "../../../sim/sim_kernel.ts";
import { owned, OWNER, OWNER_PID } from "../owner_scene.ts";
import { AT, type GrantSpec, planned, Scene, settle, simFunction, SSD } from "../support.ts";
import { type Fault, FaultyKernel } from "./faulty_kernel.ts";
import { Trial } from "./trial.ts";

/** A story. */
export interface Scenario {
  readonly name: string;
  /** Makes the host, with the faults. */
  make(faults: ReadonlyMap<number, Fault>): Promise<Made>;
  play(trial: Trial): Promise<void>;
}

/** A host with its faults. */
interface Made {
  readonly trial: Trial;
  readonly faulty: FaultyKernel;
}

const BESIDE = "0000:01:00.1";
const PEER_PATH = "/run/importer.sock";
const OWNER_PATH = "/run/owner.sock";
const PEER = { pid: 500, uid: 65534, gid: 65534 };

/** A scene of Bargate's own devices. */
function scene(
  specs: readonly GrantSpec[],
  functions?: Parameters<typeof simFunction>[1][],
  route: "cdev" | "group" = "cdev",
): Scenario["make"] {
  return (faults) => {
    const box: { faulty?: FaultyKernel } = {};
    const made = functions?.map((more, index) => simFunction(index === 0 ? SSD : BESIDE, more));
    const around = (kernel: SimKernel) => {
      box.faulty = new FaultyKernel(kernel, faults);
      return { kernel: box.faulty.port };
    };
    const it = new Scene(specs, made, {}, route, around);
    return Promise.resolve(madeOf(it, box.faulty));
  };
}

function madeOf(it: Scene, faulty: FaultyKernel | undefined): Made {
  if (faulty === undefined) throw new RangeError("no port was made");
  return { trial: new Trial(it, faulty), faulty };
}

const DOMAIN = { group: 1, hotResetDomain: [SSD, BESIDE] };

/** Starts, does something, and ends. */
function story(
  name: string,
  make: Scenario["make"],
  then: (trial: Trial) => Promise<void> = () => Promise.resolve(),
): Scenario {
  return {
    name,
    make,
    async play(trial) {
      if (await trial.start()) await then(trial);
      await trial.end();
    },
  };
}

const reset = (method: "function" | "decode" | "bus") => async (trial: Trial) => {
  const domain = method === "bus";
  await trial.act("reset", () => trial.scene.guardian.reset(SSD, method, "test", domain));
};

/** The importer asks for a mapping. */
async function request(trial: Trial): Promise<void> {
  const { scene } = trial;
  if (!trial.alive) return;
  const { iommufd, ioas } = scene.kernelIommufd();
  const number = scene.kernel.table.install(iommufd);
  trial.foreign(number);
  await trial.act(
    "request",
    () => scene.send({ type: "request", export: "data", ioas }, [number]),
  );
  await scene.clock.advance(0);
}

/** The importer says something of its grant. */
async function say(trial: Trial, type: "release" | "ack"): Promise<void> {
  const { scene } = trial;
  if (!trial.alive) return;
  const grant = scene.events.find((event) => event.type === "delivered")?.grant;
  await trial.act(type, () => scene.send({ type, grant }));
  await trial.act(`after ${type}`, () => scene.clock.advance(10_000));
}

async function expire(trial: Trial): Promise<void> {
  await trial.act("expiry", () => trial.scene.clock.advance(5_000));
}

async function shutDown(trial: Trial): Promise<void> {
  await trial.act("shutdown", () => trial.scene.guardian.shutdown("SIGTERM"));
}

async function unbind(trial: Trial): Promise<void> {
  trial.unbind();
  await trial.act("unbind", () => trial.scene.clock.advance(10_000));
}

/** An importer that is there before, and is connected to. */
const send: Scenario = {
  name: "send",
  async make(faults) {
    const made = await scene([{}])(faults);
    const { kernel } = made.trial.scene;
    kernel.addProcess(PEER);
    made.trial.foreign(kernel.listenAs(PEER, PEER_PATH));
    return made;
  },
  async play(trial) {
    const { scene: { guardian, kernel, clock } } = trial;
    const files = { realPath: (path: string) => path } as Files;
    const importer = planned().importer;
    const source = new ConnectedPeer({ path: PEER_PATH, importer, files, allowSameUser: false });
    const listener = kernel.table.open().find(({ kind }) => kind === "listener")?.number ?? -1;
    const meeting = guardian.meet(source);
    void Promise.allSettled([meeting]);
    await settle();
    const socket = kernel.acceptAs(listener);
    if (socket !== undefined) {
      trial.foreign(socket);
      trial.onExit = () => {
        keep(kernel, socket);
        kernel.table.close(socket);
        kernel.processes.get(PEER.pid)?.end();
      };
      const hello = new TextEncoder().encode(JSON.stringify({ type: "hello", v: 1 }));
      kernel.sendAs(PEER, socket, hello);
    }
    const met = await trial.act("meet", async () => {
      await meeting;
      return true;
    });
    if (met === true && await trial.start(source)) await clock.advance(0);
    await trial.end();
  },
};

function keep(kernel: SimKernel, socket: number): void {
  const file = kernel.table.get(socket);
  if (file instanceof SimSocket) file.queue.splice(0);
}

/** A device of somebody else. */
function borrowed(spec: GrantSpec = {}, sends = false): Scenario["make"] {
  return async (faults) => {
    const box: { faulty?: FaultyKernel } = {};
    const socket = { value: OWNER_PATH, at: AT };
    const owner = sends ? { ...OWNER, socket } : OWNER;
    const it = await owned({ owner, ...spec }, undefined, {}, [], (kernel) => {
      box.faulty = new FaultyKernel(kernel, faults);
      return { kernel: box.faulty.port };
    });
    if (sends) answer(it.scene, it.node.number);
    const made = madeOf(it.scene, box.faulty);
    made.trial.onOwnerEnd = () => it.end();
    made.trial.lends = sends;
    return made;
  };
}

/** The owner sends its descriptor to whoever asks. */
function answer({ kernel }: Scene, device: number): void {
  const self = { pid: OWNER_PID, uid: 65534, gid: 65534 };
  const listener = kernel.listenAs(self, OWNER_PATH);
  const file = kernel.table.get(listener);
  if (!(file instanceof SimListener)) throw new RangeError("no listener");
  file.onReadable = () => {
    const connection = kernel.acceptAs(listener) ?? -1;
    const socket = kernel.table.get(connection);
    if (!(socket instanceof SimSocket)) return;
    socket.onReadable = () => {
      if (socket.queue.shift() === undefined) return void kernel.table.close(connection);
      const lent = new TextEncoder().encode(JSON.stringify({ v: 1, type: "lent" }));
      kernel.sendAs(self, connection, lent, [device]);
    };
  };
}

const VIRTUAL: GrantSpec = { virtual: true };
const EXPIRING: GrantSpec = { expiresMs: 1_000, graceMs: 50 };
const TWO: readonly GrantSpec[] = [{ graceMs: 50 }, { name: "stays", graceMs: 50 }];

/** All of them. */
export const SCENARIOS: readonly Scenario[] = [
  story("exec", scene([{}])),
  send,
  story("mapping: bargate", scene([{ mapping: "bargate" }]), request),
  story(
    "mapping: bargate, restore",
    scene([{ mapping: "bargate", onReset: "restore" }]),
    async (it) => {
      await request(it);
      await reset("function")(it);
    },
  ),
  story("release", scene([{ graceMs: 50 }]), (it) => say(it, "release")),
  story("expiry", scene([EXPIRING]), expire),
  story("expiry of a mapping", scene([{ ...EXPIRING, mapping: "bargate" }]), async (it) => {
    await request(it);
    await expire(it);
  }),
  story("function reset, revoke", scene([{}]), reset("function")),
  story("function reset, restore", scene([{ onReset: "restore" }]), reset("function")),
  story(
    "function reset, both",
    scene([{}, { name: "stays", onReset: "restore" }]),
    reset("function"),
  ),
  story("decode off, revoke", scene([{}]), reset("decode")),
  story("decode off, restore", scene([{ onReset: "restore" }]), reset("decode")),
  story(
    "bus reset over a domain",
    scene([{}, { name: "beside", address: BESIDE }], [DOMAIN, DOMAIN]),
    reset("bus"),
  ),
  story(
    "bus reset over a domain, restore",
    scene([{}, { name: "beside", address: BESIDE, onReset: "restore" }], [DOMAIN, DOMAIN]),
    reset("bus"),
  ),
  story("renewal", scene(TWO), (it) => say(it, "release")),
  story(
    "renewal of a mapping",
    scene([{ name: "ends", graceMs: 50 }, { mapping: "bargate" }]),
    async (it) => {
      await request(it);
      await say(it, "release");
    },
  ),
  story("borrowed", borrowed()),
  story("borrowed, expiry", borrowed({ expiresMs: 1_000 }), expire),
  story("borrowed, the owner ends", borrowed(), async (it) => {
    it.onOwnerEnd?.();
    it.onOwnerEnd = undefined;
    await expire(it);
  }),
  story("lent", borrowed({}, true)),
  story("group route", scene([{}], [{ group: 1 }], "group"), reset("function")),
  story(
    "group route, bus reset",
    scene([{}, { name: "beside", address: BESIDE }], [DOMAIN, DOMAIN], "group"),
    reset("bus"),
  ),
  story("shutdown", scene([{ graceMs: 50 }]), shutDown),
  story("importer's end", scene([{}]), (it) => Promise.resolve(it.exit())),
  story("unbind", scene([{}]), unbind),
  story("virtual function, reset", scene([VIRTUAL]), reset("function")),
  story("virtual function, expiry", scene([{ ...VIRTUAL, ...EXPIRING }]), expire),
  story(
    "virtual function, renewal by reset",
    scene([{ ...VIRTUAL, holds: [] }, {
      ...VIRTUAL,
      holds: [],
      name: "stays",
      onReset: "restore",
    }]),
    reset("function"),
  ),
];
