/**
 * Answers what an importer asks on its channel. By then it is known to be the importer, and its
 * packets to be well formed; what it asks for is still its own wish.
 *
 * @module
 */
import { type BargatePacket, type ImporterPacket, PROTOCOL } from "./channel.ts";
import type { DeviceGuard } from "./device_guard.ts";
import { RefusedError } from "./errors.ts";
import type { Fd } from "./fd.ts";
import { bufferName } from "./export_name.ts";
import { grantedPacket } from "./granted_packet.ts";
import { type HeldGrant, isActive } from "./held_grant.ts";
import type { Lane } from "./kernel.ts";

/** What the desk needs of the guardian. */
export interface DeskContext {
  /** The importer's grants of which no end was seen. */
  standing(): readonly HeldGrant[];
  guardOf(held: HeldGrant): DeviceGuard;
  notify(packet: BargatePacket): void;
  /** Lets work go on that nobody awaits; its failure is the guardian's affair. */
  background(work: Promise<void>): void;
  /** Closes a descriptor that the importer sent, where it can delay nobody. */
  discard(fd: Fd): void;
}

/** A list names this many grants at most: a packet is bounded. */
const MOST_LISTED = 256;

type MapPacket = Extract<ImporterPacket, { type: "request" }>;

/** One importer's desk. */
export class ImporterDesk {
  /**
   * @param lane for calls on what the importer sends, which can wait as long as it likes
   * @param context of the guardian
   */
  constructor(private readonly lane: Lane, private readonly context: DeskContext) {}

  /**
   * Answers a packet.
   *
   * @param packet what is asked
   * @param fds came with it; the desk owns them
   */
  answer(packet: ImporterPacket, fds: readonly Fd[]): void {
    if (packet.type === "request") {
      this.context.background(this.#map(packet, fds));
      return;
    }
    for (const fd of fds) this.context.discard(fd);
    switch (packet.type) {
      case "hello":
        return this.context.notify({ type: "hello", v: PROTOCOL });
      case "list":
        return this.#list();
      case "release":
        return this.#release(packet.grant);
      case "ack":
        return this.#acknowledge(packet.grant);
    }
  }

  #list(): void {
    const grants = this.context.standing().slice(0, MOST_LISTED).map(({ grant }) => ({
      grant: grant.id,
      export: grant.plan.export,
      state: grant.state,
    }));
    this.context.notify({ type: "grants", grants });
  }

  #acknowledge(id: string): void {
    const held = this.#find(id);
    if (held !== undefined) held.acknowledged = true;
  }

  #release(id: string): void {
    const held = this.#find(id);
    if (held === undefined) {
      this.#refuse(`there is no grant ${JSON.stringify(id)}`);
      return;
    }
    held.acknowledged = true;
    if (!isActive(held)) return;
    const guard = this.context.guardOf(held);
    this.context.background(guard.end([held], "released", { source: "channel" }, "graceful"));
  }

  async #map(packet: MapPacket, fds: readonly Fd[]): Promise<void> {
    const iommufd = await this.#onlyIommufd(fds).catch((error: unknown) => {
      for (const fd of fds) this.context.discard(fd);
      throw error;
    });
    // Looking takes its time: what was granted can be over by now.
    const held = this.#mappable(packet.export);
    if (held === undefined || typeof iommufd === "string") {
      for (const fd of fds) this.context.discard(fd);
      const unknown = `there is no grant of ${JSON.stringify(packet.export)} that Bargate maps`;
      this.#refuse(typeof iommufd === "string" ? iommufd : unknown);
      return;
    }
    try {
      await this.#guardOf(held, iommufd).map(held, iommufd, packet.ioas, packet.iova);
      this.context.notify(grantedPacket(held));
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      this.#refuse(error.message);
    }
  }

  /** Looking at a stranger's file can take longer than the device is there. */
  #guardOf(held: HeldGrant, iommufd: Fd): DeviceGuard {
    try {
      return this.context.guardOf(held);
    } catch (error) {
      this.context.discard(iommufd);
      throw error;
    }
  }

  /** By `policy/export`, or by the export's name where that is clear. */
  #mappable(name: string): HeldGrant | undefined {
    const found = this.context.standing().filter((held) => {
      const { plan } = held.grant;
      return plan.importer.mapping === "bargate" && isActive(held) &&
        (plan.export === name || bufferName(plan.export) === name);
    });
    return found.find(({ grant }) => grant.plan.export === name) ??
      (found.length === 1 ? found[0] : undefined);
  }

  /** @returns the iommufd, or why there is none */
  async #onlyIommufd(fds: readonly Fd[]): Promise<Fd | string> {
    const [fd] = fds;
    if (fd === undefined || fds.length !== 1) {
      return `a request takes one descriptor, an iommufd (received ${fds.length})`;
    }
    return await this.lane.isIommufd(fd) ? fd : "the descriptor is no iommufd";
  }

  #find(id: string): HeldGrant | undefined {
    return this.context.standing().find(({ grant }) => grant.id === id);
  }

  #refuse(message: string): void {
    this.context.notify({ type: "refused", message });
  }
}
