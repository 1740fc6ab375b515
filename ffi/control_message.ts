/**
 * Control messages of sendmsg(2) and recvmsg(2): descriptors and credentials (cmsg(3)).
 *
 * @module
 */
import type { Credentials } from "../engine/kernel.ts";
import { C, STRUCTS } from "./layouts.ts";
import { decode, encode, type Values } from "./struct.ts";

const HEADER = STRUCTS.cmsghdr;
const INT = 4;

/**
 * A pidfd of the sender (include/linux/socket.h, `SCM_PIDFD`): neither the kernel's headers for
 * programs nor glibc's before 2.39 have it.
 */
const SCM_PIDFD = 4;

/** Descriptors in one message, by the kernel's `SCM_MAX_FD`. */
export const FDS_LIMIT = 253;

/** Where the next control message starts: aligned to a pointer. */
function aligned(length: number): number {
  return length + 7 & ~7;
}

/** Room for what one message can carry: descriptors, credentials and a pidfd, bytes. */
export const CONTROL_LIMIT = aligned(HEADER.size + INT * FDS_LIMIT) +
  aligned(HEADER.size + STRUCTS.ucred.size) + aligned(HEADER.size + INT);

/** Writes control messages. */
export class ControlWriter {
  readonly #view: DataView<ArrayBuffer>;

  /** @param memory at least {@linkcode CONTROL_LIMIT} bytes */
  constructor(memory: Uint8Array<ArrayBuffer>) {
    this.#view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  }

  /**
   * Writes SCM_RIGHTS.
   *
   * @param numbers descriptors
   * @returns bytes of control, 0 for none
   */
  rights(numbers: readonly number[]): number {
    if (numbers.length === 0) return 0;
    const length = HEADER.size + INT * numbers.length;
    const values = {
      cmsg_len: BigInt(length),
      cmsg_level: C.SOL_SOCKET,
      cmsg_type: C.SCM_RIGHTS,
    };
    encode(HEADER, values, this.#view);
    numbers.forEach((number, index) =>
      this.#view.setInt32(HEADER.size + INT * index, number, true)
    );
    return aligned(length);
  }
}

/** What a message carried. */
export interface Control {
  /** Descriptors that are open here now. */
  readonly numbers: readonly number[];
  /** Absent: the kernel did not say. */
  readonly sender: Credentials | undefined;
  /** The sender's pidfd, open here now; absent: not asked for, or the kernel could not make one. */
  readonly pidfd: number | undefined;
}

/** Reads control messages. */
export class ControlReader {
  readonly #view: DataView<ArrayBuffer>;

  /** @param received what the kernel wrote */
  constructor(received: Uint8Array<ArrayBuffer>) {
    this.#view = new DataView(received.buffer, received.byteOffset, received.byteLength);
  }

  /** All of them; a header that does not fit ends the walk. */
  read(): Control {
    const numbers: number[] = [];
    let sender: Credentials | undefined;
    let pidfd: number | undefined;
    for (const { at, header } of this.#headers()) {
      if (header.cmsg_level !== C.SOL_SOCKET) continue;
      if (header.cmsg_type === C.SCM_RIGHTS) numbers.push(...this.#rights(at, header));
      if (header.cmsg_type === C.SCM_CREDENTIALS) sender = decode(STRUCTS.ucred, this.#view, at);
      // Where the kernel could not make one it puts the error number there.
      if (header.cmsg_type === SCM_PIDFD) pidfd = this.#rights(at, header).find((it) => it >= 0);
    }
    return { numbers, sender, pidfd };
  }

  *#headers(): Generator<{ at: number; header: Values<typeof HEADER.fields> }> {
    for (let at = 0; at + HEADER.size <= this.#view.byteLength;) {
      const header = decode(HEADER, this.#view, at);
      const length = Number(header.cmsg_len);
      if (length < HEADER.size || at + length > this.#view.byteLength) return;
      yield { at: at + HEADER.size, header };
      at += aligned(length);
    }
  }

  #rights(at: number, header: Values<typeof HEADER.fields>): number[] {
    const count = Math.floor((Number(header.cmsg_len) - HEADER.size) / INT);
    return Array.from(
      { length: count },
      (_, index) => this.#view.getInt32(at + INT * index, true),
    );
  }
}
