/**
 * Event v1: everything that happens to grants, devices and importers, in one shape.
 *
 * @module
 */
import type { EndReason, Means } from "./end.ts";

/** What happened. The names of grant events are those of the states they lead to. */
export type EventType =
  | "device-opened"
  | "device-borrowed"
  | "device-held"
  | "device-reset"
  | "memory-enabled"
  | "device-closed"
  | "planned"
  | "exported"
  | "delivered"
  | "suspended"
  | "restored"
  | "revoking"
  | "means-insufficient"
  | "ended"
  | "late"
  | "observed"
  | "unobserved"
  | "importer-started"
  | "importer-connected"
  | "importer-refused"
  | "importer-asked"
  | "importer-killed"
  | "importer-ended";

/** Where Bargate learned of the cause. */
export interface Cause {
  /** `request-interrupt`, `error-interrupt`, `uevent`, `sysfs`, `reset-gate`, `pidfd`, `operator`, `signal`, `timer`, `channel`, `probe` … */
  readonly source: string;
  readonly detail?: string;
}

/** Whether an importer's old mapping can work again after a bounce. */
export type After = "dead" | "resumable";

/** Event v1, as written to `--format jsonl`. */
export interface Event {
  readonly v: 1;
  /** Counts from 1 in one run. */
  readonly seq: number;
  /** RFC 3339, UTC, with milliseconds. */
  readonly time: string;
  readonly type: EventType;
  /** Digest of the policy set in force. */
  readonly policy: string;
  readonly generation?: number;
  readonly grant?: string;
  /** `policy/export` */
  readonly export?: string;
  /** PCI address */
  readonly device?: string;
  readonly importer?: string;
  readonly reason?: EndReason;
  readonly cause?: Cause;
  readonly means?: Means;
  readonly after?: After;
  /** It happened on a simulated host: to no real device. */
  readonly simulated?: true;
}

/** What an event says beyond its number, time and policy. */
export type EventFacts = Omit<Event, "v" | "seq" | "time" | "policy" | "simulated">;

/** Numbers and dates events, and hands them to whoever writes them. */
export class EventLog {
  #seq = 0;
  #lost = 0;

  /**
   * @param policy digest of the policy set in force
   * @param now milliseconds since the epoch
   * @param write gets each event, in order
   * @param onLost is told of an event that could not be written; must not throw
   */
  constructor(
    readonly policy: string,
    private readonly now: () => number,
    private readonly write: (event: Event) => void,
    private readonly onLost: (event: Event, error: unknown) => void = () => {},
  ) {}

  /** Events that could not be written. */
  get lost(): number {
    return this.#lost;
  }

  /** Records one event. Never throws: an end must not fail because it cannot be written down. */
  record(facts: EventFacts): void {
    const time = new Date(this.now()).toISOString();
    const event: Event = { v: 1, seq: ++this.#seq, time, policy: this.policy, ...facts };
    try {
      this.write(event);
    } catch (error) {
      this.#lost++;
      this.onLost(event, error);
    }
  }
}
