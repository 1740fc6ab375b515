/**
 * The importer channel: packets between Bargate and a recipient, one JSON object each
 * (docs/protocol.md). What comes from an importer is untrusted.
 *
 * @module
 */
import type { After } from "./event.ts";
import type { Fd } from "./fd.ts";
import type { EndReason } from "./end.ts";
import type { Kernel, Packet, PacketFlaw, Watch } from "./kernel.ts";
import { type Sender, strangerIn } from "./packet_sender.ts";

/** Version of the protocol. */
export const PROTOCOL = 1;
/** A packet is at most this long, bytes. */
export const PACKET_LIMIT = 65536;
/** Packets taken in one go before the event loop gets its turn again. */
const BATCH = 32;
/** Usual socket buffers hold fewer small packets; what a larger one holds beyond stays unread. */
const MOST_UNREAD = 1024;

/** What is wrong with a packet that cannot be trusted, in words that follow "the packet". */
export const FLAWS: Readonly<Record<PacketFlaw, string>> = {
  "too-long": `is longer than ${PACKET_LIMIT} bytes`,
  "descriptors-lost":
    "lost descriptors: it has too many, or Bargate has too many files open (RLIMIT_NOFILE)",
  "no-sender": "does not say who sent it",
};

/** What an importer may ask. */
export type ImporterPacket =
  | { readonly type: "hello"; readonly v: number }
  | { readonly type: "list" }
  | {
    readonly type: "request";
    readonly export: string;
    readonly ioas: number;
    readonly iova?: bigint;
  }
  | { readonly type: "release"; readonly grant: string }
  | { readonly type: "ack"; readonly grant: string };

/** What Bargate tells an importer. 64-bit numbers are hexadecimal strings. */
export type BargatePacket =
  | { readonly type: "hello"; readonly v: number }
  | {
    readonly type: "granted";
    readonly grant: string;
    readonly export: string;
    /** Name in `LISTEN_FDNAMES` of a descriptor given at the start. */
    readonly fdName?: string;
    readonly size: string;
    readonly access: "read-only" | "read-write";
    /** Where Bargate mapped it. */
    readonly iova?: string;
  }
  | {
    readonly type: "grants";
    readonly grants: readonly { grant: string; export: string; state: string }[];
  }
  | { readonly type: "suspended"; readonly grant: string }
  | { readonly type: "restored"; readonly grant: string; readonly after: After }
  | {
    readonly type: "revoking";
    readonly grant: string;
    readonly reason: EndReason;
    /** Milliseconds left to let go. */
    readonly withinMs: number;
  }
  | {
    readonly type: "revoked";
    readonly grant: string;
    readonly reason: EndReason;
    readonly after: "dead";
  }
  | { readonly type: "refused"; readonly message: string };

/** A packet that is none of the protocol's. */
export class PacketError extends Error {
  override readonly name = "PacketError";
}

/**
 * Reads an importer's packet.
 *
 * @param bytes one packet
 * @returns what it asks
 * @throws {PacketError} that says what is wrong, fit to be sent back
 *
 * @example
 * ```ts
 * import { parseImporterPacket } from "./channel.ts";
 *
 * const bytes = new TextEncoder().encode('{"type":"release","grant":"g1"}');
 * if (parseImporterPacket(bytes).type !== "release") throw new Error("wrong");
 * ```
 */
export function parseImporterPacket(bytes: Uint8Array): ImporterPacket {
  const fields = parseObject(bytes);
  switch (fields.type) {
    case "hello":
      if (fields.v !== PROTOCOL) throw new PacketError(`"v" must be ${PROTOCOL}`);
      return { type: "hello", v: PROTOCOL };
    case "list":
      return { type: "list" };
    case "request":
      return {
        type: "request",
        export: textField(fields, "export"),
        ioas: idField(fields, "ioas"),
        ...(fields.iova === undefined ? {} : { iova: hexField(fields, "iova") }),
      };
    case "release":
    case "ack":
      return { type: fields.type, grant: textField(fields, "grant") };
    default:
      throw new PacketError('"type" must be one of hello, list, request, release, ack');
  }
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads a packet as a JSON object.
 *
 * @param bytes one packet
 * @returns its fields, unchecked
 * @throws {PacketError} if it is no JSON object in UTF-8
 */
export function parseObject(bytes: Uint8Array): Fields {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new PacketError("the packet is no JSON in UTF-8", { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new PacketError("the packet is no JSON object");
  }
  return value as Fields;
}

/**
 * @param fields of a packet
 * @param name of a field that must hold a short text
 * @returns the text
 * @throws {PacketError} if it does not
 */
export function textField(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value !== "string" || value === "" || value.length > 255) {
    throw new PacketError(`"${name}" must be a text of 1 to 255 characters`);
  }
  return value;
}

function idField(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new PacketError(`"${name}" must be a 32-bit unsigned integer`);
  }
  return value;
}

function hexField(fields: Fields, name: string): bigint {
  const value = fields[name];
  if (typeof value !== "string" || !/^0x[0-9a-f]{1,16}$/i.test(value)) {
    throw new PacketError(`"${name}" must be a hexadecimal string of at most 64 bits`);
  }
  return BigInt(value);
}

