/**
 * A device as its guard sees it, whoever has it open.
 *
 * @module
 */
import type { HoldKind, HoldSpan } from "./device_hold.ts";
import type { Fd } from "./fd.ts";
import type { DmaRange, EventInterrupt, HotResetInfo } from "./kernel.ts";
import type { DeviceTarget } from "./device_target.ts";
import type { Settled } from "./memory_keeper.ts";

/** Whether a buffer can be imported now. Without an iommufd nobody can say. */
export type Liveness = "live" | "revoked" | "unknown";

/** A device to export from. */
export interface GuardedSession {
  readonly target: DeviceTarget;
  /** Number of the open…close span, from 1. */
  readonly generation: number;
  /** Whether buffers of this generation can be alive. */
  readonly isOpen: boolean;
  /** What keeps every buffer of this generation revoked; absent: nothing does. */
  readonly held: HoldKind | undefined;
  /** Whether Bargate can take buffers back without their importers; not of another process's device. */
  readonly revocable: boolean;

  /** Begins a generation. */
  reopen(): Promise<void>;
  /** @returns whether the interrupt was armed */
  arm(which: EventInterrupt, eventFd: Fd): Promise<boolean>;
  /**
   * Makes sure that the controller's memory buffer is where the plan has it.
   *
   * @returns undefined: no rule exports it, or it is another process's affair
   */
  settleMemory(): Promise<Settled | undefined>;
  /** Exports ranges of a BAR. @returns a buffer that is whole and alive */
  export(what: string, region: number, ranges: readonly DmaRange[]): Promise<Fd>;
  probe(dmaBuf: Fd): Promise<Liveness>;
  /** Whether memory decode is off in the device itself; of another process's device nobody asks. */
  decodesNothing(): Promise<boolean>;
  /** Holds by the first kind that is seen to work; `witness` is a live buffer of the device. */
  hold(span: HoldSpan, witness?: Fd): Promise<void>;
  unhold(): Promise<void>;
  reset(): Promise<void>;
  /** The group's descriptor; absent by the character-device route. */
  readonly group: Fd | undefined;
  /** Which functions a hot reset hits. */
  hotResetInfo(): Promise<HotResetInfo>;
  /** @param groups of all functions that are hit; none by the character-device route */
  hotReset(groups: readonly Fd[]): Promise<void>;
  /** Ends the generation, where it is Bargate's to end. */
  close(): Promise<void>;
  closeBuffer(dmaBuf: Fd): Promise<void>;
  /** Gives back what outlives generations. */
  dispose(): Promise<void>;
}
