/**
 * SOCK_SEQPACKET sockets of the simulation.
 *
 * @module
 */
import type { Credentials } from "../engine/kernel.ts";
import { drop, type SimFile } from "./file_table.ts";

/** A packet in flight holds references to the files it carries. */
export interface SimPacket {
  readonly bytes: Uint8Array;
  readonly files: readonly SimFile[];
  readonly sender: Credentials;
}

/** One end of a connection. */
export class SimSocket implements SimFile {
  readonly kind = "socket";
  references = 0;
  peer: SimSocket | undefined;
  /** Who made the other end; absent: Bargate itself. */
  peerCredentials: Credentials | undefined;
  /** SO_PASSPIDFD. */
  passesPidfds = false;
  readonly queue: SimPacket[] = [];
  /** The other end was closed with packets unread (ECONNRESET): the next receive tells, and only that. */
  wasReset = false;
  onReadable: () => void = () => {};
  /** One of the two ends was shut down. */
  #isShut = false;

  /** A connected pair. */
  static pair(): [SimSocket, SimSocket] {
    const [a, b] = [new SimSocket(), new SimSocket()];
    [a.peer, b.peer] = [b, a];
    return [a, b];
  }

  /** @returns false if the other end is closed, or one of them shut down */
  send(packet: SimPacket): boolean {
    if (this.peer === undefined || this.#isShut) return false;
    this.peer.queue.push(packet);
    this.peer.onReadable();
    return true;
  }

  get readable(): boolean {
    return this.queue.length > 0 || this.over;
  }

  /** Nothing more can come. */
  get over(): boolean {
    return this.peer === undefined || this.#isShut;
  }

  /** Of both directions: each end is told. */
  shutDown(): void {
    for (const end of [this, this.peer]) {
      if (end === undefined) continue;
      end.#isShut = true;
      end.onReadable();
    }
  }

  release(): void {
    if (this.peer !== undefined) this.peer.wasReset = this.queue.length > 0;
    for (const packet of this.queue.splice(0)) for (const file of packet.files) drop(file);
    const peer = this.peer;
    this.peer = undefined;
    if (peer === undefined) return;
    peer.peer = undefined;
    peer.onReadable();
  }
}

/** A path that somebody listens on. */
export class SimListener implements SimFile {
  readonly kind = "listener";
  references = 0;
  readonly waiting: SimSocket[] = [];
  onReadable: () => void = () => {};

  /**
   * @param onRelease frees its path
   * @param owner who called `listen`: the peer of whoever connects; absent: Bargate itself
   */
  constructor(private readonly onRelease: () => void, readonly owner?: Credentials) {}

  release(): void {
    for (const socket of this.waiting.splice(0)) socket.release();
    this.onRelease();
  }
}
