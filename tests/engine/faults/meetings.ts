/**
 * Stories with other processes: an importer that is connected to, and owners of borrowed devices.
 *
 * @module
 */
import { ConnectedPeer } from "../../../engine/connected_peer.ts";
import type { ObserverChoice } from "../../../engine/observation_post.ts";
import type { Files } from "../../../host/files.ts";
import { SimListener, SimSocket } from "../../../sim/sockets.ts";
import type { SimKernel } from "../../../sim/sim_kernel.ts";
import { owned, OWNER, OWNER_PID } from "../owner_scene.ts";
import { AT, type GrantSpec, planned, type Scene, settle } from "../support.ts";
import { FaultyKernel } from "./faulty_kernel.ts";
import { madeOf, type Scenario, scene } from "./story.ts";

const PEER_PATH = "/run/importer.sock";
const OWNER_PATH = "/run/owner.sock";
const PEER = { pid: 500, uid: 65534, gid: 65534 };

/** An importer that is there before, and is connected to. */
export const send: Scenario = {
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
      trial.deliveries.connected(socket);
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
export function borrowed(
  spec: GrantSpec = {},
  sends = false,
  observe: ObserverChoice = {},
): Scenario["make"] {
  return async (faults) => {
    const box: { faulty?: FaultyKernel } = {};
    const socket = { value: OWNER_PATH, at: AT };
    const owner = sends ? { ...OWNER, socket } : OWNER;
    const it = await owned({ owner, ...spec }, undefined, observe, [], (kernel) => {
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
