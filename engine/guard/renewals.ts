/**
 * New generations: where one grant can only end with all of its device, the device is closed and
 * opened again, and what is still allowed is exported again. Old descriptors stay dead.
 *
 * @module
 */
import type { EndReason } from "../end.ts";
import { HostNotReadyError, RefusedError } from "../errors.ts";
import type { Cause } from "../event.ts";
import { grantedPacket } from "../granted_packet.ts";
import type { GuardedDevice } from "../guard_context.ts";
import { type HeldGrant, isActive, type Mapping } from "../held_grant.ts";
import { KernelError } from "../kernel_error.ts";
import type { DeviceGrants } from "./device_grants.ts";
import type { GrantEnds } from "./grant_ends.ts";
import type { ImporterMappings } from "./importer_mappings.ts";
import { lossOf, type RenewalLoss } from "./renewal_loss.ts";

/** A renewal's material: what is exported again, and where it was mapped. */
interface Renewal {
  readonly held: HeldGrant;
  readonly mapping: Mapping | undefined;
}

/** How long a device that is locked by a reset or an unbind is tried again, and how often, ms. */
const LOCKED_MS = 5_000;
const LOCKED_EVERY_MS = 100;

/** Makes new generations of one device. */
export class Renewals {
  readonly #onReopen: (() => Promise<unknown>)[] = [];
  #renewing: readonly HeldGrant[] = [];

  /**
   * @param device to renew
   * @param grants all of it
   * @param mappings of their buffers
   * @param ends of the grants
   */
  constructor(
    private readonly device: GuardedDevice,
    private readonly grants: DeviceGrants,
    private readonly mappings: ImporterMappings,
    private readonly ends: GrantEnds,
  ) {}

  /** Whether grants have ended that are being made again. */
  get running(): boolean {
    return this.#renewing.length > 0;
  }

  /** Those that have ended and are being made again. */
  get renewing(): readonly HeldGrant[] {
    return this.#renewing;
  }

  /** What to do again in each new generation. */
  onReopen(work: () => Promise<unknown>): void {
    this.#onReopen.push(work);
  }

  /**
   * Ends everything of this generation, opens the device again, and exports again what is still
   * allowed.
   *
   * @param victims whose end has begun
   * @param keepers to export again
   * @param reason of the end of the keepers' old grants
   * @param between what to do before the exports
   * @returns why there is no new generation; undefined if there is one, or nothing is to be exported
   *   any more
   * @throws {RefusedError} if the old one does not end; and what `between` throws
   */
  async renew(
    victims: readonly HeldGrant[],
    keepers: readonly HeldGrant[],
    reason: EndReason,
    between: () => Promise<void> = () => Promise.resolve(),
  ): Promise<RenewalLoss | undefined> {
    const { session } = this.device;
    const renewals = takeMappings(keepers.filter(isActive));
    const renewed = renewals.map(({ held }) => held);
    const cause = { source: "collateral", detail: "renewed with the device" };
    this.grants.begin(renewed, reason, cause);
    this.#renewing = renewed;
    try {
      await this.ends.withGeneration([...victims, ...renewed], "new-generation");
      if (session.isOpen) {
        throw new RefusedError(`Cannot renew ${session.target.address}: it does not close`);
      }
      const begun = await this.#begin();
      if (begun === "begun") {
        await between();
        for (const renewal of renewals) await this.#exportAgain(renewal);
      }
      if (typeof begun === "string") return undefined;
      const { reason: lost, detail } = begun;
      for (const { grant: { plan } } of renewed) {
        this.grants.lost(plan, lost, { source: "renewal", detail });
      }
      return begun;
    } finally {
      this.#renewing = [];
      await this.#closeUnused(renewals);
      if (this.grants.standing.length === 0) await this.ends.withGeneration([], "close");
    }
  }

