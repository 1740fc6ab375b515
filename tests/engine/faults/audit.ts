/**
 * What is written down: every grant has one start and one end with its reason, each step follows from
 * the one before, and every line names the policy (invariants 3 and 6).
 *
 * @module
 */
import type { Event } from "../../../engine/event.ts";
import type { Scene } from "../support.ts";
import type { Buffers, Violated } from "./buffers.ts";

/** Which event may follow which, of one grant. */
const FOLLOWS: Readonly<Record<string, readonly string[]>> = {
  "": ["planned"],
  planned: ["exported", "ended"],
  exported: ["delivered", "revoking", "ended"],
  delivered: ["suspended", "revoking", "ended"],
  suspended: ["restored", "revoking", "ended"],
  restored: ["suspended", "revoking", "ended"],
  revoking: ["ended"],
  ended: [],
};

/** An errno without a meaning. */
export const BARE_ERRNO = /failed: E[A-Z]+\b/;
/** Reasons that only the importer's own word gives. */
const RELEASED = "released";

/** Reads each event when it is written. */
export class Audit {
  readonly #states = new Map<string, string>();
  /** Grants that the importer has asked to release. */
  readonly askedToRelease = new Set<string>();

  constructor(
    private readonly scene: Scene,
    private readonly buffers: Buffers,
    private readonly violated: Violated,
  ) {
    const { events } = scene;
    const write = events.push.bind(events);
    events.push = (...more) => {
      const length = write(...more);
      for (const event of more) this.#take(event);
      return length;
    };
  }

  /** The last event of a grant. */
  stateOf(grant: string): string {
    return this.#states.get(grant) ?? "";
  }

  /** Grants that were exported, and of which no end was told. */
  get standing(): readonly string[] {
    return [...this.#states].flatMap(([grant, state]) =>
      state === "" || state === "planned" || state === "ended" ? [] : [grant]
    );
  }

  #take(event: Event): void {
    const { type, grant, reason, cause, seq, policy } = event;
    if (policy !== this.scene.plan.policy) {
      this.violated(`an event of the policy ${policy}: ${type}`);
    }
    if (seq !== this.scene.events.length) {
      this.violated(`event ${seq} is in another place: ${type}`);
    }
    if (BARE_ERRNO.test(cause?.detail ?? "")) {
      this.violated(`the audit says a bare errno: ${type} ${cause?.detail}`);
    }
    if (grant === undefined || type === "means-insufficient") return;
    const before = this.stateOf(grant);
    if (FOLLOWS[before]?.includes(type) !== true) this.violated(`${before} → ${type}`);
    this.#states.set(grant, type);
    if (type === "ended" && reason === undefined) this.violated("an end without a reason");
    // What is renewed with another has the other's reason.
    const released = type === "revoking" && reason === RELEASED && cause?.source === "channel";
    if (released && !this.askedToRelease.has(grant)) {
      this.violated("a grant is released that its importer has not released");
    }
    if (type === "ended" && before !== "planned") this.#checkUnreachable(event, grant);
  }

  /** An end is written when it was seen: nobody but Bargate, who closes it next, has the buffer. */
  #checkUnreachable({ reason, means }: Event, grant: string): void {
    const buffer = this.buffers.made.findLast((made) => made.grant === grant)?.buffer;
    const gone = buffer === undefined || buffer.revoked || buffer.references <= 1;
    // What could not be seen is told so, and counts.
    if (!gone && means !== undefined) {
      this.violated(`the end of a grant (${reason}, ${means}) is told while others can import it`);
    }
  }

  /** When all is over. @param troubleTold whether something late was told, and counted */
  checkEnd(troubleTold: boolean): void {
    for (const state of this.#states.values()) {
      if (state !== "ended") this.violated(`a grant is ${state} after the end`);
    }
    for (const { type, grant = "", reason, means } of this.scene.events) {
      // With a means it was seen, and `failed` says only why it had to be.
      const unseen = type === "ended" && reason === "failed" && means === undefined;
      const exported = this.scene.events.some((event) =>
        event.grant === grant && event.type === "exported"
      );
      if (unseen && exported && !troubleTold) this.violated("an end that failed was not told");
    }
  }
}
