/**
 * A reset of a device with all that is reset with it. The turns of all devices that are hit are taken
 * before anything is done, in the order of their addresses, so that two such resets cannot wait for
 * each other; what must end by the reset ends before it, and the rest is suspended and restored.
 *
 * @module
 */
import { comparePciAddresses } from "../host/address.ts";
import type { DeviceGuard, GuardTurn } from "./device_guard.ts";
import { RefusedError } from "./errors.ts";
import type { Cause } from "./event.ts";
import type { Fd } from "./fd.ts";
import type { ResetAct } from "./guard/operator_resets.ts";
import type { HotResetInfo } from "./kernel.ts";
import { isHitWith } from "./reset_domain.ts";
import {
  type DeviceOutcome,
  DomainError,
  type GrantHit,
  hitsOf,
  outcomeOf,
  type ResetMethod,
  type ResetOutcome,
  type ResetReach,
} from "./reset_outcome.ts";
import type { HitTogether } from "./reset_domain.ts";

/** A device that is hit, with who guards it. */
interface HitGuard {
  readonly guard: DeviceGuard;
  readonly through: string;
}

/** One reset, asked for by an operator. */
export class DomainReset {
  /**
   * @param target the device that was named
   * @param guards every device that is guarded
   * @param method how
   * @param virtualFunctionsOf those that a physical function has now
   */
  constructor(
    private readonly target: DeviceGuard,
    private readonly guards: readonly DeviceGuard[],
    private readonly method: ResetMethod,
    private readonly virtualFunctionsOf: (physfn: string) => readonly string[],
  ) {}

  /**
   * Finds out what the reset would hit, and does nothing.
   *
   * @throws {RefusedError} if the device cannot be reset so
   */
  async reach(): Promise<ResetReach> {
    const functions = await this.#functions();
    return { functions, hits: hitsOn(this.#hit(functions)) };
  }

  /**
   * Resets.
   *
   * @param domain whether grants of other devices may be hit
   * @param cause who asked
   * @returns what became of the grants
   * @throws {DomainError} if grants of others would be hit, and must not; nothing was done then
   * @throws {RefusedError} if the device cannot be reset; what ended before the reset stays ended
   */
  async run(domain: boolean, cause: Cause): Promise<ResetOutcome> {
    const { target } = this;
    const functions = await this.#functions();
    const hit = this.#hit(functions);
    const all = [target, ...hit.map(({ guard }) => guard)].sort(byAddress);
    return await takeTurns(all, async (turns) => {
      if (!target.session.isOpen) throw closed(target);
      const hits = hitsOn(hit);
      if (hits.length > 0 && !domain) throw new DomainError(addressOf(target), hits);
      const outcomes: DeviceOutcome[] = [];
      const act = (held: boolean) => this.#act(held, functions);
      await this.#around(turns, cause, act, outcomes);
      return outcomeOf(outcomes);
    });
  }

  /** Each device is prepared, then those after it, then all are reset; and the way back. */
  async #around(
    turns: readonly GuardTurn[],
    cause: Cause,
    innermost: ResetAct["make"],
    outcomes: DeviceOutcome[],
  ): Promise<void> {
    const [turn, ...rest] = turns;
    if (turn === undefined) return;
    const { guard } = turn;
    const act: ResetAct = {
      reason: this.method === "decode" ? "decode-off" : "device-reset",
      make: (held) =>
        rest.length === 0 ? innermost(held) : this.#around(rest, cause, innermost, outcomes),
    };
    const grants = await turn.aroundReset(act, guard === this.target ? cause : this.#beside(cause));
    outcomes.push({ device: addressOf(guard), grants });
  }

  /** What is done to the device itself, once all are prepared. */
  async #act(held: boolean, functions: readonly HitTogether[]): Promise<void> {
    const { session } = this.target;
    switch (this.method) {
      case "function":
        return await this.target.limited("reset", session.reset());
      case "bus": {
        const groups = this.#groups(functions);
        return await this.target.limited("reset the bus of", session.hotReset(groups));
      }
      case "decode":
        // What was held over the reset was bounced by that already.
        if (held) return;
        return await this.target.holdAndLetGo();
    }
  }

  /** By the group route the kernel wants to be shown the groups of just what is hit. */
  #groups(functions: readonly HitTogether[]): readonly Fd[] {
    const { session } = this.target;
    if (session.group === undefined) return [];
    const known = new Set(functions.map(({ address }) => address));
    const others = this.guards.filter((guard) => known.has(addressOf(guard)));
    return [...new Set([session.group, ...others.flatMap((it) => it.session.group ?? [])])];
  }

