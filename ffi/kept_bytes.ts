/**
 * Bytes that are kept, many in one allocation: 4,000 configuration spaces one by one cost more to
 * allocate, and to collect, than to read.
 *
 * @module
 */

const CHUNK = 256 * 1024;

/** Keeps bytes. A chunk stays as long as any of the bytes in it. */
export class KeptBytes {
  #chunk = new Uint8Array(new ArrayBuffer(0));
  #used = 0;

  /**
   * Room for what is to be kept. What is asked for next may be the same room, unless it is taken.
   *
   * @param length most bytes that will be put there
   */
  room(length: number): Uint8Array<ArrayBuffer> {
    if (length > CHUNK) return new Uint8Array(new ArrayBuffer(length));
    if (this.#used + length > this.#chunk.length) {
      this.#chunk = new Uint8Array(new ArrayBuffer(CHUNK));
      this.#used = 0;
    }
    return this.#chunk.subarray(this.#used, this.#used + length);
  }

  /**
   * Keeps what was put into the room that was asked for last.
   *
   * @param room that room
   * @param length bytes that were put there
   * @returns these bytes
   */
  take(room: Uint8Array, length: number): Uint8Array {
    if (room.buffer === this.#chunk.buffer) this.#used += length;
    return length === room.length ? room : room.subarray(0, length);
  }
}
