/**
 * A guardian's link to its importer: how it is come by, what it is told, and what it sends.
 *
 * @module
 */
import { type BargatePacket, PROTOCOL } from "./channel.ts";
import { closeOnLane } from "./close_on_lane.ts";
import { bufferName } from "./export_name.ts";
import type { Fd } from "./fd.ts";
import { grantedPacket } from "./granted_packet.ts";
import { messageOf, type Told } from "./guard_context.ts";
import type { GuardedDevices } from "./guarded_devices.ts";
import type { GuardianContext } from "./guardian_context.ts";
import type { HeldGrant } from "./held_grant.ts";
import { ImporterDesk } from "./importer_desk.ts";
import type {
  AskedProcess,
  ImporterContext,
  ImporterProcess,
  ImporterSource,
} from "./importer_process.ts";
import type { Lane } from "./kernel.ts";
import type { Supervision } from "./supervision.ts";

/** The one importer of a guardian. */
export class ImporterLink {
  /** For descriptors that the importer sends: their calls can wait as long as it likes. */
  readonly #janitor: Lane;
  #source: ImporterSource | undefined;
  #importer: ImporterProcess | undefined;
  #isOver = false;

  /**
   * @param context of the guardian
   * @param devices whose grants it gets
   * @param supervision of what fails meanwhile
   */
  constructor(
    private readonly context: GuardianContext,
    private readonly devices: GuardedDevices,
    private readonly supervision: Supervision,
  ) {
    this.#janitor = context.kernel.openLane("janitor", "shared");
  }

  /** Owns the source from here on. */
  take(source: ImporterSource): void {
    this.#source = source;
  }

  /**
   * Gives the importer its grants.
   *
   * @param source how to come by it; the link owns it from here on
   * @param goOn throws if the end was asked for
   * @throws what the source or `goOn` says
   */
  async start(source: ImporterSource, goOn: () => void): Promise<ImporterProcess> {
    this.#source = source;
    const given = this.#undelivered();
    const buffers = given.map((held) => ({ name: fdNameOf(held), fd: held.dmaBuf }));
    const importer = await source.start(buffers, this.lent());
    this.#importer = importer;
    // Looking at it takes its time, and what asked for the end meanwhile found nobody to tell.
    if (!importer.inherits) goOn();
    this.context.log.record({ ...importer.begun, importer: importer.name });
    this.#welcome(importer, given);
    return importer;
  }

  /** Says what there is, hands over what the importer does not have yet, and begins to listen. */
  #welcome(importer: ImporterProcess, given: readonly HeldGrant[]): void {
    this.notify({ type: "hello", v: PROTOCOL });
    if (importer.inherits) { for (const held of given) this.#tell(held); }
    // Also what was made again while it was being come by.
    for (const held of this.#undelivered()) this.#hand(importer, held);
    const desk = new ImporterDesk(this.#janitor, {
      standing: () => this.devices.standing,
      guardOf: (held) => this.devices.of(held),
      notify: (packet) => void this.notify(packet),
      background: (work) => this.supervision.background(work),
      discard: (fd) => this.#discard(fd),
    });
    importer.channel.listen({
      packet: (packet, fds) => desk.answer(packet, fds),
      refused: (why) => this.#refused(why),
      ended: () => importer.hungUp(),
    });
  }

  /** Buffers for the importer that it does not have. */
  #undelivered(): readonly HeldGrant[] {
    return this.devices.standing.filter(({ grant }) =>
      grant.state === "exported" && grant.plan.importer.mapping === "importer"
    );
  }

  /**
   * It has the buffer by now. If the end of the grant began meanwhile, nobody was told of that: it is
   * told here, for it must hold no descriptor of which it was never told that it is over.
   */
  #tell(held: HeldGrant): void {
    const delivered = this.devices.of(held).delivered(held);
    this.notify(grantedPacket(held, fdNameOf(held)));
    if (delivered) return;
    const { graceUntil, askedInVain } = held;
    const { id: grant, end, reason = "failed" } = held.grant;
    if (end !== undefined) {
      this.notify({ type: "revoked", grant, reason: end.reason, after: "dead" });
    } else if (graceUntil !== undefined || askedInVain) {
      const withinMs = Math.max(0, (graceUntil ?? 0) - this.context.clock.now());
      this.notify({ type: "revoking", grant, reason, withinMs });
    }
  }

  #hand(importer: ImporterProcess, held: HeldGrant): void {
    const told = this.notify(grantedPacket(held), [held.dmaBuf]);
    if (told === "told") this.devices.of(held).delivered(held);
    else importer.hungUp();
  }

  /** Tells the importer, if there is one. */
  notify(packet: BargatePacket, fds: readonly Fd[] = []): Told {
    if (this.#importer === undefined) return this.#isOver ? "gone" : "nobody-yet";
    try {
      return this.#importer.channel.send(packet, fds) ? "told" : "gone";
    } catch (error) {
      // An end does not fail because its importer cannot be told of it.
      this.supervision.failed(error);
      return "gone";
    }
  }

  /** Nothing that it was granted stands any more. */
  nothingLeft(): void {
    this.#importer?.nothingLeft();
  }

  /** It has been told of all ends: time for it to go. @returns whose end is waited for */
  askToEnd(): AskedProcess | undefined {
    return this.#importer?.askToEnd();
  }

  /** What whoever comes by the importer needs. */
  lent(): ImporterContext {
    const { kernel, clock } = this.context;
    return {
      kernel,
      clock,
      discard: (fd) => this.#discard(fd),
      refused: (why) => this.#refused(why),
      onError: (error) => this.supervision.failed(error),
    };
  }

  #refused(why: string): void {
    const importer = this.#source?.name;
    this.context.log.record({
      type: "importer-refused",
      ...(importer === undefined ? {} : { importer }),
      cause: { source: "channel", detail: why },
    });
  }

  /**
   * Closes a descriptor that an importer sent. It can be anything: the close of a lingering socket,
   * or of a file of the importer's own file system, takes as long as the importer likes, and fails as it
   * likes.
   */
  #discard(fd: Fd): void {
    closeOnLane(this.context.kernel, this.#janitor, fd).catch((error: unknown) =>
      this.#refused(`a descriptor that was sent: ${messageOf(error)}`)
    );
  }

  /** Stops listening: what needs no device. */
  close(): void {
    const [importer, source] = [this.#importer, this.#source];
    this.#isOver = true;
    this.#importer = this.#source = undefined;
    // What one of them cannot close keeps none of the others.
    this.supervision.guarded(() => importer?.close());
    this.supervision.guarded(() => source?.close());
  }

  /** Ends the lane of what it sent. */
  endLane(): void {
    this.supervision.background(this.#janitor.end());
  }
}

/** `LISTEN_FDNAMES` is for the child, which knows the export by its name in the policy. */
function fdNameOf({ grant }: HeldGrant): string {
  return bufferName(grant.plan.export);
}
