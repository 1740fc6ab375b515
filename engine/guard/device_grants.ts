/**
 * The grants of one device: how they begin, what is told of each of their steps, and what is given
 * back when they have ended.
 *
 * @module
 */
import type { EndReason, Means } from "../end.ts";
import { MemoryLostError, RefusedError } from "../errors.ts";
import type { After, Cause } from "../event.ts";
import { Grant } from "../grant.ts";
import { type GuardedDevice, messageOf } from "../guard_context.ts";
import { type HeldGrant, isActive, isEnding } from "../held_grant.ts";
import { KernelError } from "../kernel_error.ts";
import type { PlannedGrant } from "../plan.ts";
import type { ImporterMappings } from "./importer_mappings.ts";

/** Why nothing is exported any more. */
export interface Seal {
  readonly reason: EndReason;
  readonly cause: Cause;
}

/** Holds grants from their export to their end. */
export class DeviceGrants {
  readonly #all: HeldGrant[] = [];
  /** When planned grants expire, ms since the epoch: a renewal does not give them more time. */
  readonly #deadlines = new Map<PlannedGrant, number>();
  #seal: Seal | undefined;

  /**
   * @param device whose grants
   * @param mappings of its buffers
   * @param expire ends a grant whose time is over
   */
  constructor(
    private readonly device: GuardedDevice,
    private readonly mappings: ImporterMappings,
    private readonly expire: (held: HeldGrant) => void,
  ) {}

  /** All of which something is held. */
  get all(): readonly HeldGrant[] {
    return this.#all;
  }

  /** Those of which no end was seen. */
  get standing(): readonly HeldGrant[] {
    return this.#all.filter(({ grant }) => grant.standing);
  }

  /** Those that importers may use, or will once a bounce is over. */
  get active(): readonly HeldGrant[] {
    return this.#all.filter(isActive);
  }

  /** Those whose end has begun and was not seen yet. */
  get ending(): readonly HeldGrant[] {
    return this.#all.filter(isEnding);
  }

  /** Set once nothing is exported any more. */
  get sealed(): Seal | undefined {
    return this.#seal;
  }

  /** From here on nothing is exported. @returns why not: the first reason stays */
  seal(reason: EndReason, cause: Cause): Seal {
    return this.#seal ??= { reason, cause };
  }

  // ── beginning ───────────────────────────────────────────────────────────────────────────────────

  /**
   * Exports a planned grant.
   *
   * @throws {RefusedError} with nothing left of it
   */
  async export(plan: PlannedGrant): Promise<HeldGrant> {
    const { session, record } = this.device;
    const grant = this.#plan(plan);
    try {
      if (this.#seal !== undefined) {
        throw new RefusedError(`Cannot export ${plan.export}: its device is ending`);
      }
      const what = `${plan.export} (BAR ${plan.bar} of ${plan.device.address})`;
      const dmaBuf = await session.export(what, plan.bar, plan.ranges);
      const held: HeldGrant = { grant, dmaBuf, acknowledged: false };
      this.#all.push(held);
      grant.step("export");
      record.grant("exported", grant);
      this.#expireLater(held);
      return held;
    } catch (error) {
      grant.fail();
      const cause = { source: "export", detail: messageOf(error) };
      record.grant("ended", grant, { reason: reasonOfFailure(error), cause });
      throw error;
    }
  }

  /** A grant that was to be made again, and was not. */
  lost(plan: PlannedGrant, reason: EndReason, cause: Cause): void {
    const grant = this.#plan(plan);
    grant.fail();
    this.device.record.grant("ended", grant, { reason, cause });
  }

