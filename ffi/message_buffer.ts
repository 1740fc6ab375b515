/**
 * Memory for sendmsg(2) and recvmsg(2): header, one piece of data, control.
 *
 * @module
 */
import { CONTROL_LIMIT } from "./control_message.ts";
import { STRUCTS } from "./layouts.ts";
import { addressOf } from "./address.ts";
import { allocate, encode, getBig, getNumber, setBig, setNumber } from "./struct.ts";

const HEADER = STRUCTS.msghdr;
const IOVEC = STRUCTS.iovec;

/** Reused from message to message: addresses are taken once, only lengths change. */
export class MessageBuffer {
  /** `struct msghdr`, which points at all the rest. */
  readonly header: DataView<ArrayBuffer>;
  readonly data: Uint8Array<ArrayBuffer>;
  readonly control: Uint8Array<ArrayBuffer>;
  readonly #iovec: DataView<ArrayBuffer>;

  /** @param limit bytes of data that fit */
  constructor(limit: number) {
    this.data = new Uint8Array(new ArrayBuffer(limit));
    this.control = new Uint8Array(new ArrayBuffer(CONTROL_LIMIT));
    this.#iovec = encode(IOVEC, { iov_base: addressOf(this.data), iov_len: BigInt(limit) });
    this.header = encode(HEADER, {
      msg_iov: addressOf(this.#iovec),
      msg_iovlen: 1n,
      msg_control: addressOf(this.control),
    }, allocate(HEADER));
  }

  /**
   * Prepares for sending.
   *
   * @param bytes copied in
   * @param control bytes written to {@linkcode control}
   */
  fill(bytes: Uint8Array, control: number): void {
    this.data.set(bytes);
    this.#setLengths(bytes.length, control);
  }

  /** Prepares for receiving: all room is free. */
  reset(): void {
    this.#setLengths(this.data.length, this.control.length);
  }

  /** `msg_flags` after receiving. */
  get flags(): number {
    return getNumber(this.header, HEADER.fields.msg_flags);
  }

  /** The control that was received. */
  receivedControl(): Uint8Array<ArrayBuffer> {
    return this.control.subarray(0, Number(getBig(this.header, HEADER.fields.msg_controllen)));
  }

  #setLengths(data: number, control: number): void {
    setBig(this.#iovec, IOVEC.fields.iov_len, BigInt(data));
    setBig(this.header, HEADER.fields.msg_controllen, BigInt(control));
    setNumber(this.header, HEADER.fields.msg_flags, 0);
  }
}
