/**
 * The importer as a process that was there before (`export --send`): Bargate connects to its socket,
 * makes sure who it is, and sends the buffers there. Of the socket's path nothing is believed: who
 * listens there is checked.
 *
 * @module
 */
import type { ImporterRule } from "../policy/model.ts";
import { ImporterChannel, type ImporterPacket } from "./channel.ts";
import { DeniedError, HostNotReadyError, RefusedError } from "./errors.ts";
import type { Fd } from "./fd.ts";
import { messageOf } from "./guard_context.ts";
import type { GivenBuffer, ImporterContext, ImporterSource } from "./importer_process.ts";
import type { Kernel, ProcessIdentity } from "./kernel.ts";
import type { Sender } from "./packet_sender.ts";
import { checkPeer, type PeerContext } from "./peer_identity.ts";
import { type Connection, PeerProcess } from "./peer_process.ts";
import { connectToPeer, holdPeer } from "./peer_socket.ts";

/** A process that wants buffers says hello within this time, ms. */
const HELLO_LIMIT_MS = 10_000;

/** Whom to connect to. */
export interface PeerAddress {
  /** Of a SOCK_SEQPACKET socket. */
  readonly path: string;
  /** Who must be there. */
  readonly importer: ImporterRule;
  readonly files: PeerContext["files"];
  readonly allowSameUser: boolean;
}

/** A process that is connected to. */
export class ConnectedPeer implements ImporterSource {
  #connection: Connection | undefined;
  #callOffLimit: (() => void) | undefined;

  /** @param address whom to connect to */
  constructor(private readonly address: PeerAddress) {}

  /** Name of the importer in the policy. */
  get name(): string {
    return this.address.importer.name;
  }

  /**
   * Connects, checks who is there, and waits for its hello.
   *
   * @throws {RefusedError} if nobody is there, or does not say hello in time
   * @throws {DeniedError} if it is somebody else
   * @throws {HostNotReadyError} if that cannot be told
   */
  async meet(context: ImporterContext): Promise<void> {
    const { kernel } = context;
    const socket = connectToPeer(kernel, this.address.path, "importer");
    let sender: Sender | undefined;
    const channel = new ImporterChannel(kernel, socket, {
      sender: () => sender,
      discard: context.discard,
      onError: context.onError,
    });
    try {
      const pidfd = holdPeer(kernel, socket, this.address.path);
      this.#connection = { kernel, channel, pidfd };
      const { pid, uid } = await this.#check(kernel, pidfd);
      sender = { pid, uid, pidfd, ownChild: false };
      await this.#hello(channel, context);
    } catch (error) {
      this.#turnAway(channel, context, error);
      throw error;
    }
  }

  /** Whoever cannot be told why learns it from the connection's end. */
  #turnAway(channel: ImporterChannel, context: ImporterContext, error: unknown): void {
    try {
      channel.send({ type: "refused", message: whyTurnedAway(error) });
    } catch (failure) {
      context.refused(`it could not be told so: ${messageOf(failure)}`);
    } finally {
      channel.close();
      this.close();
    }
  }

  /**
   * Looks again at who it is, for opening devices takes its time.
   *
   * @throws {DeniedError} if it is somebody else by now
   * @throws {RefusedError} if it has gone
   */
  async start(_given: readonly GivenBuffer[], { kernel }: ImporterContext): Promise<PeerProcess> {
    const connection = this.#connection;
    if (connection === undefined) {
      throw new RefusedError(`Cannot give importer ${this.name} its grants: nobody is connected`);
    }
    const found = await this.#check(kernel, connection.pidfd);
    const peer = new PeerProcess(this.name, connection, found);
    this.#connection = undefined;
    return peer;
  }

  close(): void {
    this.#callOffLimit?.();
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection === undefined) return;
    try {
      connection.channel.close();
    } finally {
      connection.kernel.close(connection.pidfd);
    }
  }

  #check(kernel: Kernel, pidfd: Fd): Promise<ProcessIdentity> {
    return checkPeer({ kernel, ...this.address }, this.address.importer, pidfd);
  }

  async #hello(channel: ImporterChannel, context: ImporterContext): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const fail = (why: string) => reject(new RefusedError(`${this.#cannot()}: ${why}`));
    this.#callOffLimit = context.clock.after(
      HELLO_LIMIT_MS,
      () => fail(`no hello came within ${HELLO_LIMIT_MS / 1000} s`),
    );
    const take = (packet: ImporterPacket, fds: readonly Fd[]) => {
      for (const fd of fds) context.discard(fd);
      if (packet.type !== "hello") {
        channel.send({ type: "refused", message: "hello comes first" });
        return;
      }
      // What comes after it waits in the socket until there is somebody to answer.
      channel.pause();
      resolve();
    };
    try {
      channel.listen({
        packet: take,
        refused: context.refused,
        ended: () => fail("the connection was closed before hello"),
      });
      await promise;
    } finally {
      this.#callOffLimit();
    }
  }

  #cannot(): string {
    return `Cannot give importer ${this.name} its grants at ${this.address.path}`;
  }
}

/** A stranger learns that it is none of ours, not whom the policy wants. */
function whyTurnedAway(error: unknown): string {
  return error instanceof DeniedError || error instanceof HostNotReadyError
    ? "this process is not the importer that the policy names"
    : "hello must come first, and in time";
}