  #plan(plan: PlannedGrant): Grant {
    const { session, record } = this.device;
    const grant = new Grant(crypto.randomUUID(), plan, session.generation);
    record.grant("planned", grant);
    return grant;
  }

  /** The time of `expires` runs from the first export, whatever is renewed in between. */
  #expireLater(held: HeldGrant): void {
    const { plan } = held.grant;
    const { expiresMs } = plan.rule;
    if (expiresMs === undefined) return;
    const { clock } = this.device.context;
    const deadline = this.#deadlines.get(plan) ?? clock.now() + expiresMs;
    this.#deadlines.set(plan, deadline);
    held.callOffExpiry = clock.after(
      Math.max(0, deadline - clock.now()),
      () => this.expire(held),
    );
  }

  /** The importer has it. @returns false if its end has begun meanwhile */
  delivered(held: HeldGrant): boolean {
    if (held.grant.state !== "exported") return false;
    held.grant.step("deliver");
    this.device.record.grant("delivered", held.grant);
    return true;
  }

  // ── bounces ─────────────────────────────────────────────────────────────────────────────────────

  /** A bounce takes it away for a while. */
  suspend(held: HeldGrant, cause: Cause): void {
    const { record, context } = this.device;
    if (held.grant.state !== "delivered") return;
    held.grant.step("suspend");
    record.grant("suspended", held.grant, { cause });
    context.notify({ type: "suspended", grant: held.grant.id });
  }

  /** The bounce is over, and it is valid. @param after what has become of its mappings */
  restored(held: HeldGrant, after: After): void {
    const { record, context } = this.device;
    held.grant.step("restore");
    record.grant("restored", held.grant, { after });
    context.notify({ type: "restored", grant: held.grant.id, after });
  }

  // ── ending ──────────────────────────────────────────────────────────────────────────────────────

  /** Begins the end of those that are active. @returns which */
  begin(victims: readonly HeldGrant[], reason: EndReason, cause: Cause): readonly HeldGrant[] {
    const begun = victims.filter(isActive);
    for (const held of begun) {
      held.callOffExpiry?.();
      held.grant.revoke(reason);
      this.device.record.grant("revoking", held.grant, { reason, cause });
    }
    return begun;
  }

  /** @returns how many references the buffer has; undefined if that cannot be read */
  references({ dmaBuf }: HeldGrant): number | undefined {
    if (!dmaBuf.open) return undefined;
    try {
      return this.device.context.kernel.dmaBufFacts(dmaBuf).references;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return undefined;
    }
  }

  /** Whose references are left: the buffers that others than Bargate have, with their importers. */
  holders(): readonly string[] {
    return this.standing.filter((held) => (this.references(held) ?? 1) > 1)
      .map(({ grant: { plan } }) => `${plan.export} by importer ${plan.importer.name}`);
  }

  /** The end was seen: record it, tell the importer, give the buffer back. */
  async finish(held: HeldGrant, means: Means): Promise<void> {
    const { record, context } = this.device;
    const reason = reasonOf(held);
    held.grant.ended(means);
    record.grant("ended", held.grant, { reason, means, after: "dead" });
    context.notify({ type: "revoked", grant: held.grant.id, reason, after: "dead" });
    await this.#giveBack(held);
  }

  /** The end cannot be seen: said aloud, and counted. */
  async finishUnseen(held: HeldGrant, detail: string): Promise<void> {
    const { record, context } = this.device;
    const cause = { source: "probe", detail };
    record.trouble(cause);
    held.grant.fail();
    record.grant("ended", held.grant, { reason: "failed", cause });
    context.notify({ type: "revoked", grant: held.grant.id, reason: "failed", after: "dead" });
    await this.#giveBack(held);
  }

  /** Nothing of a grant that has ended is kept: no mapping, no copy of an iommufd, no buffer. */
  async #giveBack(held: HeldGrant): Promise<void> {
    this.#all.splice(this.#all.indexOf(held), 1);
    await this.mappings.unmap(held);
    await this.closeBuffer(held);
  }

  /** Gives Bargate's descriptor of a buffer back. */
  async closeBuffer({ dmaBuf, grant }: HeldGrant): Promise<void> {
    if (!dmaBuf.open) return;
    const { record, session } = this.device;
    const what = `close the buffer of ${grant.plan.export}`;
    await record.attempt(what, () => session.closeBuffer(dmaBuf));
  }
}

/** A buffer that the device has no more was lost by the reset before. */
function reasonOfFailure(error: unknown): EndReason {
  const lost = error instanceof Error && error.cause instanceof MemoryLostError;
  return lost ? "device-reset" : "failed";
}

/** @returns the reason of a grant whose end has begun */
export function reasonOf({ grant }: HeldGrant): EndReason {
  return grant.reason ?? "failed";
}
