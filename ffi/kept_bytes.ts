/**
 * Bytes that are kept, many in one allocation: 4,000 configuration spaces one by one cost more to
 * allocate, and to collect, than to read.
 *
 * @module
 */

const CHUNK = 256 * 1024;

/** Keeps bytes. A chunk stays as long as any of the bytes in it. */
export class KeptBytes {
  #chunk = new Uint8Array(0);
  #used = 0;

  /**
   * @param bytes to copy
   * @returns the copy
   */
  keep(bytes: Uint8Array): Uint8Array {
    if (bytes.length > CHUNK) return bytes.slice();
    if (this.#used + bytes.length > this.#chunk.length) {
      this.#chunk = new Uint8Array(CHUNK);
      this.#used = 0;
    }
    const copy = this.#chunk.subarray(this.#used, this.#used + bytes.length);
    copy.set(bytes);
    this.#used += bytes.length;
    return copy;
  }
}