  /** @returns why it did not begin; `sealed`: there is nothing to begin it for */
  async #begin(): Promise<"begun" | "sealed" | RenewalLoss> {
    try {
      if (!await this.#reopen()) return "sealed";
      this.device.record.device("device-opened");
      for (const work of this.#onReopen) await work();
      return "begun";
    } catch (error) {
      const loss = lossOf(error);
      if (loss === undefined) throw error;
      return this.grants.sealed === undefined ? loss : "sealed";
    }
  }

  /**
   * Whoever resets or unbinds the device locks it for a moment: then it is tried again.
   *
   * @returns false if nothing is exported any more, and so nothing was opened
   */
  async #reopen(): Promise<boolean> {
    const { context: { clock }, session } = this.device;
    const until = clock.now() + LOCKED_MS;
    while (this.grants.sealed === undefined) {
      try {
        await session.reopen();
        return true;
      } catch (error) {
        if (!isLocked(error) || clock.now() >= until) throw error;
        await new Promise<void>((resolve) => clock.after(LOCKED_EVERY_MS, resolve));
      }
    }
    return false;
  }

  async #closeUnused(renewals: readonly Renewal[]): Promise<void> {
    const used = new Set(this.grants.all.map(({ mapping }) => mapping?.iommufd));
    for (const { mapping } of renewals) {
      if (mapping !== undefined && !used.has(mapping.iommufd)) {
        await this.mappings.closeCopy(mapping.iommufd);
      }
    }
  }

  /** A grant that cannot be renewed has its own end; the others go on. */
  async #exportAgain({ held: old, mapping }: Renewal): Promise<void> {
    if (this.grants.sealed !== undefined) return;
    const held = await unlessRefused(() => this.grants.export(old.grant.plan));
    // Then its end was recorded with why.
    if ("loss" in held) return;
    const mapped = mapping === undefined
      ? undefined
      : await unlessRefused(() => this.#mapAgain(held, mapping));
    if (mapped !== undefined && "loss" in mapped) await this.#giveUp(held, mapped.loss.detail);
    else await this.#handOver(held, mapping);
  }

  async #mapAgain(held: HeldGrant, old: Mapping): Promise<Mapping> {
    const { iommufd, ioas, iova } = old;
    await this.mappings.dropArea(old);
    return held.mapping = await this.mappings.map(held, iommufd, ioas, iova);
  }

  /**
   * The importer has changed its address space: nobody would ever have what was exported for it. It
   * is told of the grant first, for of one that it has not heard of the end would tell it nothing.
   */
  async #giveUp(held: HeldGrant, detail: string): Promise<void> {
    this.device.context.notify(grantedPacket(held));
    // Whatever errno it was, it says nothing of the device.
    await this.#end(held, "failed", { source: "renewal", detail });
  }

  /** Ends what nobody has got. */
  async #end(held: HeldGrant, reason: EndReason, cause: Cause): Promise<void> {
    this.grants.begin([held], reason, cause);
    await this.ends.precisely(held);
  }

  async #handOver(held: HeldGrant, mapping: Mapping | undefined): Promise<void> {
    const handsOver = held.grant.plan.importer.mapping === "importer";
    const told = this.device.context.notify(grantedPacket(held), handsOver ? [held.dmaBuf] : []);
    // It gets this one with the rest.
    if (told === "nobody-yet") return;
    if (handsOver && told === "gone") {
      const cause = { source: "channel", detail: "the importer does not read" };
      await this.#end(held, "importer-gone", cause);
    } else if (handsOver || mapping !== undefined) {
      this.grants.delivered(held);
    }
  }
}

/** The copies of the importers' iommufds serve the next generation. */
function takeMappings(keepers: readonly HeldGrant[]): readonly Renewal[] {
  return keepers.map((held) => {
    const { mapping } = held;
    delete held.mapping;
    return { held, mapping };
  });
}

/** @returns what the step gives, or what its refusal means; what is no refusal is thrown on */
async function unlessRefused<T>(step: () => Promise<T>): Promise<T | { loss: RenewalLoss }> {
  try {
    return await step();
  } catch (error) {
    const loss = lossOf(error);
    if (loss === undefined) throw error;
    return { loss };
  }
}

function isLocked(error: unknown): boolean {
  return error instanceof HostNotReadyError && error.cause instanceof KernelError &&
    error.cause.errnoName === "EAGAIN";
}
