/**
 * The operator's socket of a running guardian: SOCK_SEQPACKET, one JSON object each way
 * (docs/protocol.md). Only root and the account that runs Bargate are listened to.
 *
 * @module
 */
import { PacketError, parseObject, textField } from "./channel.ts";
import type { ResetMethod } from "./device_guard.ts";
import type { Fd } from "./fd.ts";
import type { Credentials, Kernel, Packet, Watch } from "./kernel.ts";

/** What an operator can ask. */
export interface ControlRequest {
  readonly type: "reset";
  /** PCI address. */
  readonly device: string;
  readonly method: ResetMethod;
}

/** What the guardian answers. */
export type ControlReply =
  | {
    readonly type: "done";
    readonly ended: number;
    /** Grants whose end could not be seen. */
    readonly failed: number;
    readonly restored: number;
  }
  /** The device is not open here. */
  | { readonly type: "absent" }
  | { readonly type: "refused"; readonly message: string };

/** Does what an operator asks. */
export type ControlHandler = (
  request: ControlRequest,
  operator: Credentials,
) => Promise<ControlReply>;

const ROOT = 0;

/**
 * Writes a packet of this protocol.
 *
 * @param packet a request or a reply
 * @returns its bytes
 */
export function encodeControl(packet: ControlRequest | ControlReply): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ v: 1, ...packet }));
}

/**
 * Reads an operator's request.
 *
 * @param bytes one packet
 * @throws {PacketError} that says what is wrong
 *
 * @example
 * ```ts
 * import { encodeControl, parseControlRequest } from "./control.ts";
 *
 * const bytes = encodeControl({ type: "reset", device: "0000:01:00.0", method: "function" });
 * if (parseControlRequest(bytes).device !== "0000:01:00.0") throw new Error("wrong");
 * ```
 */
export function parseControlRequest(bytes: Uint8Array): ControlRequest {
  const fields = parseObject(bytes);
  if (fields["type"] !== "reset") throw new PacketError('"type" must be reset');
  const method = fields["method"];
  if (method !== "function" && method !== "decode") {
    throw new PacketError('"method" must be function or decode');
  }
  return { type: "reset", device: textField(fields, "device"), method };
}

/**
 * Reads a guardian's reply.
 *
 * @param bytes one packet
 * @throws {PacketError} if it is none
 */
export function parseControlReply(bytes: Uint8Array): ControlReply {
  const fields = parseObject(bytes);
  const { ended, failed, restored } = fields;
  switch (fields["type"]) {
    case "done":
      if (typeof ended !== "number" || typeof restored !== "number") break;
      if (typeof failed !== "number") break;
      return { type: "done", ended, failed, restored };
    case "absent":
      return { type: "absent" };
    case "refused":
      return { type: "refused", message: textField(fields, "message") };
  }
  throw new PacketError("the reply is none of the protocol's");
}

/** Listens for operators. */
export class ControlServer {
  readonly #watch: Watch;
  readonly #connections = new Map<Fd, Watch>();

  /**
   * @param kernel the port
   * @param listener of the socket; the server owns it
   * @param handler does what is asked
   * @param onError is told of what fails apart from the handler
   */
  constructor(
    private readonly kernel: Kernel,
    private readonly listener: Fd,
    private readonly handler: ControlHandler,
    private readonly onError: (error: unknown) => void = () => {},
  ) {
    this.#watch = kernel.watch(listener, () => this.#guarded(() => this.#accept()));
  }

  /** Closes the socket and all connections. */
  close(): void {
    this.#watch.stop();
    this.kernel.close(this.listener);
    for (const socket of [...this.#connections.keys()]) this.#hangUp(socket);
  }

  #accept(): void {
    const socket = this.kernel.accept(this.listener);
    if (socket === undefined) return;
    const peer = this.kernel.peerCredentials(socket);
    if (peer.uid !== ROOT && peer.uid !== this.kernel.uid) {
      this.kernel.send(socket, encodeControl(stranger(peer)));
      this.kernel.close(socket);
      return;
    }
    const drain = () => this.#guarded(() => this.#drain(socket, peer));
    this.#connections.set(socket, this.kernel.watch(socket, drain));
  }

  /** An operator's failing connection must not end the guardian. */
  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.onError(error);
    }
  }

  #drain(socket: Fd, peer: Credentials): void {
    const packet = this.kernel.receive(socket);
    if (packet === "empty") return;
    if (packet === "end") {
      this.#hangUp(socket);
      return;
    }
    for (const fd of packet.fds) this.kernel.close(fd);
    this.#reply(packet, peer).then((reply) =>
      this.#guarded(() => {
        if (socket.open) this.kernel.send(socket, encodeControl(reply));
      })
    );
  }

  /** Never rejects: whatever goes wrong is the operator's to read. */
  async #reply(packet: Packet, peer: Credentials): Promise<ControlReply> {
    if (packet.sender.uid !== peer.uid || packet.sender.pid !== peer.pid) {
      return stranger(packet.sender);
    }
    try {
      return await this.handler(parseControlRequest(packet.bytes), peer);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return { type: "refused", message: message.slice(0, 255) };
    }
  }

  #hangUp(socket: Fd): void {
    this.#connections.get(socket)?.stop();
    this.#connections.delete(socket);
    this.kernel.close(socket);
  }
}

function stranger({ pid, uid }: Credentials): ControlReply {
  return {
    type: "refused",
    message: `process ${pid} of account ${uid} is not the operator`,
  };
}
