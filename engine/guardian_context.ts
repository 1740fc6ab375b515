/**
 * What is around a guardian.
 *
 * @module
 */
import type { Files } from "../host/files.ts";
import type { Clock } from "./clock.ts";
import type { EventLog } from "./event.ts";
import type { Kernel } from "./kernel.ts";
import type { ObserverChoice } from "./observation_post.ts";
import type { VfTokenSource } from "./vf_token.ts";

/** What a guardian needs from around it. */
export interface GuardianContext {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: EventLog;
  /** How long a call of an end may take before it is late, ms. */
  readonly limitMs: number;
  /** For looking at the owners of borrowed devices, and at where this process is. */
  readonly files: Files;
  /** What is watched by consent. */
  readonly observe?: ObserverChoice;
  /** What virtual functions are opened with. */
  readonly vfTokenFor?: VfTokenSource;
}
