/**
 * The operator's socket of a running guardian: SOCK_SEQPACKET, one JSON object each way
 * (docs/protocol.md). Only root and the account that runs Bargate are listened to.
 *
 * @module
 */
import { isPciAddress } from "../host/address.ts";
import { PACKET_LIMIT, PacketError, parseObject, textField } from "./channel.ts";
import {
  DomainError,
  type GrantFate,
  type GrantHit,
  RESET_METHODS,
  type ResetMethod,
  type ResetOutcome,
  type ResetReach,
} from "./reset_outcome.ts";
import type { HitTogether } from "./reset_domain.ts";
import type { Fd } from "./fd.ts";
import { refusedBy } from "./refusal.ts";
import { StrangersFiles } from "./strangers_files.ts";
import type { Credentials, Kernel, Packet, Watch } from "./kernel.ts";

/**
 * What an operator can ask. `reach`: what a reset would hit; `hit-by`: the grants here that resets of
 * these functions would hit; `make-way`: to end those of them that a reset ends.
 */
export type ControlRequest =
  | {
    readonly type: "reset";
    /** PCI address. */
    readonly device: string;
    readonly method: ResetMethod;
    /** Whether grants of other devices may be hit. */
    readonly domain: boolean;
  }
  | { readonly type: "reach"; readonly device: string; readonly method: ResetMethod }
  | { readonly type: "hit-by" | "make-way"; readonly functions: readonly string[] };

/** What the guardian answers. */
export type ControlReply =
  | ({ readonly type: "done" } & ResetOutcome)
  | ({ readonly type: "reach" } & ResetReach)
  | { readonly type: "hits"; readonly hits: readonly GrantHit[] }
  /** Grants of other devices would be hit, and nothing was done. */
  | { readonly type: "denied"; readonly hits: readonly GrantHit[] }
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
 * Writes a request.
 *
 * @param request what to ask
 * @param simulated whether it is about a simulated host
 * @returns its bytes
 * @throws {PacketError} if it does not fit a packet
 */
export function encodeControlRequest(request: ControlRequest, simulated = false): Uint8Array {
  const bytes = encode(request, simulated);
  if (bytes.length <= PACKET_LIMIT) return bytes;
  throw new PacketError(
    `the request does not fit ${PACKET_LIMIT} bytes (received ${bytes.length})`,
  );
}

/**
 * Writes a reply. What was done is told without its lists if it does not fit a packet; any other reply
 * that does not fit is a refusal that says so.
 *
 * @param packet the reply
 * @param simulated whether it is about a simulated host
 * @returns its bytes
 */
export function encodeControlReply(packet: ControlReply, simulated = false): Uint8Array {
  const bytes = encode(packet, simulated);
  if (bytes.length <= PACKET_LIMIT) return bytes;
  if (packet.type === "done") return encode({ ...packet, devices: [] }, simulated);
  const message = `the answer does not fit ${PACKET_LIMIT} bytes`;
  return encode({ type: "refused", message }, simulated);
}

function encode(packet: ControlRequest | ControlReply, simulated: boolean): Uint8Array {
  const marked = simulated && { simulated };
  return new TextEncoder().encode(JSON.stringify({ v: 1, ...marked, ...packet }));
}

/** Whether a request is meant for devices that are simulated. */
function meansSimulated(bytes: Uint8Array): boolean {
  return parseObject(bytes)["simulated"] === true;
}

/**
 * Reads an operator's request.
 *
 * @param bytes one packet
 * @throws {PacketError} that says what is wrong
 *
 * @example
 * ```ts
 * import { encodeControlRequest, parseControlRequest } from "./control.ts";
 *
 * const device = "0000:01:00.0";
 * const bytes = encodeControlRequest({ type: "reset", device, method: "function", domain: false });
 * if (parseControlRequest(bytes).type !== "reset") throw new Error("wrong");
 * ```
 */
export function parseControlRequest(bytes: Uint8Array): ControlRequest {
  const fields = parseObject(bytes);
  const { type } = fields;
  switch (type) {
    case "reset": {
      const { domain = false } = fields;
      if (typeof domain !== "boolean") throw new PacketError('"domain" must be true or false');
      return { type, device: textField(fields, "device"), method: methodIn(fields), domain };
    }
    case "reach":
      return { type, device: textField(fields, "device"), method: methodIn(fields) };
    case "hit-by":
    case "make-way":
      return { type, functions: functionsIn(fields) };
    default:
      throw new PacketError('"type" must be one of reset, reach, hit-by, make-way');
  }
}

type Fields = Readonly<Record<string, unknown>>;

function methodIn({ method }: Fields): ResetMethod {
  const known = RESET_METHODS.find((each) => each === method);
  if (known === undefined) {
    throw new PacketError(`"method" must be one of ${RESET_METHODS.join(", ")}`);
  }
  return known;
}

function functionsIn({ functions }: Fields): readonly string[] {
  const all: readonly unknown[] = Array.isArray(functions) ? functions : [functions];
  return all.map((each) => {
    if (typeof each === "string" && isPciAddress(each)) return each;
    throw new PacketError('"functions" must be a list of PCI addresses');
  });
}

/**
 * Reads a guardian's reply.
 *
 * @param bytes one packet
 * @throws {PacketError} if it is none
 */
export function parseControlReply(bytes: Uint8Array): ControlReply {
  const fields = parseObject(bytes);
  const { type } = fields;
  switch (type) {
    case "done":
      return { type, ...outcomeIn(fields) };
    case "reach":
      return {
        type,
        functions: listIn(fields, "functions", functionIn),
        hits: listIn(fields, "hits", hitIn),
      };
    case "hits":
    case "denied":
      return { type, hits: listIn(fields, "hits", hitIn) };
    case "absent":
      return { type };
    case "refused":
      return { type, message: textField(fields, "message") };
  }
  throw new PacketError("the reply is none of the protocol's");
}

