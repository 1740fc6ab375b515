/**
 * The means of ending grants, from precise to blunt, and when an end counts as seen.
 *
 * @module
 */
import type { EndReason, Means } from "../end.ts";
import type { GuardedDevice } from "../guard_context.ts";
import type { Liveness } from "../guarded_session.ts";
import type { HeldGrant } from "../held_grant.ts";
import type { DeviceGrants } from "./device_grants.ts";
import type { ImporterMappings } from "./importer_mappings.ts";

/** How long a graceful end lies between two looks at the references, ms. */
const LOOK_EVERY_MS = 10;

/** Ends grants of one device. */
export class GrantEnds {
  /**
   * @param device whose grants
   * @param grants all of them
   * @param mappings of their buffers
   */
  constructor(
    private readonly device: GuardedDevice,
    private readonly grants: DeviceGrants,
    private readonly mappings: ImporterMappings,
  ) {}

  /** Waits until the importers have let go, at most their grace, and the limit. */
  async askToLetGo(
    victims: readonly HeldGrant[],
    reason: EndReason,
    limitMs: number,
  ): Promise<void> {
    const { clock, notify } = this.device.context;
    for (const held of victims) {
      const withinMs = Math.min(held.grant.plan.rule.graceMs, limitMs);
      held.graceUntil = clock.now() + withinMs;
      notify({ type: "revoking", grant: held.grant.id, reason, withinMs });
    }
    // The kernel tells nobody that a reference has gone, so this looks from time to time.
    while (victims.some((held) => !this.isDue(held))) {
      await new Promise<void>((resolve) => clock.after(LOOK_EVERY_MS, resolve));
    }
  }

  /** Whether nobody need be waited for any more. */
  isDue(held: HeldGrant): boolean {
    const { graceUntil } = held;
    if (!held.grant.standing || held.acknowledged || graceUntil === undefined) return true;
    if (this.device.context.clock.now() >= graceUntil) return true;
    return held.mapping === undefined && this.grants.references(held) === 1;
  }

  /** Ends one alone. @returns whether Bargate's descriptor was seen to be the last reference */
  async precisely(held: HeldGrant): Promise<boolean> {
    const means: Means = held.mapping === undefined ? "release" : "unmap";
    const failure = await this.mappings.unmap(held);
    const references = this.grants.references(held);
    if (references !== 1 && held.askedInVain) return false;
    if (references === 1) {
      // Nobody else has it, and when this is closed nobody can get it any more.
      await this.grants.closeBuffer(held);
      await this.grants.finish(held, means);
      return true;
    }
    const others = references === undefined
      ? "the references to the buffer cannot be read"
      : `${references - 1} other references to the buffer are left`;
    const detail = failure === undefined ? others : `${others}; ${failure}`;
    const cause = { source: "references", detail };
    this.device.record.grant("means-insufficient", held.grant, { means, cause });
    return false;
  }

  /** Closes the device: what is left of the victims, and every buffer of the generation, is dead. */
  async withGeneration(victims: readonly HeldGrant[], means: Means): Promise<void> {
    const { session, record } = this.device;
    if (session.isOpen) {
      const what = `close ${session.target.address}`;
      await record.attempt(what, () => session.close());
      if (!session.isOpen) record.device("device-closed");
    }
    for (const held of victims) await this.ifDead(held, means);
  }

  /**
   * Ends a grant whose buffer must be dead by now, and for good, if it is: the means was taken (the
   * generation is over, or the device is held), and nobody can import it.
   * Where there is no iommufd to try that with, the means alone decides. What is not seen to be dead
   * stays as it is, and the next means is tried.
   */
  async ifDead(held: HeldGrant, means: Means): Promise<void> {
    const liveness = await this.alive(held);
    const dead = liveness === "revoked" || liveness === "unknown";
    if (dead && this.#taken(held, means)) {
      await this.grants.finish(held, means);
    } else if (liveness === "live" && this.outlived(held)) {
      await this.grants.finishUnseen(held, "the buffer can be imported after its generation");
    }
  }

  #taken(held: HeldGrant, means: Means): boolean {
    return means === "hold" ? this.device.session.held !== undefined : this.outlived(held);
  }

  /** Whether the generation of the grant is over. */
  outlived({ grant }: HeldGrant): boolean {
    const { session } = this.device;
    return !session.isOpen || grant.generation !== session.generation;
  }

  /** Whether the buffer can be imported; undefined if that could not be tried, which is told. */
  alive({ dmaBuf, grant }: HeldGrant): Promise<Liveness | undefined> {
    const { record, session } = this.device;
    return record.attempt(`probe ${grant.plan.export}`, () => session.probe(dmaBuf));
  }
}
