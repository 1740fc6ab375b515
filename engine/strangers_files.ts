/**
 * Connections to others, and what came on them. The close of a file that somebody sent, and of a socket
 * in which such files wait, takes as long as the sender likes: it is made where it delays nobody.
 *
 * @module
 */
import { Discards } from "./discards.ts";
import type { Fd } from "./fd.ts";
import type { Kernel, Lane } from "./kernel.ts";

/** Packets that are looked through at the end of a connection; what holds more is closed on the lane. */
const MOST_UNREAD = 64;

/** Closes them, on a lane that is started when there is something to close. */
export class StrangersFiles {
  #lane: Lane | undefined;
  #discards: Discards | undefined;

  /**
   * @param kernel the port
   * @param name of the lane
   */
  constructor(private readonly kernel: Kernel, private readonly name: string) {}

  /** Closes a file that somebody sent, at some time. */
  discard(fd: Fd): void {
    this.#lane ??= this.kernel.openLane(this.name, "shared");
    this.#discards ??= new Discards(this.kernel, this.#lane);
    this.#discards.add(fd);
  }

  /** Ends a connection; the peer reads what it was sent, then the end. */
  hangUp(socket: Fd): void {
    let empty = false;
    try {
      this.kernel.shutdown(socket);
      empty = this.#isEmptied(socket);
    } finally {
      if (empty) this.kernel.close(socket);
      else this.discard(socket);
    }
  }

  /** Ends the lane when all is closed, and does not wait for that. */
  end(): void {
    // It never rejects.
    void this.#lane?.end();
  }

  /** Whether nothing waits in a socket that was shut down. A peer's reset says `end` once before that. */
  #isEmptied(socket: Fd): boolean {
    let ends = 0;
    for (let taken = 0; taken < MOST_UNREAD && ends < 2; taken++) {
      const packet = this.kernel.receive(socket);
      if (packet === "end") ends++;
      if (typeof packet === "string") continue;
      ends = 0;
      // On the lane first: a close that is refused here keeps none of them.
      for (const fd of packet.fds) this.discard(fd);
      if (packet.pidfd !== undefined) this.kernel.close(packet.pidfd);
    }
    return ends === 2;
  }
}