function outcomeIn(fields: Fields): ResetOutcome {
  const devices = listIn(fields, "devices", (entry) => ({
    device: textField(entry, "device"),
    grants: listIn(entry, "grants", fateIn),
  }));
  const [ended, failed, restored] = ["ended", "failed", "restored"].map((name) => fields[name]);
  if (typeof ended !== "number" || typeof failed !== "number" || typeof restored !== "number") {
    throw new PacketError("the reply does not say how many grants ended");
  }
  return { ended, failed, restored, devices };
}

function fateIn(entry: Fields): GrantFate {
  const { became } = entry;
  if (became !== "ended" && became !== "failed" && became !== "restored") {
    throw new PacketError('"became" must be ended, failed or restored');
  }
  return { export: textField(entry, "export"), importer: textField(entry, "importer"), became };
}

function hitIn(entry: Fields): GrantHit {
  return {
    export: textField(entry, "export"),
    importer: textField(entry, "importer"),
    device: textField(entry, "device"),
    through: textField(entry, "through"),
  };
}

function functionIn(entry: Fields): HitTogether {
  return { address: textField(entry, "address"), through: textField(entry, "through") };
}

function listIn<T>(fields: Fields, name: string, read: (entry: Fields) => T): readonly T[] {
  const list = fields[name];
  if (!Array.isArray(list)) throw new PacketError(`"${name}" must be a list`);
  return list.map((entry) => {
    if (typeof entry !== "object" || entry === null) {
      throw new PacketError(`"${name}" must be a list of objects`);
    }
    return read(entry);
  });
}

/** Listens for operators. */
export class ControlServer {
  readonly #watch: Watch;
  readonly #connections = new Map<Fd, Watch>();
  /** An operator can be the very program that has the grants. */
  readonly #files: StrangersFiles;

  /**
   * @param kernel the port
   * @param listener of the socket; the server owns it
   * @param handler does what is asked
   * @param onError is told of what fails apart from the handler
   * @throws {RefusedError} if the socket cannot be watched; it is closed then
   */
  constructor(
    private readonly kernel: Kernel,
    private readonly listener: Fd,
    private readonly handler: ControlHandler,
    private readonly onError: (error: unknown) => void = () => {},
  ) {
    this.#files = new StrangersFiles(kernel, "operators");
    this.#watch = this.#listen();
  }

  #listen(): Watch {
    const { kernel, listener } = this;
    try {
      return kernel.watch(listener, () => this.#guarded(() => this.#accept()));
    } catch (error) {
      this.#guarded(() => kernel.close(listener));
      throw refusedBy("listen for operators", error);
    }
  }

  /** Closes the socket and all connections. */
  close(): void {
    this.#watch.stop();
    this.#guarded(() => this.kernel.close(this.listener));
    for (const socket of [...this.#connections.keys()]) this.#guarded(() => this.#hangUp(socket));
    this.#files.end();
  }

  #accept(): void {
    const socket = this.kernel.accept(this.listener);
    if (socket === undefined) return;
    try {
      this.#attend(socket);
    } catch (error) {
      this.#files.hangUp(socket);
      throw error;
    }
  }

  /** Listens to an operator; whoever is none learns that, and no more. */
  #attend(socket: Fd): void {
    const peer = this.kernel.peerCredentials(socket);
    if (peer.uid !== ROOT && peer.uid !== this.kernel.uid) {
      this.kernel.send(socket, this.#encode(stranger(peer)));
      this.#files.hangUp(socket);
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
    for (const fd of packet.fds) this.#files.discard(fd);
    this.#reply(packet, peer).then((reply) =>
      this.#guarded(() => {
        if (socket.open) this.kernel.send(socket, this.#encode(reply));
      })
    );
  }

  /** Never rejects: whatever goes wrong is the operator's to read. */
  async #reply(packet: Packet, peer: Credentials): Promise<ControlReply> {
    if (packet.sender.uid !== peer.uid || packet.sender.pid !== peer.pid) {
      return stranger(packet.sender);
    }
    try {
      const request = parseControlRequest(packet.bytes);
      this.#refuseMistaken(packet.bytes);
      return await this.handler(request, peer);
    } catch (error) {
      if (error instanceof DomainError) return { type: "denied", hits: error.hits };
      const message = error instanceof Error ? error.message : String(error);
      return { type: "refused", message: message.slice(0, 255) };
    }
  }

  /**
   * An address can be a real device's and a simulated one's: an operator says which is meant.
   *
   * @throws {PacketError} if the other is
   */
  #refuseMistaken(bytes: Uint8Array): void {
    const simulated = this.kernel.simulated === true;
    if (meansSimulated(bytes) === simulated) return;
    throw new PacketError(
      simulated
        ? 'the devices here are simulated: say "simulated": true'
        : "the devices here are not simulated",
    );
  }

  #encode(reply: ControlReply): Uint8Array {
    return encodeControlReply(reply, this.kernel.simulated === true);
  }

  #hangUp(socket: Fd): void {
    this.#connections.get(socket)?.stop();
    this.#connections.delete(socket);
    this.#files.hangUp(socket);
  }
}

function stranger({ pid, uid }: Credentials): ControlReply {
  return {
    type: "refused",
    message: `process ${pid} of account ${uid} is not the operator`,
  };
}