/** What the guardian does with what comes in. */
export interface ChannelHandler {
  /** A well-formed packet of the importer itself; the handler owns the descriptors. */
  packet(packet: ImporterPacket, fds: readonly Fd[]): void;
  /** Somebody else used the socket, or the packet made no sense. */
  refused(why: string): void;
  /** The importer has closed its side. */
  ended(): void;
}

/** What is around a channel. */
export interface ChannelContext {
  /** Only packets from this process count. */
  readonly sender: () => Sender | undefined;
  /** Closes a descriptor that came and is not wanted, where it can delay nobody. */
  readonly discard: (fd: Fd) => void;
  /** Handling a packet failed, which the importer must not be able to end Bargate by. */
  readonly onError: (error: unknown) => void;
}

/** Bargate's end of one importer channel. */
export class ImporterChannel {
  #watch: Watch | undefined;
  #isClosed = false;

  /**
   * @param kernel the port
   * @param socket Bargate's end; the channel owns it
   * @param context what is around the channel
   */
  constructor(
    private readonly kernel: Kernel,
    private readonly socket: Fd,
    private readonly context: ChannelContext,
  ) {}

  /** Begins to take packets. */
  listen(handler: ChannelHandler): void {
    this.#watch = this.kernel.watch(this.socket, () => {
      try {
        this.#drain(handler);
      } catch (error) {
        this.context.onError(error);
      }
    });
  }

  /**
   * Sends a packet.
   *
   * @param packet what to tell
   * @param fds descriptors to send with it
   * @returns false if the importer has gone or does not read
   */
  send(packet: BargatePacket, fds: readonly Fd[] = []): boolean {
    if (this.#isClosed) return false;
    // An importer that is told of simulated memory must not take it for a device's.
    const simulated = this.kernel.simulated === true && { simulated: true };
    const whole = { v: PROTOCOL, ...simulated, ...packet };
    const bytes = new TextEncoder().encode(JSON.stringify(whole));
    return this.kernel.send(this.socket, bytes, fds);
  }

  /** Takes no more packets until `listen` is called again; they wait in the socket. */
  pause(): void {
    this.#watch?.stop();
    this.#watch = undefined;
  }

  /**
   * Closes Bargate's end; the importer reads what it was told, then EOF. The close of the socket closes
   * what the importer sent and nobody took: that is made where it can delay nobody.
   */
  close(): void {
    this.pause();
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      this.kernel.shutdown(this.socket);
      this.#leaveUnanswered();
    } catch (error) {
      this.context.onError(error);
    } finally {
      this.context.discard(this.socket);
    }
  }

  /**
   * Takes what waits; nothing more can come. A socket that is closed with packets unread lets its peer read ECONNRESET
   * before the last things that it was told.
   */
  #leaveUnanswered(): void {
    for (let taken = 0; taken < MOST_UNREAD; taken++) {
      const packet = this.kernel.receive(this.socket);
      if (typeof packet === "string") return;
      this.#discard(packet);
    }
  }

  #drain(handler: ChannelHandler): void {
    for (let taken = 0; taken < BATCH && this.#watch !== undefined; taken++) {
      const packet = this.kernel.receive(this.socket);
      if (packet === "empty") return;
      if (packet === "end") {
        this.close();
        handler.ended();
        return;
      }
      this.#take(packet, handler);
    }
  }

  #take(packet: Packet, handler: ChannelHandler): void {
    let parsed: ImporterPacket | string;
    try {
      parsed = this.#parse(packet);
    } catch (error) {
      this.#discard(packet);
      throw error;
    }
    this.#closePidfd(packet);
    if (typeof parsed === "string") {
      for (const fd of packet.fds) this.context.discard(fd);
      handler.refused(parsed);
      this.send({ type: "refused", message: parsed });
      return;
    }
    handler.packet(parsed, packet.fds);
  }

  /** Nothing that came with a packet is kept. */
  #discard(packet: Packet): void {
    this.#closePidfd(packet);
    for (const fd of packet.fds) this.context.discard(fd);
  }

  /** A close that is refused has closed all the same; the packet counts. */
  #closePidfd({ pidfd }: Packet): void {
    try {
      if (pidfd !== undefined) this.kernel.close(pidfd);
    } catch (error) {
      this.context.onError(error);
    }
  }

  /** @returns what it asks, or why it does not count */
  #parse(packet: Packet): ImporterPacket | string {
    const unfit = this.#unfit(packet);
    if (unfit !== undefined) return unfit;
    try {
      return parseImporterPacket(packet.bytes);
    } catch (error) {
      if (!(error instanceof PacketError)) throw error;
      return error.message;
    }
  }

  #unfit(packet: Packet): string | undefined {
    if (packet.flaw !== undefined) return `the packet ${FLAWS[packet.flaw]}`;
    const expected = this.context.sender();
    return expected === undefined
      ? "the importer is not known yet"
      : strangerIn(this.kernel, packet, expected);
  }
}
