/**
 * Grants and their state machine.
 *
 * ```
 * planned ──export──▶ exported ──deliver──▶ delivered ◀──restore── suspended
 *                        │                   │   └──suspend──────▶    │
 *                        └──────revoke───────┴─────────revoke─────────┘
 *                                            ▼
 *                                        revoking ──end──▶ ended
 *        (any state but ended) ──fail──▶ ended
 * ```
 *
 * - *export*: the kernel made the dma-buf, and Bargate saw that it is whole and alive.
 * - *deliver*: the recipient has it (or, with `mapping: bargate`, Bargate has mapped it).
 * - *suspend*, *restore*: the device revoked its buffers and validated them again; same descriptor.
 * - *revoke*: from here on the slice must become unreachable. It may come before the delivery.
 * - *end*: it was *seen* to be unreachable.
 * - *fail*: the grant never stood, or what was promised cannot be seen. Exactly one end either way.
 *
 * @module
 */
import type { EndReason, Means } from "./end.ts";
import type { PlannedGrant } from "./plan.ts";

/** Where a grant stands. */
export type GrantState =
  | "planned"
  | "exported"
  | "delivered"
  | "suspended"
  | "revoking"
  | "ended";

/** What moves a grant. */
export type GrantStep = "export" | "deliver" | "suspend" | "restore" | "revoke" | "end" | "fail";

/** The whole machine: a step that is not listed for a state is a defect of the engine. */
export const TRANSITIONS: Readonly<
  Record<GrantState, Readonly<Partial<Record<GrantStep, GrantState>>>>
> = {
  planned: { export: "exported", fail: "ended" },
  exported: { deliver: "delivered", revoke: "revoking", fail: "ended" },
  delivered: { suspend: "suspended", revoke: "revoking", fail: "ended" },
  suspended: { restore: "delivered", revoke: "revoking", fail: "ended" },
  revoking: { end: "ended", fail: "ended" },
  ended: {},
};

/** A step was taken from a state that does not have it. */
export class TransitionError extends Error {
  override readonly name = "TransitionError";
  constructor(readonly grant: string, readonly state: GrantState, readonly step: GrantStep) {
    super(`Cannot ${step} grant ${grant}: it is ${state}`);
  }
}

/** How a grant ended. */
export interface GrantEnd {
  readonly reason: EndReason;
  /** Absent: it never had a dma-buf, or it failed. */
  readonly means?: Means;
}

/** One slice set of one BAR, given to one importer under one rule. */
export class Grant {
  #state: GrantState = "planned";
  #end: GrantEnd | undefined;
  #reason: EndReason | undefined;

  /**
   * @param id unique for this run
   * @param plan what it is for
   * @param generation number of the open…close span of the device fd it lives in
   */
  constructor(readonly id: string, readonly plan: PlannedGrant, readonly generation: number) {}

  get state(): GrantState {
    return this.#state;
  }

  /** Set once, with the state `ended`. */
  get end(): GrantEnd | undefined {
    return this.#end;
  }

  /** Why it is being revoked: the first reason stays. */
  get reason(): EndReason | undefined {
    return this.#reason;
  }

  /** Whether the slice may be reachable: a dma-buf exists and no end was seen. */
  get standing(): boolean {
    return this.#state !== "planned" && this.#state !== "ended";
  }

  /**
   * Takes a step that needs no reason.
   *
   * @throws {TransitionError} if the state does not have it
   */
  step(step: Exclude<GrantStep, "revoke" | "end" | "fail">): void {
    this.#take(step);
  }

  /**
   * Begins the end.
   *
   * @throws {TransitionError} if it has begun already
   */
  revoke(reason: EndReason): void {
    this.#take("revoke");
    this.#reason = reason;
  }

  /**
   * The slice was seen to be unreachable.
   *
   * @throws {TransitionError} unless it is being revoked
   */
  ended(means: Means): void {
    const reason = this.#reason ?? "failed";
    this.#take("end");
    this.#end = { reason, means };
  }

  /**
   * The grant never stood, or its end could not be seen.
   *
   * @throws {TransitionError} if it has ended
   */
  fail(): void {
    this.#take("fail");
    this.#end = { reason: "failed" };
  }

  #take(step: GrantStep): void {
    const next = TRANSITIONS[this.#state][step];
    if (next === undefined) throw new TransitionError(this.id, this.#state, step);
    this.#state = next;
  }
}