  #beside(cause: Cause): Cause {
    const detail = `${this.method} reset of ${addressOf(this.target)}`;
    return { ...cause, detail: cause.detail === undefined ? detail : `${detail}, ${cause.detail}` };
  }

  #hit(functions: readonly HitTogether[]): readonly HitGuard[] {
    if (this.method === "decode") return [];
    const { target } = this;
    const known = new Map(functions.map(({ address, through }) => [address, through]));
    return this.guards.flatMap((guard) => {
      const { address, physfn } = guard.session.target;
      if (guard === target) return [];
      const beside = known.get(address);
      if (beside !== undefined) return { guard, through: beside };
      const below = isHitWith(guard.session.target, [addressOf(target), ...known.keys()]);
      return below && physfn !== undefined ? { guard, through: physfn } : [];
    });
  }

  /** What is reset besides the device itself, guarded here or not. */
  async #functions(): Promise<readonly HitTogether[]> {
    const { target, method } = this;
    if (!target.session.revocable) await target.session.reset();
    if (!target.session.isOpen) throw closed(target);
    if (method === "decode") return [];
    const beside = method === "bus" ? await this.#bus() : [];
    const known = new Set([addressOf(target), ...beside.map(({ address }) => address)]);
    const virtual = [...known].flatMap((through) =>
      this.virtualFunctionsOf(through).map((address) => ({ address, through }))
    );
    return [...beside, ...virtual.filter(({ address }) => !known.has(address))];
  }

  /** The kernel says which functions are on the bus; they must all be owned, or it refuses. */
  async #bus(): Promise<readonly HitTogether[]> {
    const { target } = this;
    const info = await target.exclusively(({ guard }) => guard.session.hotResetInfo());
    const foreign = this.#foreign(info);
    if (foreign.length > 0) {
      throw new RefusedError(
        `Cannot reset the bus of ${addressOf(target)}: ${
          foreign.join(", ")
        } would be reset too, and this process does not own it`,
      );
    }
    const [through = addressOf(target)] = target.session.target.above;
    return info.functions.filter(({ address }) => address !== addressOf(target))
      .map(({ address }) => ({ address, through }));
  }

  #foreign({ functions, allOwned }: HotResetInfo): readonly string[] {
    if (allOwned !== undefined) {
      return functions.filter(({ owned }) => owned !== true).map(({ address }) => address);
    }
    const open = new Set(
      this.guards.flatMap((guard) =>
        guard.session.isOpen && guard.session.group !== undefined ? addressOf(guard) : []
      ),
    );
    const groups = new Set(
      functions.flatMap(({ address, group }) => open.has(address) ? group ?? [] : []),
    );
    return functions.filter(({ group }) => group === undefined || !groups.has(group))
      .map(({ address }) => address);
  }
}

/** In one order, whoever asks: who has one turn waits only for later ones. */
function takeTurns<T>(
  guards: readonly DeviceGuard[],
  work: (turns: readonly GuardTurn[]) => Promise<T>,
  taken: readonly GuardTurn[] = [],
): Promise<T> {
  const [next, ...rest] = guards;
  if (next === undefined) return work(taken);
  return next.exclusively((turn) => takeTurns(rest, work, [...taken, turn]));
}

function hitsOn(hit: readonly HitGuard[]): readonly GrantHit[] {
  return hit.flatMap(({ guard, through }) => hitsOf(guard, through));
}

function closed(guard: DeviceGuard): RefusedError {
  return new RefusedError(
    `Cannot reset ${addressOf(guard)}: all its grants have ended, and it is closed`,
  );
}

function addressOf({ session }: DeviceGuard): string {
  return session.target.address;
}

function byAddress(a: DeviceGuard, b: DeviceGuard): number {
  return comparePciAddresses(addressOf(a), addressOf(b));
}
