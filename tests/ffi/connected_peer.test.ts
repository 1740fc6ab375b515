/** Who stands behind a socket, on the kernel that runs the tests. @module */
import "../../ffi/preload.ts";
import assert from "node:assert/strict";
import { systemClock } from "../../engine/clock.ts";
import { ConnectedPeer } from "../../engine/connected_peer.ts";
import { DeniedError, HostNotReadyError } from "../../engine/errors.ts";
import type { Fd } from "../../engine/fd.ts";
import type { ImporterContext } from "../../engine/importer_process.ts";
import { LinuxFiles } from "../../ffi/linux_files.ts";
import { LinuxKernel } from "../../ffi/linux_kernel.ts";
import type { ImporterIdentity, ImporterRule } from "../../policy/model.ts";
import { fromFileUrl } from "../support/paths.ts";

const SCRIPT = fromFileUrl(new URL("peer_process.ts", import.meta.url));
const AT = { file: "p.yaml", line: 1, column: 1, endLine: 1, endColumn: 2 };
const HELLO = new TextEncoder().encode('{"type":"hello","v":1}');

const kernel = new LinuxKernel();

/** A process that listens, and what it takes to order it about. */
class Peer {
  readonly path: string;
  readonly refusals: string[] = [];
  readonly #control: Fd;
  readonly #child: Deno.ChildProcess;
  #onRefusal = () => {};

  private constructor(folder: string, control: Fd, child: Deno.ChildProcess) {
    this.path = `${folder}/importer.sock`;
    this.#control = control;
    this.#child = child;
  }

  static async start(folder: string): Promise<Peer> {
    const listener = kernel.listen(`${folder}/control.sock`);
    const args = ["run", "-A", "--no-prompt", SCRIPT];
    const paths = [`${folder}/importer.sock`, `${folder}/control.sock`];
    const child = new Deno.Command(Deno.execPath(), { args: [...args, ...paths], stdin: "null" })
      .spawn();
    await ready(listener);
    const control = kernel.accept(listener);
    kernel.close(listener);
    assert.ok(control !== undefined);
    const peer = new Peer(folder, control, child);
    await peer.word();
    return peer;
  }

  /** What it says next, with the descriptors that came. */
  async word(): Promise<readonly Fd[]> {
    await ready(this.#control);
    const packet = kernel.receive(this.#control);
    assert.ok(typeof packet !== "string");
    return packet.fds;
  }

  /** It sends this on its connection. */
  say(bytes: Uint8Array): void {
    kernel.send(this.#control, bytes);
  }

  /** Resolves at the next packet that does not count. */
  nextRefusal(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onRefusal = resolve;
    return promise;
  }

  get context(): ImporterContext {
    return {
      kernel,
      clock: systemClock,
      discard: (fd) => kernel.close(fd),
      refused: (why) => {
        this.refusals.push(why);
        this.#onRefusal();
      },
      onError: (error) => {
        throw error;
      },
    };
  }

  source(identity: Partial<Record<keyof ImporterIdentity, string>>, allowSameUser = true) {
    const placed = Object.entries(identity).map(([key, value]) => [key, { value, at: AT }]);
    const importer: ImporterRule = {
      name: "engine",
      identity: Object.fromEntries(placed),
      driver: { value: "iommufd", at: AT },
      mapping: "importer",
      at: AT,
    };
    return new ConnectedPeer({ path: this.path, importer, files: new LinuxFiles(), allowSameUser });
  }

  /** Lets it go, and waits until it has. */
  async end(): Promise<void> {
    if (this.#control.open) kernel.close(this.#control);
    await this.#child.status;
  }
}

async function ready(fd: Fd): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const watch = kernel.watch(fd, resolve);
  await promise;
  watch.stop();
}

async function withPeer(step: (peer: Peer) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "bargate-test-" });
  const peer = await Peer.start(folder);
  try {
    await step(peer);
  } finally {
    await peer.end();
    await kernel.idle();
    await Deno.remove(folder, { recursive: true });
  }
}

const USER = { user: String(kernel.uid) };

/** Kernels that cannot tell a peer's pidfd have a test of their own in the simulation. */
function canTellPeers(): boolean {
  const [here, there] = kernel.socketPair("probe");
  try {
    const peer = kernel.passPidfds(here) ? kernel.peerPidfd(here) : "unsupported";
    if (peer !== "unsupported") kernel.close(peer);
    return peer !== "unsupported";
  } finally {
    [here, there].forEach((fd) => kernel.close(fd));
  }
}

const ignore = !canTellPeers();
await kernel.idle();

Deno.test({
  name: "a peer's connection in other hands is not the peer, on a real kernel",
  ignore,
  fn: () =>
    withPeer(async (peer) => {
      const source = peer.source(USER);
      const met = source.meet(peer.context);
      const [connection] = await peer.word();
      assert.ok(connection !== undefined, "the peer has passed its connection on");
      const refused = peer.nextRefusal();
      kernel.send(connection, HELLO);
      await refused;
      assert.match(peer.refusals[0] ?? "", new RegExp(`process ${Deno.pid} .* not the importer`));
      peer.say(HELLO);
      await met;
      const process = await source.start([], peer.context);
      assert.equal(process.begun.type, "importer-connected");
      kernel.close(connection);
      const [end] = await Promise.all([process.ended, peer.end()]);
      assert.equal(end.cause.source, "pidfd");
      process.close();
    }),
});

Deno.test({
  name: "a peer is checked by account, executable and hash, on a real kernel",
  ignore,
  fn: () =>
    withPeer(async (peer) => {
      const wrong = [
        [{ user: String(kernel.uid + 1) }, /user must be/],
        [{ ...USER, group: "987654" }, /group must be .*received gids/],
        [{ ...USER, executable: "/bin/sh" }, /executable must be \/bin\/sh/],
        [{ ...USER, sha256: "0".repeat(64) }, /sha256 must be/],
      ] as const;
      for (const [identity, message] of wrong) {
        await assert.rejects(peer.source(identity).meet(peer.context), (error) => {
          assert.ok(error instanceof DeniedError);
          assert.match(error.message, message);
          return true;
        });
      }
      await assert.rejects(peer.source(USER, false).meet(peer.context), HostNotReadyError);
    }),
});
